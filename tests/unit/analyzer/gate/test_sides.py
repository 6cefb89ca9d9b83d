"""Sides by name, from git, from another repository, and from what is stored."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support import synthetic_repository

from analyzer.config.schema import ProfileOptions
from analyzer.errors import UsageError
from analyzer.gate import revision, sides
from analyzer.gate.sides import Origin, Served, Source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", Source(Origin.NAMED, "main")),
        ("base/main.json", Source(Origin.FILE, "base/main.json")),
        ("main.json", Source(Origin.FILE, "main.json")),
        ("git:origin/main", Source(Origin.GIT, "origin/main")),
        ("model-repo:../models", Source(Origin.REPOSITORY, "../models")),
    ],
)
def test_a_side_is_named_in_one_of_four_ways(text: str, expected: Source) -> None:
    assert Source.read(text) == expected


@pytest.mark.parametrize("text", ["git:", "model-repo: ", " "])
def test_a_side_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Source.read(text)


def git(folder: Path, *arguments: str) -> None:
    told = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *told, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose model became slower since the tag v1; its weights are not tracked."""
    top = tmp_path_factory.mktemp("checkout")
    synthetic_repository.write(top / "models", latency_us=1000)
    (top / "fast.pbtxt").write_text("# old\n")
    (top / ".gitignore").write_text("weights\n")
    (top / "models" / "echo" / "1" / "labels.txt").write_text("old")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    synthetic_repository.write(top / "models", latency_us=2000)
    (top / "models" / "echo" / "1" / "labels.txt").write_text("new")
    (top / "fast.pbtxt").write_text("# new\n")
    git(top, "commit", "-qam", "two")
    return top


def options_of(folder: Path) -> ProfileOptions:
    return ProfileOptions(model="echo", model_repository=(folder,))


def test_a_revision_has_the_files_of_then_and_what_git_does_not_track_of_now(
    checkout: Path, tmp_path: Path
) -> None:
    options = options_of(checkout / "models")
    now = sides.present(options, {})
    then = sides.at_revision(now, options, "v1", tmp_path)
    assert "1000" in then.texts["echo"]
    assert "2000" in now.texts["echo"]
    folder = then.folders["echo"]
    assert (folder / "1" / "labels.txt").read_text() == "old"
    assert (folder / "1" / "weights").read_bytes() == b"none"
    assert any("1 files that git does not track" in note for note in then.notes)
    assert then.label.startswith("git:v1 (")
    assert then.digests != now.digests
    assert then.identity != now.identity


def test_a_configuration_that_a_check_names_is_that_of_the_revision_too(
    checkout: Path, tmp_path: Path
) -> None:
    options = options_of(checkout / "models")
    now = sides.present(options, {"echo": "# new\n"})
    file = checkout / "fast.pbtxt"
    then = sides.at_revision(now, options, "v1", tmp_path, file)
    assert (now.texts["echo"], then.texts["echo"]) == ("# new\n", "# old\n")


def test_what_git_does_not_know_is_said(checkout: Path, tmp_path: Path) -> None:
    options = options_of(checkout / "models")
    now = sides.present(options, {})
    with pytest.raises(UsageError, match="git fetch --depth 1 origin v9"):
        sides.at_revision(now, options, "v9", tmp_path)
    outside = synthetic_repository.write(tmp_path / "models")
    elsewhere = options_of(outside)
    with pytest.raises(UsageError, match="lies in no git checkout"):
        sides.at_revision(sides.present(elsewhere, {}), elsewhere, "v1", tmp_path)
    synthetic_repository.write(checkout / "models", name="fresh")
    fresh = replace(options, model="fresh")
    with pytest.raises(UsageError, match="models/fresh was not there"):
        sides.at_revision(sides.present(fresh, {}), fresh, "v1", tmp_path)


def test_a_commit_is_told_with_whether_files_differ_from_it(checkout: Path, tmp_path: Path) -> None:
    assert len(revision.commit_of(checkout)) == 40
    assert revision.commit_of(tmp_path) == ""


def test_without_a_repository_what_a_profile_chose_is_what_is_here_now(tmp_path: Path) -> None:
    options = ProfileOptions(model="echo", export_path=tmp_path / "results")
    with pytest.raises(UsageError, match="analyze profile --model echo"):
        sides.present(options, {})
    synthetic_repository.write(tmp_path / "results" / "echo" / "chosen")
    assert set(sides.present(options, {}).folders) == {"echo"}


def test_another_repository_is_a_side(tmp_path: Path) -> None:
    old = synthetic_repository.write(tmp_path / "old", latency_us=7)
    options = options_of(synthetic_repository.write(tmp_path / "models"))
    assert "7" in sides.repository(options, {}, old).texts["echo"]
    with pytest.raises(UsageError, match="is not a directory"):
        sides.repository(options, {}, tmp_path / "gone")


def test_what_was_stored_is_served_again_only_with_the_very_same_files(tmp_path: Path) -> None:
    models = synthetic_repository.write(tmp_path / "models")
    digest = sides.files_digest(models / "echo")
    synthetic_repository.write(tmp_path / "models", latency_us=3)
    (models / "echo" / "config.pbtxt.before-apply").write_text("")
    found = sides.again("main", {"echo": "# then\n"}, {"echo": digest}, (models,))
    assert found == Served(
        label="main", folders={"echo": models / "echo"}, configs={"echo": "# then\n"}
    )
    (models / "echo" / "1" / "weights").write_bytes(b"other")
    assert sides.again("main", {}, {"echo": digest}, (models,)) is None
    assert sides.again("main", {}, {}, (models,)) is None
