"""The geometry of Model Analyzer's quick search: who is a neighbour, and where a step leads."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.neighborhood import Coordinate, around, gain
from analyzer.record.outcome import Outcome
from analyzer.space import Candidate

HERE = Candidate(())


def seen(
    scores: Mapping[Coordinate, float | None], broken: Mapping[Coordinate, float] = {}
) -> dict[Coordinate, Outcome]:
    return {
        at: Outcome(HERE, score, not broken.get(at), broken.get(at, 0.0))
        for at, score in scores.items()
    }


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@st.composite
def homes(draw: st.DrawFn) -> tuple[Coordinate, Coordinate]:
    bounds = draw(sizes)
    return tuple(draw(st.integers(0, size - 1)) for size in bounds), bounds


@given(homes())
def test_neighbours_are_all_that_is_within_three_steps_and_the_bounds(
    where: tuple[Coordinate, Coordinate],
) -> None:
    home, bounds = where
    area = around(home, bounds)
    assert home in area.members
    assert len(set(area.members)) == len(area.members)
    for each in area.members:
        assert math.dist(each, home) <= 3
        assert all(0 <= at < size for at, size in zip(each, bounds, strict=True))
    inside = sum(
        min(at + 3, size - 1) - max(at - 3, 0) + 1 for at, size in zip(home, bounds, strict=True)
    ) - len(home) + 1  # fmt: skip
    # At least the axes are all there.
    assert len(area.members) >= inside


@given(homes(), st.randoms())
def test_a_step_stays_within_the_bounds_and_within_three(
    where: tuple[Coordinate, Coordinate], dice: object
) -> None:
    home, bounds = where
    area = around(home, bounds)
    luck = dice.uniform  # type: ignore[attr-defined] - hypothesis's random.Random
    known = seen({each: luck(-9, 9) for each in area.members[:7]} | {home: luck(-9, 9)})
    new = area.step(known)
    assert all(0 <= at < size for at, size in zip(new, bounds, strict=True))
    assert all(abs(a - b) <= 3 for a, b in zip(new, home, strict=True))


@settings(max_examples=15)
@given(homes())
def test_measuring_whom_it_names_measures_all_and_ends(
    where: tuple[Coordinate, Coordinate],
) -> None:
    home, bounds = where
    area = around(home, bounds)
    known: dict[Coordinate, Outcome] = {}
    while (at := area.unmeasured(known)) is not None:
        assert at not in known
        known[at] = Outcome(HERE, None)
    assert set(known) == set(area.members)


@pytest.mark.parametrize(
    ("ratio", "steps"), [(1.05, 0), (1.12, 1), (1.5, 2), (3.5, 3), (1 / 1.12, -1), (1 / 3.5, -3)]
)
def test_a_pull_is_translated_into_none_to_three_steps(ratio: float, steps: int) -> None:
    area = around((4, 4), (9, 9))
    known = seen({(4, 4): 100.0, (5, 4): 100.0 * ratio, (4, 5): 100.0, (4, 3): 100.0})
    assert area.enough(known)
    assert area.step(known) == (4 + steps, 4)


def test_a_neighbour_further_away_pulls_less_for_each_step() -> None:
    area = around((0, 0), (9, 9))
    far = seen({(0, 0): 100.0, (3, 0): 150.0, (0, 1): 100.0, (0, 2): 100.0})
    # A gain of 0.4 over a distance of three is 0.13 a step.
    assert area.step(far) == (1, 0)


def test_where_home_breaks_the_constraints_the_step_goes_to_whoever_breaks_them_less() -> None:
    area = around((4,), (9,))
    known = seen(
        {(4,): 100.0, (5,): 200.0, (3,): 60.0, (6,): 300.0},
        {(4,): 0.8, (5,): 1.2, (3,): 0.3, (6,): 2.0},
    )
    assert not area.slow(known)
    assert area.step(known) < (4,)


def test_where_some_keep_the_constraints_and_some_do_not_it_goes_slowly() -> None:
    area = around((4, 4), (9, 9))
    scores = {(4, 4): 100.0, (5, 4): 120.0, (4, 7): 400.0}
    known = seen(scores, {(4, 7): 0.5})
    assert area.slow(known)
    assert not area.enough(known)
    for expected in ((3, 4), (4, 3), (4, 5)):
        assert area.unmeasured(known) == expected
        known[expected] = Outcome(HERE, 90.0)
    assert area.enough(known)
    assert area.step(known) == (5, 4)


def test_home_is_the_best_where_no_neighbour_that_keeps_the_constraints_is_better() -> None:
    area = around((1,), (3,), forced=True)
    known = seen({(1,): 100.0, (0,): 90.0, (2,): 150.0}, {(2,): 0.1})
    assert area.enough(known)
    assert area.step(known) == (1,)


def test_whoever_brings_the_most_new_values_is_measured_first() -> None:
    area = around((0, 0), (4, 4))
    assert area.unmeasured(seen({(0, 0): 1.0})) == (1, 1)
    assert area.unmeasured(seen({(0, 0): 1.0, (1, 1): 1.0})) == (2, 2)


def test_many_dimensions_have_neighbours_within_two_steps() -> None:
    area = around((1,) * 10, (5,) * 10)
    assert max(math.dist(each, area.home) for each in area.members) == 2
    assert len(area.members) < 5000


def test_gains_of_what_is_better_when_less_are_gains() -> None:
    assert gain(Outcome(HERE, -20.0), Outcome(HERE, -10.0)) == pytest.approx(2 / 3)
    assert gain(Outcome(HERE, 0.0), Outcome(HERE, 0.0)) == 0.0
    assert gain(Outcome(HERE, 5.0, feasible=False, violation=0.5), Outcome(HERE, 1.0)) == 0.5
