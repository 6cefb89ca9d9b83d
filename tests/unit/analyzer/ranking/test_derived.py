"""What a goal makes of rows: goodput within its limit, and the price of inferences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.single_rows import row

from analyzer.errors import UsageError
from analyzer.ranking.derived import bounds
from analyzer.ranking.goal import parse_goal
from analyzer.ranking.rank import gain, rank
from analyzer.record.row import Phase, Row
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.histogram import Histogram


def timed(variant: str, number: int, rate: float, *latencies_ms: float, **more: Phase) -> Row:
    """Make a row with these latencies."""
    found = Histogram.of((np.array(latencies_ms) * 1e6).astype(np.int64))
    made = row(variant, number, perf_throughput=rate, perf_latency_p99=max(latencies_ms), **more)  # type: ignore[arg-type]
    return replace(made, histogram=found.text)


def test_goodput_counts_the_answers_within_the_limit() -> None:
    goal = parse_goal(["goodput"], latency_budget=10.0)
    seen = goal.seen(timed("0", 0, 200.0, 1.0, 2.0, 9.9, 30.0))
    assert seen.metrics["goodput"] == pytest.approx(150.0)
    assert goal.seen(seen) is seen
    wider = parse_goal(["goodput"], {"perf_latency_p90": {"max": 50}})
    assert wider.seen(seen).metrics["goodput"] == pytest.approx(200.0)


@pytest.mark.parametrize("text", ["", "h1:", "nonsense", Histogram.of(np.empty(0, np.int64)).text])
def test_a_histogram_that_is_none_gives_no_goodput(text: str) -> None:
    endless = Estimate(value=5.0, low=4.0, high=math.inf)
    bare = replace(
        row("0", perf_throughput=9.0), histogram=text, estimates={"perf_latency_p99": endless}
    )
    assert "goodput" not in parse_goal(latency_budget=5.0).seen(bare).metrics
    assert bounds(bare, "perf_latency_p99") == (4.0, math.inf)


def test_of_several_limits_that_of_the_highest_percentile_counts() -> None:
    goal = parse_goal(
        ["goodput"], {"perf_latency_p50": {"max": 2}, "perf_latency_p95": {"max": 20}}
    )
    assert goal.promise == (95, 20.0)


def test_a_million_inferences_cost_their_time_at_the_machines_price() -> None:
    goal = parse_goal(["cost_per_million"], cost_per_hour=3.6)
    # 1,000 a second take 1,000 s for a million: 1 at 3.60 an hour.
    assert goal.seen(row("0", perf_throughput=1000.0)).metrics["cost_per_million"] == (
        pytest.approx(1.0)
    )
    assert "cost_per_million" not in goal.seen(row("0", perf_throughput=0.0)).metrics
    assert goal.seen(row("0", failure="no")).metrics == {}


def test_rows_rank_and_compare_by_what_the_goal_makes_of_them() -> None:
    goal = parse_goal({"goodput": 1}, {"perf_latency_p99": {"max": 100}})
    rows = [
        timed("default", 0, 100.0, 5.0, 5.0),
        timed("0", 1, 150.0, 5.0, 200.0),
        timed("1", 2, 120.0, 5.0, 5.0),
    ]
    rows += [
        timed(name, 10 + index, rate, 5.0, phase=Phase.VERIFY)
        for index, (name, rate) in enumerate((("default", 100.0), ("1", 130.0)))
    ]
    assert [each.variant[9:] for each in rank(rows, goal)] == ["1", "default", "0"]
    assert rank(rows, goal)[2].score == pytest.approx(75.0)
    found = gain(rows, goal)
    assert found is not None
    assert found.percent == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("objectives", "constraints", "text"),
    [
        (["goodput"], None, "goodput counts answers within a limit, and none is stated"),
        (None, {"goodput": {"min": 5}}, "--latency-budget MS"),
        (["cost_per_million"], None, "cost_per_million is made of the machine's price"),
    ],
)
def test_a_goal_that_lacks_its_limit_or_price_is_refused(
    objectives: list[str] | None, constraints: dict[str, dict[str, float]] | None, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        parse_goal(objectives, constraints)


@given(
    st.lists(st.floats(0.01, 1000.0), min_size=1, max_size=30),
    st.floats(0.01, 1000.0),
    st.floats(0.01, 1000.0),
)
def test_goodput_grows_with_the_limit_and_is_at_most_the_throughput(
    latencies: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    made = timed("0", 0, 50.0, *latencies)
    tight, loose = (
        parse_goal(["goodput"], latency_budget=limit).seen(made).metrics["goodput"]
        for limit in (low, high)
    )
    assert 0.0 <= tight <= loose <= 50.0
