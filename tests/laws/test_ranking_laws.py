"""Laws of order, front and interval, on any rows."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from support.single_rows import row

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.interval import paired, welch
from analyzer.ranking.rank import gain, pareto, rank
from analyzer.record.row import Phase, Row
from analyzer.statistics.distributions import t_quantile

_values = st.sampled_from((0.5, 1.0, 2.0, 3.0, 5.0, 8.0))
_rows = st.lists(
    st.builds(
        lambda name, load, phase, rate, p99, failed: (name, load, phase, rate, p99, failed),
        st.sampled_from(("default", "0", "1", "2")),
        st.sampled_from((1, 2, 4)),
        st.sampled_from(tuple(Phase)),
        _values,
        _values,
        st.sampled_from((False, False, False, True)),
    ),
    max_size=14,
).map(
    lambda made: [
        row(
            name,
            number,
            concurrency=load,
            phase=phase,
            repetition=number,
            failure="no" if failed else None,
            perf_throughput=rate,
            perf_latency_p99=p99,
        )
        for number, (name, load, phase, rate, p99, failed) in enumerate(made)
    ]
)
_goals = st.sampled_from(
    (
        Goal(),
        parse_goal(["perf_latency_p99"]),
        parse_goal(latency_budget=2.5),
        parse_goal(["perf_throughput", "perf_latency_p99"], min_throughput=2.0),
    )
)


@given(_rows, _goals)
def test_no_measured_row_is_better_than_the_first_in_rank(rows: list[Row], goal: Goal) -> None:
    standings = rank(rows, goal)
    counted = [
        each for each in rows if each.failure is None and each.trial.phase is not Phase.VERIFY
    ]
    assert len(standings) == len({each.variant for each in counted})
    if not standings:
        return
    first = standings[0]
    assert first.satisfies == any(goal.satisfied(each.metrics) for each in counted)
    for each in counted:
        score = goal.score(each.metrics, {})
        best = goal.score(first.best.metrics, {})
        assert score is not None
        assert best is not None
        if goal.satisfied(each.metrics):
            assert score <= best
        elif not first.satisfies:
            assert goal.violation(each.metrics) >= goal.violation(first.best.metrics)


@given(_rows, _goals, st.randoms())
def test_order_does_not_depend_on_when_rows_were_listed(
    rows: list[Row], goal: Goal, dice: random.Random
) -> None:
    mixed = list(rows)
    dice.shuffle(mixed)
    assert [each.best.number for each in rank(mixed, goal)] == [
        each.best.number for each in rank(rows, goal)
    ]


@given(_rows)
def test_the_front_is_what_is_not_dominated(rows: list[Row]) -> None:
    def dominates(one: Row, other: Row) -> bool:
        faster = one.metrics["perf_throughput"] >= other.metrics["perf_throughput"]
        sooner = one.metrics["perf_latency_p99"] <= other.metrics["perf_latency_p99"]
        return faster and sooner and one.metrics != other.metrics

    counted = [
        each for each in rows if each.failure is None and each.trial.phase is not Phase.VERIFY
    ]
    free = {
        (each.metrics["perf_latency_p99"], each.metrics["perf_throughput"])
        for each in counted
        if not any(dominates(other, each) for other in counted)
    }
    front = pareto(rows)
    points = [(each.metrics["perf_latency_p99"], each.metrics["perf_throughput"]) for each in front]
    assert set(points) == free
    assert points == sorted(points)
    assert len(points) == len(set(points))


@given(_rows, _goals)
def test_a_gain_lies_within_its_interval(rows: list[Row], goal: Goal) -> None:
    found = gain(rows, goal)
    if found is not None and found.low is not None and found.high is not None:
        assert found.low <= found.percent + 1e-9
        assert found.percent <= found.high + 1e-9


@given(st.floats(0.51, 0.9999), st.floats(0.6, 5000.0))
def test_quantiles_grow_with_the_probability_and_shrink_with_the_degrees(
    probability: float, degrees: float
) -> None:
    here = t_quantile(probability, degrees)
    assert 0 < here < t_quantile(probability + 0.00005, degrees)
    assert t_quantile(probability, degrees * 1.1) < here
    assert t_quantile(1 - probability, degrees) <= -here * (1 - 1e-6)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.floats(-3, 3))
def test_intervals_move_with_what_they_measure(values: list[float], shift: float) -> None:
    here, there = paired(values), paired([value + shift for value in values])
    assert here is not None
    assert there is not None
    assert abs(there.low - here.low - shift) < 1e-6
    assert abs(there.high - here.high - shift) < 1e-6
    turned = welch([value + shift for value in values], values)
    assert turned is not None
    assert abs(turned.middle - shift) < 1e-6
    assert turned.low <= turned.middle <= turned.high
