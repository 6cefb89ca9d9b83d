"""Which searches for the highest rate are still to be done, and what they came to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.single_rows import row

from analyzer.ranking.goal import parse_goal
from analyzer.ranking.goodput import next_trial, verified
from analyzer.ranking.rank import rank
from analyzer.record.row import Phase, Row
from analyzer.report import wording
from analyzer.space import Candidate

GOAL = parse_goal(["goodput"], latency_budget=10.0)


def measured() -> list[Row]:
    return [
        row("default", 0, concurrency=4, perf_throughput=100.0, perf_latency_p99=9.0, goodput=99.0),
        row("0", 1, concurrency=8, perf_throughput=200.0, perf_latency_p99=8.0, goodput=199.0),
    ]


def searched(of: Row, number: int, limit_ms: float = 10.0, **goodput: Any) -> Row:
    rate = goodput.get("rate") or 5.0
    load = replace(of.load, percentile=99, limit_ms=limit_ms, request_rate=rate)
    trial = replace(of.trial, phase=Phase.GOODPUT)
    return replace(of, number=number, trial=trial, load=load, goodput=goodput)


def test_the_recommended_variant_is_searched_first_then_the_default() -> None:
    rows = measured()
    first = next_trial(rows, GOAL, 40.0)
    assert first is not None
    assert first.phase is Phase.GOODPUT
    # Four fifths of what it answered in a closed loop within the limit, and its own settings.
    assert first.candidate == Candidate.of(instance_count=ord("0"), request_rate=160.0)
    assert first.promise is not None
    assert (first.promise.percentile, first.promise.limit_ms, first.promise.seconds) == (99, 10, 40)
    rows.append(searched(rows[1], 2, rate=170.0, low=170.0, high=175.0, confirmed=True))
    second = next_trial(rows, GOAL, 40.0)
    assert second is not None
    assert second.candidate == Candidate.of(request_rate=80.0)
    rows.append(searched(rows[0], 3, rate=80.0, low=80.0, high=None, confirmed=False))
    assert next_trial(rows, GOAL, 40.0) is None
    assert [each.rate for each in verified(rows, GOAL)] == [170.0, 80.0]


def test_a_search_does_not_rank_and_another_limit_needs_another_search() -> None:
    rows = measured()
    rows += [searched(rows[0], 2, rate=900.0), searched(rows[1], 3, rate=900.0)]
    assert next_trial(rows, GOAL, 40.0) is None
    assert [each.best.number for each in rank(rows, GOAL)] == [1, 0]
    tighter = parse_goal(["goodput"], latency_budget=9.5)
    assert next_trial(rows, tighter, 40.0) is not None
    assert verified(rows, tighter) == ()


def test_a_failed_search_is_not_tried_again_and_other_goals_need_none() -> None:
    rows = measured()
    failed = replace(
        row("0", 2, failure="no answer"), trial=replace(rows[1].trial, phase=Phase.GOODPUT)
    )
    failed = replace(failed, load=searched(rows[1], 2).load)
    trial = next_trial([*rows, failed], GOAL, 40.0)
    assert trial is not None
    assert trial.candidate == Candidate.of(request_rate=80.0)
    assert next_trial(rows, parse_goal(latency_budget=10.0), 40.0) is None
    assert next_trial([], GOAL, 40.0) is None


def test_what_a_search_came_to_can_be_said() -> None:
    rows = measured()
    every = verified(
        [
            searched(rows[0], 2, rate=None, low=0.0, high=5.0, confirmed=False),
            searched(rows[1], 3, rate=412.0, low=412.0, high=425.5, confirmed=True),
        ],
        GOAL,
    )
    first, second = (wording.goodput(each, "it") for each in every)
    assert first == "it keeps p99 latency within 10 ms at no rate that was tried"
    assert second == (
        "it keeps p99 latency within 10 ms at 412 requests/s, and not 426 "
        "(a run of its own confirmed it)"
    )
