"""`analyze replay`: what it prints of a search, and of one that cannot be judged."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from support.surfaces import recorded
from support.world import World

from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.surface.replay import Search
from analyzer.surface.shown import Replay, show
from analyzer.surface.stored import pack


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surface")
    path = folder / "small.jsonl.gz"
    pack(recorded(World(noise=0.05, fixed_ms=4, row_ms=0.5), folder / "recorded.jsonl"), path)
    return path


def said(file: Path, goal: Goal, *, seeds: int = 1, explain: bool = False) -> str:
    search = Search(strategy="random", goal=goal, max_trials=9)
    screen = io.StringIO()
    asked = Replay(files=(file,), search=search, seeds=seeds, explain=explain)
    assert show(asked, Console(file=screen, width=120)) == 0
    return screen.getvalue()


def test_it_says_what_is_best_and_what_each_search_found(file: Path) -> None:
    text = said(file, Goal(), seeds=3)
    assert text.startswith("small: 45 points, 3 repetitions")
    assert "Best: " in text
    lines = [
        line.split() for line in text.splitlines() if line.strip().endswith(tuple("0123456789"))
    ]
    rows = [line for line in lines if line and line[0] in {"0", "1", "2"} and "%" in line[1]]
    assert [row[3] for row in rows] == ["9", "9", "9"]
    assert "random: " in text
    assert "of 3 searches" in text


def test_it_explains_each_step(file: Path) -> None:
    text = said(file, parse_goal(latency_budget=50.0), explain=True)
    steps = [line for line in text.splitlines() if ". concurrency=" in line]
    assert len(steps) == 9
    assert "to start" in steps[0]
    assert "<- best so far" in text
    assert "the 9 measurements that it may take were taken" in text
    assert "p99 Latency <= 50 ms" in text


def test_a_constraint_that_nothing_keeps_is_told(file: Path) -> None:
    with pytest.raises(UsageError, match="nothing on small keeps"):
        said(file, parse_goal(latency_budget=0.01))
