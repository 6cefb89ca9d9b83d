"""What a search measured again counts once, by its means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.world import World

from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import rank
from analyzer.ranking.repeats import merged, pooled
from analyzer.record.row import Failure, Phase, Row, Trial
from analyzer.space import Candidate
from analyzer.statistics.estimate import Estimate


def row(
    number: int, size: int, rate: float, repetition: int = 0, phase: Phase = Phase.SEARCH
) -> Row:
    candidate = Candidate.of(max_batch_size=size, concurrency=4)
    made = World().row(Trial(candidate=candidate, repetition=repetition, phase=phase))
    return replace(
        made, number=number, digest=f"size {size}", variant=f"model_config_{size}", requests=100,
        metrics={**made.metrics, "perf_throughput": rate},
        estimates={"perf_throughput": Estimate(value=rate, low=rate - 4, high=rate + 2, n=10)},
    )  # fmt: skip


def failed(number: int, size: int, repetition: int) -> Row:
    return replace(
        row(number, size, 0.0, repetition), metrics={}, estimates={},
        failure=Failure(stage="load", message="no"),
    )  # fmt: skip


def test_means_take_the_place_of_repetitions() -> None:
    rows = [row(0, 1, 110.0), row(1, 2, 105.0), row(2, 1, 90.0, 1), row(3, 1, 91.0, 2)]
    found = merged(rows)
    assert [each.number for each in found] == [0, 1]
    assert found[1] == rows[1]
    assert found[0].metrics["perf_throughput"] == pytest.approx(97.0)
    assert found[0].requests == 300
    estimate = found[0].estimates["perf_throughput"]
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (97.0, 93.0, 99.0, 30)
    assert [each.best.number for each in rank(rows, Goal())] == [1, 0]
    assert [each.best.number for each in rank(rows[::-1], Goal())] == [1, 0]


def test_what_was_not_repeated_is_left_as_it_is() -> None:
    rows = [row(0, 1, 110.0), row(1, 2, 105.0), failed(2, 4, 0)]
    assert merged(rows) == rows
    # The verification's rounds are no repetitions of the search's.
    rounds = [row(3, 1, 90.0, each, Phase.VERIFY) for each in (0, 1)]
    assert merged([*rows, *rounds]) == [*rows, *rounds]


def test_a_repetition_that_failed_takes_nothing_from_the_others() -> None:
    rows = [row(0, 1, 110.0), failed(1, 1, 1), row(2, 1, 100.0, 2)]
    found = merged(rows)
    assert [each.number for each in found] == [0, 1]
    assert found[0].metrics["perf_throughput"] == pytest.approx(105.0)
    assert found[1].failure is not None
    whole = pooled(rows[:2])
    assert (whole.number, whole.trial.repetition) == (0, 1)
    assert whole.failure is None


def test_what_was_short_of_cores_counts_for_no_mean() -> None:
    short = replace(row(0, 1, 10.0), cores=1, cores_used=1.0)
    assert short.short_of_cores
    found = merged([short, row(1, 1, 100.0), row(2, 1, 110.0, 1)])
    assert [each.number for each in found] == [0, 1]
    assert found[1].metrics["perf_throughput"] == pytest.approx(105.0)
