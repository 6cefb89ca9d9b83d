"""What a surface is really like: nearer to the truth than means of few repetitions."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.search.features import Embedding
from analyzer.space import Axis, Candidate, Dimension, Space
from analyzer.surface import truth
from analyzer.surface.truth import Estimated

SIZES, COUNTS, LOADS = (1, 2, 4, 8, 16), (1, 2, 3), (1, 2, 4, 8, 16, 32)

EMBEDDING = Embedding(Space((
    Dimension("max_batch_size", SIZES, Axis.SETTING),
    Dimension("instance_count", COUNTS, Axis.SETTING),
    Dimension("concurrency", LOADS, Axis.LOAD),
)))  # fmt: skip


def estimate(taken: Mapping[Candidate, Mapping[int, float]]) -> Estimated:
    """Estimate over the grid of these tests."""
    return truth.estimate(taken, EMBEDDING)


def _grid() -> list[Candidate]:
    return [
        Candidate.of(max_batch_size=size, instance_count=count, concurrency=load)
        for size, count, load in product(SIZES, COUNTS, LOADS)
    ]


def _truth(point: Candidate) -> float:
    """A server's rate: saturates in the load, and gains by batches, if they can be filled."""
    size, count, load = (
        int(point.get(name) or 0) for name in ("max_batch_size", "instance_count", "concurrency")
    )
    size = min(size, load)
    most = 100 * count**0.5 * (1 + size) / (2 + 0.5 * size)
    return 1 / (1 / most + 1 / (40 * load))


def _taken(noise: float, repetitions: int, seed: int) -> dict[Candidate, dict[int, float]]:
    dice = random.Random(seed)
    days = [math.exp(dice.gauss(0, 0.03)) for _ in range(repetitions)]
    return {
        point: {
            number: _truth(point) * day * math.exp(dice.gauss(0, noise))
            for number, day in enumerate(days)
        }
        for point in _grid()
    }


def _error(found: Estimated) -> float:
    """The mean square error of the logarithms, whatever all have in common left out."""
    off = [math.log(value / _truth(point)) for point, value in found.values.items()]
    middle = math.fsum(off) / len(off)
    return math.fsum((each - middle) ** 2 for each in off) / len(off)


def _means(taken: dict[Candidate, dict[int, float]]) -> Estimated:
    values = {
        point: math.exp(math.fsum(map(math.log, each.values())) / len(each))
        for point, each in taken.items()
    }
    return Estimated(values, 0.0)


@pytest.mark.parametrize("noise", [0.03, 0.12])
def test_estimates_are_nearer_to_the_truth_than_means(noise: float) -> None:
    taken = [_taken(noise, 2, seed) for seed in range(5)]
    estimated = sum(_error(estimate(each)) for each in taken)
    assert estimated < 0.6 * sum(_error(_means(each)) for each in taken)


def test_the_best_is_not_made_better_by_its_luck() -> None:
    highest = max(map(_truth, _grid()))
    over = []
    for seed in range(8):
        taken = _taken(0.08, 2, seed)
        level = math.exp(
            math.fsum(
                math.log(value / _truth(point)) for point, value in _means(taken).values.items()
            )
            / len(taken)
        )
        over.append(max(estimate(taken).values.values()) / level / highest - 1)
    raw = [max(_means(_taken(0.08, 2, seed)).values.values()) / highest - 1 for seed in range(8)]
    assert sum(over) / 8 < 0.5 * sum(raw) / 8
    assert abs(sum(over) / 8) < 0.04


def test_the_noise_is_found_and_the_day_is_no_noise() -> None:
    found = estimate(_taken(0.05, 3, 1))
    assert found.noise == pytest.approx(0.05, rel=0.15)


def test_what_agrees_is_left_as_it_is() -> None:
    taken = {point: {0: _truth(point), 1: _truth(point)} for point in _grid()}
    found = estimate(taken)
    for point, value in found.values.items():
        assert value == pytest.approx(_truth(point), rel=1e-3)


def test_of_one_repetition_nothing_is_known_of_the_noise() -> None:
    taken = _taken(0.05, 1, 3)
    found = estimate(taken)
    assert found.values == pytest.approx({point: each[0] for point, each in taken.items()})


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.01, 100), seed=st.integers(0, 50))
def test_another_unit_changes_nothing(factor: float, seed: int) -> None:
    taken = _taken(0.04, 2, seed)
    scaled = {
        point: {number: factor * value for number, value in each.items()}
        for point, each in taken.items()
    }
    one, other = estimate(taken), estimate(scaled)
    assert other.noise == pytest.approx(one.noise)
    for point, value in one.values.items():
        assert other.values[point] == pytest.approx(factor * value, rel=1e-4)


def test_points_that_lack_a_repetition_count_as_well() -> None:
    taken = _taken(0.04, 3, 4)
    first = next(iter(taken))
    del taken[first][1]
    found = estimate(taken)
    assert found.values[first] == pytest.approx(_truth(first), rel=0.15)


def test_nothing_is_nothing() -> None:
    assert estimate({Candidate.of(concurrency=1): {}}).values == {}


def test_what_acts_alike_is_alike() -> None:
    """No batch is larger than what is in flight: beyond that a largest batch changes nothing."""
    found = estimate(_taken(0.08, 2, 6))
    for size, larger in ((4, 8), (8, 16), (4, 16)):
        for count in COUNTS:
            one, other = (
                Candidate.of(max_batch_size=each, instance_count=count, concurrency=4)
                for each in (size, larger)
            )
            assert found.values[one] == pytest.approx(found.values[other], rel=1e-6)
