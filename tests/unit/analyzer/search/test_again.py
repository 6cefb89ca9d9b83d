"""What is measured again: whoever may be the best after all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.world import World

from analyzer.ranking.goal import Constraint, Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Trial
from analyzer.search import again
from analyzer.search.quantities import sheet
from analyzer.space import Candidate
from analyzer.statistics.estimate import Estimate

LIMIT = 10.0
GOAL = Goal(constraints=(Constraint("perf_latency_p99", maximum=LIMIT),))


def seen(name: int, rate: float, p99: float = 5.0, times: int = 1, half: float = 0.02) -> Outcome:
    """A candidate measured so many times, with intervals of so much up and down."""
    candidate = Candidate.of(max_batch_size=name, concurrency=4)
    row = World().row(Trial(candidate=candidate, repetition=times - 1))
    values = {"perf_throughput": rate, "perf_latency_p99": p99}
    row = replace(
        row, metrics={**row.metrics, **values},
        estimates={
            tag: Estimate(value=value, low=value * (1 - half), high=value * (1 + half))
            for tag, value in values.items()
        },
    )  # fmt: skip
    return GOAL.outcome(row)


def proposed(*outcomes: Outcome) -> again.Repeat | None:
    return again.propose(sheet(GOAL, outcomes), outcomes)


def test_rivals_that_are_close_are_told_apart_and_others_left_alone() -> None:
    found = proposed(seen(1, 100.0), seen(2, 99.0), seen(4, 60.0))
    assert found is not None
    assert found.candidate.get("max_batch_size") in {1, 2}
    assert 0.0005 < found.gain < 0.02
    assert found.times == 1
    clear = proposed(seen(1, 100.0), seen(2, 80.0))
    assert clear is not None
    assert clear.gain < 1e-6


def test_who_was_measured_less_is_the_one_to_learn_of() -> None:
    found = proposed(seen(1, 100.0, times=2), seen(2, 99.0))
    assert found is not None
    assert found.candidate.get("max_batch_size") == 2
    found = proposed(seen(1, 100.0), seen(2, 99.0, times=2))
    assert found is not None
    assert found.candidate.get("max_batch_size") == 1


def test_what_broke_a_limit_by_little_may_keep_it_the_next_time() -> None:
    found = proposed(seen(1, 100.0), seen(2, 120.0, p99=1.01 * LIMIT))
    assert found is not None
    assert found.candidate.get("max_batch_size") == 2
    assert found.gain > 0.03
    far = proposed(seen(1, 100.0), seen(2, 120.0, p99=2 * LIMIT))
    assert far is not None
    assert far.gain < 0.001


def test_the_noisier_measurements_are_the_more_another_is_worth() -> None:
    gains = []
    for half in (0.02, 0.05, 0.2):
        found = proposed(seen(1, 100.0, half=half), seen(2, 96.0, half=half))
        assert found is not None
        gains.append(found.gain)
    assert gains == sorted(gains)
    assert gains[-1] > 10 * gains[0]


@pytest.mark.parametrize("times", [3, 4])
def test_nothing_is_measured_more_than_three_times(times: int) -> None:
    assert proposed(seen(1, 100.0, times=times), seen(2, 99.0, times=times)) is None


def test_there_is_nothing_to_tell_apart_of_one_or_without_rows() -> None:
    assert proposed(seen(1, 100.0)) is None
    assert proposed(seen(1, 100.0, p99=2 * LIMIT), seen(2, 99.0, p99=2 * LIMIT)) is None
    bare = [Outcome(Candidate.of(concurrency=load), 1.0) for load in (1, 2)]
    assert again.propose(sheet(Goal(), bare), bare) is None
    assert [again.times(each) for each in (bare[0], seen(1, 1.0, times=2))] == [0, 2]


def test_what_lacks_a_quantity_is_not_compared() -> None:
    whole = [seen(1, 100.0), seen(2, 99.0)]
    third = seen(4, 99.5)
    assert third.row is not None
    lacking = replace(third, row=replace(third.row, metrics={"perf_throughput": 99.5}))
    found = again.propose(sheet(GOAL, whole), [*whole, lacking])
    assert found == again.propose(sheet(GOAL, whole), whole)
