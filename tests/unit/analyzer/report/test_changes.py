"""By how much two runs differ: known differences come out, and the intervals hold them."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from support.single_rows import head, row

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Phase, Row
from analyzer.report.changes import (
    NO_INTERVAL,
    SINGLE,
    at_best,
    change,
    reached,
    shared,
)
from analyzer.report.evidence import Evidence, gather
from analyzer.statistics.estimate import Estimate

RATE, P99 = "perf_throughput", "perf_latency_p99"


def repeated(values: list[float], phase: Phase = Phase.VERIFY) -> list[Row]:
    return [
        row("0", number, phase=phase, repetition=number, perf_throughput=value)
        for number, value in enumerate(values)
    ]


def once(value: float, share: float) -> Row:
    estimate = Estimate(value=value, low=value / (1 + share), high=value * (1 + share), n=100)
    return replace(row("0", perf_throughput=value), estimates={RATE: estimate})


def evidence(*rows: Row) -> Evidence:
    return gather(head(), rows, parse_goal())


def test_repetitions_are_compared_by_what_they_scatter() -> None:
    found = change(RATE, repeated([100, 101, 99, 100]), repeated([110, 111, 109, 110]))
    assert found is not None
    assert found.percent == pytest.approx(10.0, abs=0.05)
    assert found.low is not None
    assert found.high is not None
    assert 8.0 < found.low < 10.0 < found.high < 12.0
    assert found.proven
    assert found.good is True
    assert found.counts == (4, 4)


def test_there_and_back_are_mirrors_of_each_other() -> None:
    one, other = repeated([100, 104, 97]), repeated([120, 111, 118])
    there, back = change(RATE, one, other), change(RATE, other, one)
    assert there is not None
    assert back is not None
    assert (1 + there.percent / 100) * (1 + back.percent / 100) == pytest.approx(1.0)
    assert there.low is not None
    assert back.high is not None
    assert (1 + there.low / 100) * (1 + back.high / 100) == pytest.approx(1.0)


def test_the_interval_of_repetitions_holds_the_truth_as_often_as_it_says() -> None:
    draw, held, times = Random(7), 0, 200
    for _ in range(times):
        before = repeated([100 * math.exp(draw.gauss(0, 0.03)) for _ in range(4)])
        after = repeated([107 * math.exp(draw.gauss(0, 0.05)) for _ in range(3)])
        found = change(RATE, before, after)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 7.0 <= found.high
    assert 0.91 < held / times < 0.99


def test_single_measurements_are_compared_by_their_own_intervals() -> None:
    found = change(RATE, [once(100, 0.03)], [once(110, 0.04)])
    assert found is not None
    assert found.method == SINGLE
    reach = math.hypot(math.log(1.03), math.log(1.04))
    assert found.low == pytest.approx(100 * math.expm1(math.log(1.1) - reach))
    assert found.high == pytest.approx(100 * math.expm1(math.log(1.1) + reach))
    assert found.counts == (1, 1)


def test_without_an_interval_nothing_is_proven() -> None:
    found = change(RATE, [row("0", perf_throughput=100.0)], [once(150, 0.01)])
    assert found is not None
    assert (found.low, found.high, found.proven, found.good) == (None, None, False, None)
    assert found.method == NO_INTERVAL
    assert found.percent == pytest.approx(50.0)
    assert change(P99, [once(100, 0.1)], [once(100, 0.1)]) is None


def test_of_a_latency_less_is_good() -> None:
    slow = [row("0", n, phase=Phase.VERIFY, perf_latency_p99=20.0 + n / 10) for n in range(3)]
    fast = [row("0", n, phase=Phase.VERIFY, perf_latency_p99=10.0 + n / 10) for n in range(3)]
    there, back = change(P99, slow, fast), change(P99, fast, slow)
    assert there is not None
    assert there.good is True
    assert back is not None
    assert back.good is False


def test_the_verification_counts_before_the_search_which_was_lucky() -> None:
    lucky = row("0", 9, perf_throughput=200.0)
    found = change(RATE, [lucky, *repeated([100, 102])], [lucky, *repeated([110, 112])])
    assert found is not None
    assert (found.before, found.after) == (101.0, 111.0)


def test_both_measured_the_same_where_digests_or_defaults_meet_at_one_load() -> None:
    before = evidence(
        row("default", 0, digest="d1", concurrency=4, perf_throughput=10.0),
        row("0", 1, digest="x", concurrency=4, perf_throughput=20.0),
        row("0", 2, digest="x", concurrency=8, perf_throughput=21.0),
        row("1", 3, digest="y", concurrency=4, perf_throughput=5.0),
    )
    after = evidence(
        row("7", 0, digest="x", concurrency=4, perf_throughput=30.0),
        row("default", 1, digest="d2", concurrency=4, perf_throughput=11.0),
        row("0", 2, digest="z", concurrency=4, perf_throughput=31.0),
    )
    found = shared(before, after)
    assert [(one.before[0].variant, one.after[0].variant) for one in found] == [
        ("m_config_default", "m_config_default"),
        ("m_config_0", "m_config_7"),
    ]


def test_what_a_run_reaches_is_of_its_choice_at_its_best_load() -> None:
    one = evidence(
        row("default", 0, concurrency=4, perf_throughput=10.0),
        row("0", 1, concurrency=4, perf_throughput=20.0),
        row("0", 2, concurrency=8, perf_throughput=30.0),
        row("0", 3, concurrency=8, phase=Phase.CURVE, perf_throughput=28.0),
    )
    assert [each.number for each in at_best(one)] == [2, 3]
    assert reached(one, RATE) == 29.0
    assert reached(one, P99) is None
