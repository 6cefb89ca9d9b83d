from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analyzer.statistics.estimate import Estimate
from analyzer.statistics.stopping import Precision, PrecisionRule, Verdict
from analyzer.statistics.summary import summarise

MS = 1_000_000
STEP_NS = 100 * MS


def told(rule: PrecisionRule, spread: float, seconds: float = 60) -> tuple[Verdict, float]:
    """Tell of a stream of about 1000 requests a second, by pieces of 0.1 s, until it is enough."""
    dice = np.random.default_rng(3)
    done = np.cumsum(dice.exponential(MS, int(1000 * seconds))).astype(np.int64)
    latency = (10 * MS * dice.lognormal(0, spread, len(done))).astype(np.int64)
    bounds = np.searchsorted(done, np.arange(0, done[-1], STEP_NS))
    for begin, end in pairwise(bounds):
        verdict = rule.add(done[begin:end], latency[begin:end])
        if verdict is not Verdict.GO_ON:
            return verdict, done[end] / 1e9
    return Verdict.GO_ON, seconds


def test_it_stops_when_the_intervals_are_narrow_enough() -> None:
    precision = Precision(throughput=0.02, latency=0.1)
    rule = PrecisionRule(precision)
    verdict, seconds = told(rule, 0.1)
    assert verdict is Verdict.STEADY
    assert precision.met(rule.summary())
    assert 8 < seconds < 20
    assert rule.summary().throughput.holds(1000)


def test_a_wider_target_is_met_sooner_and_an_impossible_one_never() -> None:
    assert told(PrecisionRule(Precision(throughput=0.1)), 0.1)[1] < 4
    verdict, seconds = told(PrecisionRule(Precision(throughput=1e-4, max_seconds=5)), 0.1)
    assert verdict is Verdict.GIVE_UP
    assert 5 <= seconds < 5.2


@pytest.mark.parametrize(
    ("effective", "width", "enough"),
    [
        (600, 0.09, False),
        (2100, 0.09, True),
        (600, 0.02, True),
        (1000, 0.09, True),
        (300, 0.02, False),
    ],
)
def test_of_few_bursts_only_a_very_narrow_interval_will_do(
    *, effective: float, width: float, enough: bool
) -> None:
    p99 = Estimate(
        value=1, low=1 - width, high=1 + width, n=1000 if effective == 1000 else 5000,
        effective_n=effective, certified=effective >= 459,
    )  # fmt: skip
    summary = replace(
        summarise(np.arange(1, 3000) * MS, np.full(2999, MS)), percentiles={99.0: p99}
    )
    assert Precision().met(summary) == enough


def test_it_stops_where_it_is_surely_slower_than_it_would_have_to_be() -> None:
    never = Precision(throughput=1e-4, min_seconds=2.0, max_seconds=5)
    rule = PrecisionRule(never, bar=1200)
    verdict, seconds = told(rule, 0.1)
    assert verdict is Verdict.GIVE_UP
    assert rule.slower
    assert 1 < seconds < 2
    assert rule.summary().throughput.high < 1200
    for bar in (1010, 900):
        rule = PrecisionRule(never, bar=bar)
        assert told(rule, 0.1)[1] >= 5
        assert not rule.slower


def test_a_bar_that_is_not_reached_does_not_make_a_precise_measurement_shorter_or_vague() -> None:
    precise = Precision(throughput=0.5, latency=0.5, min_seconds=2.0)
    rule = PrecisionRule(precise, bar=1010)
    verdict, seconds = told(rule, 0.1)
    assert verdict is Verdict.STEADY
    assert 2 < seconds < 3


def test_a_measurement_in_which_nothing_finishes_ends_by_the_clock() -> None:
    rule, none = PrecisionRule(Precision(max_seconds=5)), np.empty(0, np.int64)
    assert rule.add(none, none, now_ns=0) is Verdict.GO_ON
    assert rule.add(none, none) is Verdict.GO_ON
    assert rule.add(none, none, now_ns=5_000_000_000) is Verdict.GIVE_UP
    assert rule.summary().requests == 0


def test_the_warm_up_does_not_count() -> None:
    rule = PrecisionRule(Precision())
    latency = np.concatenate((np.full(200, 50 * MS), np.full(2000, 10 * MS)))
    rule.add(np.cumsum(latency), latency)
    assert 200 <= rule.dropped < 230
    assert rule.summary().latency_avg.value == 10 * MS
