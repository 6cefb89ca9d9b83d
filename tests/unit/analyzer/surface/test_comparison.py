"""Comparing searches: the cases that are run, and the page that is made of them."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean

import pytest
from support.surfaces import recorded
from support.world import World

from analyzer.strategy import known
from analyzer.surface import stored
from analyzer.surface.stored import Surface
from benchmarks.calm import calm
from benchmarks.search import (
    CALM,
    CONSTRAINTS,
    EVERYTHING,
    RECORDED,
    Case,
    Kind,
    Task,
    goal_of,
    markdown,
    run,
    usable,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surface")
    path = folder / "small.jsonl.gz"
    stored.pack(recorded(World(noise=0.02, fixed_ms=4, row_ms=0.5), folder / "s.jsonl"), path)
    return path


def cases(file: Path, strategy: str, constraint: str) -> list[Case]:
    return run(Task(
        surface=file, kind=Kind(RECORDED), strategy=strategy, constraint=constraint, seeds=3,
        max_trials=8, whole=False,
    ))  # fmt: skip


def test_limits_are_the_surfaces_own_quantiles(file: Path) -> None:
    surface = stored.read(file)
    limits = []
    for constraint in CONSTRAINTS[1:4]:
        goal = goal_of(surface, constraint)
        assert goal is not None
        kept = sum(goal.satisfied(metrics) for metrics in surface.truths.values())
        limits.append(kept / len(surface.truths))
    assert limits == pytest.approx([0.25, 0.5, 0.75], abs=0.03)
    memory = goal_of(surface, "memory")
    assert memory is not None
    assert sum(memory.satisfied(metrics) for metrics in surface.truths.values()) > 0


def test_a_page_has_what_each_search_found_and_took(file: Path) -> None:
    found = [
        case
        for strategy in ("random", "brute", EVERYTHING)
        for constraint in ("none", "p99 50 %")
        for case in cases(file, strategy, constraint)
    ]
    assert len(found) == 3 * 2 * 3
    assert all(case.measurements <= 8 for case in found if case.strategy == "random")
    everything = [case for case in found if case.strategy == EVERYTHING]
    assert all(case.measurements == 45 and case.counted > 0.9 for case in everything)
    page = markdown(found, {"seeds": "3"}, [stored.read(file)])
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| random")]
    assert lines[0][1] == "6"
    assert "small (45 points x 3" in page


def test_the_same_seeds_have_the_same_ends(file: Path) -> None:
    def ends(found: list[Case]) -> list[tuple[str, float]]:
        return [(case.chosen, case.found) for case in found]

    assert ends(cases(file, "quick", "memory")) == ends(cases(file, "quick", "memory"))


def test_what_can_be_used_here_is_among_what_there_is() -> None:
    assert {"brute", "quick", "random"} <= set(usable(known())) <= set(known())


def test_of_a_race_the_budget_holds_the_repetitions_and_who_is_ahead_is_named(file: Path) -> None:
    found = run(Task(
        surface=file, kind=Kind(RECORDED), strategy="random", constraint="none", seeds=4,
        max_trials=16, whole=False, raced=8,
    ))  # fmt: skip
    assert {case.strategy for case in found} == {"random + race"}
    assert all(case.measurements == 16 and case.verification == 0 for case in found)
    alone = run(Task(
        surface=file, kind=Kind(RECORDED), strategy="random", constraint="none", seeds=4,
        max_trials=8, whole=False,
    ))  # fmt: skip
    # The race repeats what the search has found: it adds nothing to what there is to choose from.
    assert [case.within for case in found] == [case.within for case in alone]
    assert all(case.found <= case.within + 1e-9 for case in found if not case.violation)
    assert "random + race" in markdown(found, {"seeds": "4"}, [stored.read(file)])


def _spread(surface: Surface) -> float:
    """How far repetitions of a point are apart in throughput: a standard deviation of logs."""
    found = []
    for rows in surface.rows.values():
        logs = [
            math.log(row.metrics["perf_throughput"]) for row in rows.values() if not row.failure
        ]
        found += [each - fmean(logs) for each in logs]
    return math.sqrt(fmean(each * each for each in found))


def test_another_noise_takes_the_place_of_the_recorded_one(file: Path) -> None:
    one, four = calm(file), calm(file, 4.0)
    assert 0.006 < _spread(one) < 0.016
    assert _spread(four) == pytest.approx(4 * _spread(one), rel=0.2)
    few = run(Task(
        surface=file, kind=Kind(CALM, 0.01), strategy=EVERYTHING, constraint="none", seeds=2,
        max_trials=None, whole=False,
    ))  # fmt: skip
    assert all(case.found > 0.999 for case in few)
