"""YAML as configurations mean it: numbers, lines, and keys that stand twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.config.document import Document, read
from analyzer.errors import UsageError


def written(folder: Path, text: str) -> Document:
    file = folder / "f.yaml"
    file.write_text(text)
    return read(file)


def test_ranges_are_texts_and_numbers_are_decimal(tmp_path: Path) -> None:
    found = written(tmp_path, "a: 1:9:2\nb: 1e3\nc: 0.5\nd: -7\ne: 0x10\nf: 1_000\ng: .inf\n")
    assert found.values == {
        "a": "1:9:2", "b": 1000.0, "c": 0.5, "d": -7, "e": 16, "f": 1000, "g": float("inf"),
    }  # fmt: skip


def test_every_part_knows_its_line_and_what_has_none_that_of_its_owner(tmp_path: Path) -> None:
    found = written(tmp_path, "a:\n  - b: 1\n    c: 2\n  - 3\nd: {e: 4}\n")
    lines = [
        found.at(way).rpartition(":")[2]
        for way in (("a",), ("a", 0, "c"), ("a", 1), ("d", "e"), ("d", "x", "y"))
    ]
    assert lines == ["1", "3", "4", "5", "5"]


def test_merged_mappings_and_anchors_are_read(tmp_path: Path) -> None:
    found = written(tmp_path, "x: &own\n  a: 1\n  b: 2\ny:\n  <<: *own\n  b: 3\nz: *own\n")
    assert found.values["y"] == {"a": 1, "b": 3}
    assert found.at(("y", "a")).endswith(":2")
    assert not found.problems


def test_a_key_that_stands_twice_is_a_problem_at_any_depth(tmp_path: Path) -> None:
    found = written(tmp_path, "a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert [each.replace(f"{tmp_path}/", "") for each in found.problems] == [
        "f.yaml:4: a.b stands on line 2 already; keep one"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2\n", "f.yaml:2: not YAML: "),
        ("a: *nowhere\n", "f.yaml:1: not YAML: found undefined alias"),
        ("a: !!python/object:os.system x\n", "f.yaml:1: not YAML: could not determine"),
        ("{a: 1}: b\n", "f.yaml:1: not YAML: "),
        ("just words\n", "f.yaml:1: expected keys and values"),
    ],
)
def test_what_is_no_configuration_is_said_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        written(tmp_path, text)
    assert words in caught.value.message


def test_a_mapping_that_holds_itself_is_a_problem_and_no_endless_walk(tmp_path: Path) -> None:
    (problem,) = written(tmp_path, "a: &a\n  b: *a\n").problems
    assert "a.b holds itself" in problem
