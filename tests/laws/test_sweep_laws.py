"""The load's sweep: where it goes, that it ends, and that the edge is where it says."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analyzer.sweep import Asked, Found, Ladder, Load, Point, following, pays, rungs, sweep

DOUBLING = tuple(2**k for k in range(11))


def run(ladder: Ladder, measure: Callable[[Asked], Point]) -> tuple[list[Point], Found]:
    script, points = sweep(ladder), []
    try:
        asked = next(script)
        while True:
            points.append(measure(asked))
            asked = script.send(points[-1])
    except StopIteration as end:
        return points, end.value


def threshold(limit: float) -> Callable[[Asked], Point]:
    """A server whose throughput and latency grow with the load; the latency is too much beyond."""
    return lambda asked: Point(asked, float(asked.load), max(0.0, asked.load / limit - 1.0))


def anything(seed: int) -> Callable[[Asked], Point]:
    def measure(asked: Asked) -> Point:
        dice = random.Random(f"{seed} {asked}")
        score = None if dice.random() < 0.2 else dice.choice((-2.0, 0.0, 1.0, 1.02, 5.0))
        broken = dice.choice((0.0, 0.0, 0.1, 3.0)) if score is not None else 0.0
        return Point(asked, score, broken, decided=dice.random() < 0.7)

    return measure


ladders = st.builds(
    Ladder,
    rungs=st.lists(st.integers(1, 500), min_size=1, max_size=9, unique=True).map(
        lambda loads: tuple(sorted(loads))
    ),
    whole=st.booleans(),
    steps=st.integers(0, 6),
    tries=st.integers(2, 4),
    exits=st.booleans(),
    again=st.booleans(),
)


@given(ladders, st.integers(0, 999))
def test_it_asks_between_the_rungs_nothing_twice_and_ends(ladder: Ladder, luck: int) -> None:
    points, found = run(ladder, anything(luck))
    asked = [point.asked for point in points]
    assert len(asked) == len(set(asked))
    assert all(0 < each.load <= ladder.rungs[-1] for each in asked)
    assert all(each.repetition <= int(ladder.again) for each in asked)
    assert len({each.load for each in asked}) <= len(ladder.rungs) + ladder.steps
    if not ladder.exits:
        assert set(ladder.rungs) <= {each.load for each in asked}
    if found.passing is not None:
        seen = {point.asked: point for point in points}
        assert seen[Asked(found.passing)].passes
        assert found.failing is None or found.failing > found.passing


@given(ladders, st.integers(0, 999), st.randoms())
def test_what_comes_next_depends_on_the_points_alone(
    ladder: Ladder, luck: int, dice: random.Random
) -> None:
    points, found = run(ladder, anything(luck))
    for cut, point in enumerate(points):
        before = points[:cut]
        dice.shuffle(before)
        assert following(ladder, before) == point.asked
    assert following(ladder, points) == found


@given(st.floats(0.3, 1500.0))
def test_the_edge_of_whole_loads_is_found_to_the_width(limit: float) -> None:
    points, found = run(Ladder(rungs=DOUBLING, steps=20), threshold(limit))
    if limit >= DOUBLING[-1]:
        assert found == Found(DOUBLING[-1], None)
    elif limit < 1:
        assert found == Found(None, 1)
    else:
        assert found.passing is not None
        assert found.failing is not None
        assert found.passing <= limit < found.failing
        assert found.failing - found.passing == 1 or found.failing / found.passing <= 1.02
    # Two rungs beyond the edge tell that it was one.
    assert len({point.asked.load for point in points}) <= math.log2(max(limit, 1)) + 3 + 10


@given(st.floats(0.5, 900.0))
def test_the_edge_of_rates_is_found_to_the_width_of_two_percent(limit: float) -> None:
    ladder = Ladder(rungs=tuple(map(float, DOUBLING)), whole=False, steps=20)
    _, found = run(ladder, threshold(limit))
    assert found.passing is not None
    assert found.failing is not None
    assert found.passing <= limit < found.failing <= 1.0201 * found.passing


@given(st.floats(1.0, 400.0), st.sets(st.integers(1, 400), min_size=1, max_size=60))
def test_in_a_list_the_edge_is_found_exactly(limit: float, loads: set[int]) -> None:
    domain = tuple(sorted(loads))
    ladder = Ladder(rungs=rungs(domain), domain=domain, steps=20, width=0.0, again=False)
    points, found = run(ladder, threshold(limit))
    assert all(point.asked.load in loads for point in points)
    assert found.passing == max((load for load in domain if load <= limit), default=None)


@given(st.sets(st.integers(1, 300), min_size=1, max_size=50))
def test_rungs_thin_a_list_out_to_doubling(loads: set[int]) -> None:
    kept = rungs(loads)
    assert set(kept) <= loads
    assert (kept[0], kept[-1]) == (min(loads), max(loads))
    for low, high in pairwise(kept):
        assert high <= 2 * low or not any(low < load < high for load in loads)
    assert rungs(DOUBLING) == DOUBLING


def test_model_analyzers_five_steps_are_the_usual() -> None:
    points, _ = run(Ladder(rungs=DOUBLING), threshold(333.3))
    assert len({point.asked.load for point in points} - set(DOUBLING)) == 5


def test_a_load_that_no_longer_pays_ends_the_climb() -> None:
    flat = [point.asked.load for point in run(Ladder(rungs=DOUBLING), _flat_from(8))[0]]
    assert flat == [1, 2, 4, 8, 16, 32, 64]
    fewer = [point.asked.load for point in run(Ladder(rungs=DOUBLING, tries=3), _flat_from(8))[0]]
    assert fewer == [1, 2, 4, 8, 16, 32]
    assert not pays([100.0, 105.0])
    assert pays([100.0, 105.1])


def _flat_from(load: Load) -> Callable[[Asked], Point]:
    return lambda asked: Point(asked, float(min(asked.load, load)))


def test_a_least_throughput_is_climbed_towards() -> None:
    points, found = run(
        Ladder(rungs=DOUBLING, steps=0),
        lambda asked: Point(asked, float(asked.load), max(0.0, 1 - asked.load / 100)),
    )
    assert points[-1].asked.load == DOUBLING[-1]
    assert found == Found(1024, None)


def test_nothing_is_sought_at_an_edge_beyond_which_the_score_is_no_better() -> None:
    def latency(asked: Asked) -> Point:
        return Point(asked, -float(asked.load), max(0.0, asked.load / 5 - 1))

    points, found = run(Ladder(rungs=DOUBLING), latency)
    assert {point.asked.load for point in points} <= set(DOUBLING)
    assert found == Found(4, 8)


def test_what_passes_undecided_has_to_pass_twice() -> None:
    def lucky_once(asked: Asked) -> Point:
        broken = max(0.0, asked.load / 40 - 1)
        if asked.load == 64 and not asked.repetition:
            return Point(asked, 64.0, 0.0, decided=False)
        return Point(asked, float(asked.load), broken)

    points, found = run(Ladder(rungs=DOUBLING, steps=20), lucky_once)
    assert Asked(64, 1) in {point.asked for point in points}
    assert found == Found(40, 41)


def test_an_accepted_load_that_fails_when_measured_again_gives_way_to_the_next_lower() -> None:
    def luck(asked: Asked) -> Point:
        limit = 30 if asked.repetition else 45
        return Point(asked, float(asked.load), max(0.0, asked.load / limit - 1))

    points, found = run(Ladder(rungs=DOUBLING, steps=20), luck)
    assert Asked(45, 1) in {point.asked for point in points}
    assert found.passing is not None
    assert found.passing == 32
