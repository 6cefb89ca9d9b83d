"""The exported folder: the same twice changes nothing, and nobody else's file is lost."""

import json
from pathlib import Path

import pytest

from analyzer.deployment import folder
from analyzer.deployment.folder import LEDGER, Item
from analyzer.errors import UsageError


def written(root: Path, *items: Item, link: bool = False) -> list[tuple[str, str]]:
    made = folder.plan(root, items)
    folder.write(made, link=link)
    return [(step.path, step.state.value) for step in made.steps]


def holds(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and path.name != LEDGER
    }


def test_the_same_twice_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_text("w")
    items = (Item("a/b.yaml", "text"), Item("models/w", source=source))
    root = tmp_path / "out"
    assert written(root, *items) == [("a/b.yaml", "new"), ("models/w", "new")]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert {state for _, state in written(root, *items)} == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_is_the_exports_is_replaced_and_removed_and_nothing_else(tmp_path: Path) -> None:
    written(tmp_path, Item("a", "1"), Item("old/b", "2"), Item("old/c", "3"))
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "old" / "c").write_text("changed by hand")
    assert written(tmp_path, Item("a", "11")) == [("a", "replaced"), ("old/b", "removed")]
    assert holds(tmp_path) == {"a": "11", "mine": "mine", "old/c": "changed by hand"}


@pytest.mark.parametrize("change", ["foreign", "edited", "folder", "link"])
def test_what_is_not_the_exports_refuses_all_of_it(tmp_path: Path, change: str) -> None:
    root = tmp_path / "out"
    root.mkdir()
    target = root / "b"
    if change == "foreign":
        target.write_text("theirs")
    elif change == "edited":
        written(root, Item("b", "ours"))
        target.write_text("ours, changed")
    elif change == "folder":
        target.mkdir()
    else:
        (tmp_path / "elsewhere").write_text("theirs")
        target.symlink_to(tmp_path / "elsewhere")
    before = holds(root)
    with pytest.raises(UsageError, match="or was changed after it: b; move them away"):
        folder.plan(root, (Item("a", "1"), Item("b", "2")))
    assert holds(root) == before


def test_an_export_that_was_cut_off_can_be_run_again(tmp_path: Path) -> None:
    written(tmp_path, Item("a", "1"), Item("b", "1"))
    made = folder.plan(tmp_path, (Item("a", "2"), Item("b", "2"), Item("c", "2")))
    (tmp_path / "c").mkdir()  # what cannot be written ends it there
    (tmp_path / "c" / "x").write_text("")
    with pytest.raises(OSError, match="directory"):
        folder.write(made)
    assert holds(tmp_path) == {"a": "2", "b": "2", "c/x": ""}
    (tmp_path / "b").write_text("1")  # as if it had been cut off one file earlier
    (tmp_path / "c" / "x").unlink()
    (tmp_path / "c").rmdir()
    states = dict(written(tmp_path, Item("a", "2"), Item("b", "2"), Item("c", "2")))
    assert states == {"a": "unchanged", "b": "replaced", "c": "new"}


def test_models_may_be_hard_links(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_text("w")
    written(tmp_path / "out", Item("w", source=source), link=True)
    assert (tmp_path / "out" / "w").samefile(source)
    assert written(tmp_path / "out", Item("w", source=source), link=True) == [("w", "unchanged")]


def test_a_ledger_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    for files in ({"../x": "0"}, {"/x": "0"}, []):
        (tmp_path / LEDGER).write_text(json.dumps({"files": files}))
        with pytest.raises(UsageError, match="does not say what an export wrote"):
            folder.plan(tmp_path, (Item("a", "1"),))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="--output names a folder"):
        folder.plan(tmp_path / "out", ())
