"""The Pareto set with confidence, and its knee, by examples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.single_rows import row

from analyzer.ranking.frontier import frontier
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Phase, Row
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.histogram import Histogram


def measured(
    number: int, rate: float, p99: float, spread: float = 0.02, load: int = 1, **more: float
) -> Row:
    made = row(
        str(number), number, concurrency=load, perf_throughput=rate, perf_latency_p99=p99, **more
    )
    bounds = {
        tag: Estimate(value=value, low=value * (1 - spread), high=value * (1 + spread))
        for tag, value in made.metrics.items()
        if tag.startswith("perf_")
    }
    return replace(made, estimates=bounds)


def numbers(rows: list[Row], goal: Goal | None = None) -> list[int]:
    return [each.row.number for each in frontier(rows, goal or Goal()).options]


def test_a_little_more_throughput_by_chance_does_not_excuse_four_times_the_latency() -> None:
    rows = [measured(0, 100.0, 5.0), measured(1, 100.5, 20.0)]
    assert numbers(rows) == [0]
    # Without intervals half a per cent would be more, and both would stand.
    assert numbers([replace(each, estimates={}) for each in rows]) == [0, 1]


def test_what_is_only_a_little_better_beats_nothing() -> None:
    assert numbers([measured(0, 100.0, 5.0), measured(1, 99.0, 5.1)]) == [0, 1]


def test_memory_and_energy_count_where_every_option_has_them() -> None:
    rows = [
        measured(0, 100.0, 5.0, cpu_used_ram=500.0, energy_per_inference=9.0),
        measured(1, 90.0, 6.0, cpu_used_ram=100.0, energy_per_inference=9.0),
        measured(2, 90.0, 6.0, cpu_used_ram=500.0, energy_per_inference=3.0),
        measured(3, 90.0, 6.0, cpu_used_ram=501.0, energy_per_inference=9.1),
    ]
    found = frontier(rows, Goal())
    assert found.tags == (
        "perf_throughput", "perf_latency_p99", "cpu_used_ram", "energy_per_inference",
    )  # fmt: skip
    assert [each.row.number for each in found.options] == [0, 1, 2]
    lacking = replace(rows[3], metrics={"perf_throughput": 1.0, "perf_latency_p99": 9.0})
    assert frontier([*rows[:3], lacking], Goal()).tags == ("perf_throughput", "perf_latency_p99")


def test_repetitions_of_one_load_are_one_option_with_their_mean() -> None:
    again = replace(
        measured(0, 110.0, 7.0), number=9,
        trial=replace(measured(0, 1.0, 1.0).trial, phase=Phase.VERIFY),
    )  # fmt: skip
    (option,) = frontier([measured(0, 100.0, 5.0), again], Goal()).options
    assert (option.times, option.row.number) == (2, 0)
    assert [each.middle for each in option.values] == [105.0, 6.0]


def test_a_percentile_without_an_upper_bound_is_taken_to_reach_the_slowest_request() -> None:
    endless = measured(0, 100.0, 5.0)
    latencies = Histogram.of((np.array([4.0, 5.0, 9.0]) * 1e6).astype(np.int64))
    estimate = Estimate(value=5.0, low=4.0, high=math.inf, certified=False)
    endless = replace(
        endless,
        histogram=latencies.text,
        estimates={**endless.estimates, "perf_latency_p99": estimate},
    )
    (option,) = frontier([endless], Goal()).options
    assert option.values[1].high == pytest.approx(9.0, rel=1e-3)
    assert numbers([endless, measured(1, 100.0, 20.0)]) == [0]
    assert numbers([endless, measured(1, 100.0, 8.0)]) == [0, 1]


RISING = [(10.0, 1.0), (70.0, 2.0), (90.0, 4.0), (97.0, 16.0), (100.0, 64.0)]


def rising() -> list[Row]:
    return [measured(at, rate, p99, 0.001) for at, (rate, p99) in enumerate(RISING)]


def test_the_knee_is_where_more_throughput_begins_to_cost_more_latency() -> None:
    found = frontier(rising(), Goal())
    assert found.knee is not None
    # 0.889 of the range at a third of the way in log latency; 70/s at a sixth is not as far above.
    assert found.knee.row.number == 2


def test_the_knee_keeps_the_constraints_if_anything_does() -> None:
    tight = parse_goal(min_throughput=95.0)
    assert frontier(rising(), tight).knee is None
    found = frontier(rising(), parse_goal(latency_budget=5.0))
    assert found.knee is not None
    assert found.knee.row.number == 1
    none = frontier(rising(), parse_goal(latency_budget=0.1)).knee
    assert none is not None
    assert none.row.number == 2


def test_two_points_or_a_straight_line_have_no_knee() -> None:
    assert frontier(rising()[:2], Goal()).knee is None
    straight = [measured(at, 10.0 + 10 * at, 2.0**at, 0.001) for at in range(6)]
    assert frontier(straight, Goal()).knee is None
    assert frontier([], Goal()).options == ()
