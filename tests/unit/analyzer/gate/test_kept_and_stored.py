"""Blocks and baselines on the disk: what was written is read, and what is damaged is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.errors import JournalError, UsageError
from analyzer.gate import store
from analyzer.gate.baseline import Baseline
from analyzer.gate.kept import Kept
from analyzer.gate.store import Store
from analyzer.gate.values import Block, Side

BLOCK = Block(
    side=Side.CANDIDATE, pair=3, launch=3, values={"perf_throughput": 12.5},
    counts={"requests": 600.0}, histogram="", seconds=3.5, remarks=("busy",),
)  # fmt: skip
MEASURED = Baseline(
    taken_at="2030-01-01T00:00:00+00:00", commit="abc", engine_version="1",
    environment={"cpu": "x", "cores": 2}, checks={"a": (BLOCK,)},
    served={"a": {"m": {"config": "", "files": "1", "folder": "models/m"}}},
)  # fmt: skip
QUESTION = {"checks": ["a"]}


def test_blocks_are_read_back_and_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    with Kept.open(tmp_path, QUESTION, resume=False) as kept:
        kept.begin("a", 2)
        kept.append("a", BLOCK)
    with kept.path.open("ab") as file:
        file.write(b'{"kind": "block", "key"')
    with Kept.open(tmp_path, QUESTION, resume=True) as kept:
        assert (kept.blocks("a"), kept.per_launch("a"), len(kept)) == ((BLOCK,), 2, 1)
        kept.append("a", replace(BLOCK, pair=4))
    with Kept.open(tmp_path, QUESTION, resume=True) as kept:
        assert [block.pair for block in kept.blocks("a")] == [3, 4]
        assert kept.blocks("b") == ()


def test_starting_over_keeps_what_was_there_beside_it(tmp_path: Path) -> None:
    with Kept.open(tmp_path, QUESTION, resume=False) as kept:
        kept.append("a", BLOCK)
    with Kept.open(tmp_path, QUESTION, resume=False) as kept:
        assert not len(kept)
    assert '"kind": "block"' in kept.path.with_suffix(".previous.jsonl").read_text()


def test_another_question_has_another_file_and_one_question_one_writer(tmp_path: Path) -> None:
    with Kept.open(tmp_path, QUESTION, resume=False) as one:
        with Kept.open(tmp_path, {"checks": ["b"]}, resume=False) as other:
            assert one.path != other.path
        with pytest.raises(JournalError, match="another `analyze check`"):
            Kept.open(tmp_path, QUESTION, resume=True)


def test_a_damaged_line_is_told_with_its_place(tmp_path: Path) -> None:
    with Kept.open(tmp_path, QUESTION, resume=False) as kept:
        kept.append("a", BLOCK)
    kept.path.write_text(kept.path.read_text().replace("12.5", '"fast"'))
    with pytest.raises(JournalError, match=r"jsonl:2: not a line of blocks"):
        Kept.open(tmp_path, QUESTION, resume=True)


def test_a_name_lists_its_runs_and_says_which_is_the_baseline(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    assert kept.find("main") is None
    first = kept.keep("main", MEASURED, promote=True)
    later = replace(MEASURED, commit="def")
    kept.keep("main", later, promote=False)
    kept.keep("main", later, promote=False)
    found = kept.require("main")
    assert found.baseline == MEASURED
    assert found.history == (MEASURED, later), "the same twice is once"
    assert MEASURED.address.endswith(first.stem)
    assert store.read(first).history == (MEASURED,)
    assert store.read(tmp_path / "main.json") == found
    kept.keep("main", later, promote=True)
    assert kept.require("main").baseline == later
    assert kept.names() == ("main",)


def test_what_is_missing_or_changed_is_said(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    file = kept.keep("main", MEASURED, promote=True)
    with pytest.raises(UsageError, match="there: main"):
        kept.require("other")
    with pytest.raises(UsageError, match="no name of a baseline"):
        kept.keep("../main", MEASURED, promote=True)
    with pytest.raises(UsageError, match="--save-baseline NAME"):
        store.read(tmp_path / "gone.json")
    plain = json.loads(file.read_text())
    plain["content"]["commit"] = "forged"
    file.write_text(json.dumps(plain))
    with pytest.raises(UsageError, match="it was changed since"):
        kept.require("main")
    file.unlink()
    with pytest.raises(UsageError, match="restore it"):
        kept.require("main")
    (tmp_path / "main.json").write_text("[]")
    with pytest.raises(UsageError, match="not a baseline"):
        kept.require("main")
