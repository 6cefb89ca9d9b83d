"""The search by Optuna's samplers: how many trials there are, and that constraints are told."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pytest
from support.world import run

from analyzer.errors import UsageError
from analyzer.record.outcome import Outcome
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    REQUEST_RATE,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.strategy import Problem

pytest.importorskip("optuna", reason="Optuna is not installed (pip install 'servetune[optuna]')")
from analyzer.strategies import optuna as searched

LOADS = Dimension(CONCURRENCY, tuple(2**k for k in range(11)), Axis.LOAD)
SPACE = Space((
    Dimension(INSTANCE_COUNT, (1, 2, 3, 4, 5)),
    Dimension(MAX_BATCH_SIZE, tuple(2**k for k in range(8))),
    LOADS,
))  # fmt: skip
NO_SWEEP = {"concurrency_sweep_disable": True}


def by_product(candidate: Candidate) -> Outcome:
    values = [int(value) for _, value in candidate.items]
    return Outcome(candidate, float(values[0] + values[1] + values[2]))


def asked(measure: Any = by_product, space: Space = SPACE, **options: object) -> list[Outcome]:
    return list(run(searched.make(Problem(space=space, options=options)), measure))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (22, 44)),
        ({"optuna_max_trials": 20}, (22, 20)),
        ({"optuna_max_trials": 300, "max_percentage_of_search_space": 50}, (22, 220)),
        ({"optuna_max_trials": 30, "max_percentage_of_search_space": 50}, (22, 30)),
        ({"optuna_min_trials": 3}, (3, 44)),
        ({"optuna_min_trials": 3, "min_percentage_of_search_space": 2}, (8, 44)),
        ({"optuna_min_trials": 30, "min_percentage_of_search_space": 2}, (30, 44)),
    ],
)
def test_trials_are_a_share_of_the_space_or_the_number_that_was_given(
    options: Mapping[str, Any], expected: tuple[int, int]
) -> None:
    assert searched.bounds(options, 440) == expected
    assert searched.bounds({}, 5) == (0, 1)


def test_it_ends_early_after_ten_trials_without_a_gain() -> None:
    flat = asked(lambda each: Outcome(each, 1.0), **NO_SWEEP)
    # The first is the best; 22 is the fewest that a space of 440 asks for.
    assert len(flat) <= 22
    patient = asked(lambda each: Outcome(each, 1.0), optuna_early_exit_threshold=35, **NO_SWEEP)
    assert 22 < len(patient) <= 36


def test_the_formula_gives_the_concurrency() -> None:
    found = asked(use_concurrency_formula=True, **NO_SWEEP)
    for each in found:
        at = dict(each.candidate.items)
        aim = 2 * int(at[MAX_BATCH_SIZE]) * int(at[INSTANCE_COUNT])
        assert aim / 2**0.51 <= min(int(at[CONCURRENCY]), 1024) <= aim * 2**0.51 or aim > 1024
    # 40 settings: ten per cent of them.
    assert len(found) <= 4


def test_constraints_are_told_so_that_it_searches_where_they_hold() -> None:
    def tight(candidate: Candidate) -> Outcome:
        load = int(candidate.get(CONCURRENCY) or 0)
        broken = max(0.0, load / 4 - 1)
        score = float(by_product(candidate).score or 0)
        return Outcome(candidate, score, not broken, broken)

    found = asked(tight, optuna_max_trials=60, optuna_early_exit_threshold=60, **NO_SWEEP)
    late = found[30:]
    # By chance, 3 of 11 loads keep the constraint.
    assert sum(each.feasible for each in late) > 0.45 * len(late)


def test_then_the_load_is_swept_but_not_where_rates_are_searched() -> None:
    assert len(asked()) > len(asked(**NO_SWEEP))
    rates = Space((SPACE.dimensions[0], Dimension(REQUEST_RATE, (16.0, 32.0, 64.0), Axis.LOAD)))
    sums = lambda each: Outcome(each, sum(float(value) for _, value in each.items))  # noqa: E731
    assert len(asked(sums, rates)) == len(asked(sums, rates, **NO_SWEEP))


@pytest.mark.parametrize("name", searched.SAMPLERS)
def test_every_sampler_finds_its_way_and_repeats_itself(name: str) -> None:
    needed = {"gp": ("torch", "scipy"), "cmaes": ("cmaes",)}.get(name, ())
    if absent := [each for each in needed if find_spec(each) is None]:
        words = f"optuna_sampler: {name} needs more packages: pip install {' '.join(absent)}"
        with pytest.raises(UsageError, match=words):
            asked(optuna_sampler=name)
        return
    options = {"optuna_sampler": name, "optuna_max_trials": 15, **NO_SWEEP}
    assert asked(**options) == asked(**options)


def test_a_sampler_that_there_is_not_is_said_so() -> None:
    with pytest.raises(UsageError, match="there is no tpi; there are: tpe, gp, cmaes"):
        searched.make(Problem(space=SPACE, options={"optuna_sampler": "tpi"}))


def test_it_says_why_it_asks_and_why_it_ended() -> None:
    strategy = searched.make(Problem(space=SPACE, options=NO_SWEEP))
    why = strategy.why()
    assert why is not None
    assert why.text == "trial 1 of at most 44, proposed by Optuna's sampler tpe"
    for outcome in run(strategy, by_product):
        assert outcome.candidate in SPACE
    assert "trials" in strategy.ended()
