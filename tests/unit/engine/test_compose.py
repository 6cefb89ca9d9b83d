from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest

from engine.compose import check_repository, draw, tell_ports
from engine.errors import Internal, InvalidArgument, NotFound
from engine.repository.overview import Line

LINES = (
    Line(model="long_name", version="1", state="READY", backend="onnxruntime", max_batch="8"),
    Line(model="[b]", version="-", state="UNAVAILABLE", reason="why"),
)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def drawn(out: StringIO, lines: tuple[Line, ...] = LINES) -> list[str]:
    draw(lines, out, 120)
    return out.getvalue().splitlines()


def test_without_a_terminal_the_table_is_plain_and_aligned() -> None:
    head, first, second = drawn(StringIO())
    assert head.split() == [
        "Model", "Version", "State", "Backend", "Instances", "Max", "batch", "Runs", "on",
    ]  # fmt: skip
    assert first.index("READY") == second.index("UNAVAILABLE") == head.index("State")
    assert second.startswith("[b] ")


def test_on_a_terminal_the_table_shows_the_same_cells() -> None:
    text = "\n".join(drawn(Terminal()))
    assert all(cell in text for line in LINES for cell in line.cells)


def test_an_empty_repository_is_said_to_be_empty() -> None:
    assert drawn(StringIO(), ()) == ["no models"]


def test_a_repository_that_is_none_is_told_for_what_it_is(tmp_path: Path) -> None:
    file, model = tmp_path / "file", tmp_path / "models" / "identity"
    file.touch()
    model.mkdir(parents=True)
    (model / "config.pbtxt").touch()
    with pytest.raises(NotFound, match=r"/none: no such model repository; "):
        check_repository(tmp_path / "none")
    with pytest.raises(InvalidArgument, match=r"/file: this is a file; a model repository is "):
        check_repository(file)
    with pytest.raises(InvalidArgument, match=r"one model's folder, .*-repository .*/models$"):
        check_repository(model)
    check_repository(model.parent)


def test_ports_are_told_as_json_and_nothing_else_is_left(tmp_path: Path) -> None:
    tell_ports(tmp_path / "ports.json", {"http": 1, "grpc": 2})
    assert json.loads((tmp_path / "ports.json").read_text()) == {"http": 1, "grpc": 2}
    assert [one.name for one in tmp_path.iterdir()] == ["ports.json"]


def test_a_ports_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Internal, match=r"--ports-file .*no/p: cannot write it: No such file"):
        tell_ports(tmp_path / "no" / "p", {})
