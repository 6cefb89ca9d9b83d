"""Laws of order, front and interval, on any rows."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.single_rows import row

from analyzer.ranking.frontier import beats, frontier
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.interval import paired, welch
from analyzer.ranking.rank import gain, pareto, rank, recommended, refuted
from analyzer.record.row import Phase, Row
from analyzer.statistics.distributions import t_quantile
from analyzer.statistics.estimate import Estimate

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
            repetition=number if phase is Phase.VERIFY else 0,
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
    counted = [each for each in rows if each.failure is None and each.trial.phase.ranks]
    assert len(standings) == len({each.variant for each in counted})
    if not standings:
        return
    first = standings[0]
    broken = {each.row.number for each in refuted(rows, goal)}
    counted = [each for each in counted if each.number not in broken]
    assert first.satisfies == any(goal.satisfied(each.metrics) for each in counted)
    for each in counted if first.best.number not in broken else ():
        score = goal.score(each.metrics, {})
        best = goal.score(first.best.metrics, {})
        assert score is not None
        assert best is not None
        if goal.satisfied(each.metrics):
            # Equal scores may be rounded apart: the ranking's are against the default's.
            assert score <= best + 1e-12 * abs(best)
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

    counted = [each for each in rows if each.failure is None and each.trial.phase.ranks]
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


_widths = st.lists(st.sampled_from((1.0, 1.05, 1.3, 2.5, float("inf"))), min_size=14, max_size=14)


def with_intervals(rows: list[Row], widths: list[float]) -> list[Row]:
    """Give each row's throughput and p99 an interval of its own width, and some memory."""
    return [
        replace(
            each,
            estimates={
                "perf_throughput": around(each.metrics["perf_throughput"], min(width, 2.5)),
                "perf_latency_p99": around(each.metrics["perf_latency_p99"], width),
            },
            metrics={**each.metrics, "cpu_used_ram": 100.0 + 9.0 * len(each.variant)},
        )
        if each.failure is None
        else each
        for each, width in zip(rows, widths, strict=False)
    ]


def around(value: float, width: float) -> Estimate:
    return Estimate(value=value, low=value / width, high=value * width)


@given(_rows, _goals, _widths)
def test_nothing_in_the_pareto_set_is_beaten_and_every_other_option_is(
    rows: list[Row], goal: Goal, widths: list[float]
) -> None:
    found = frontier(with_intervals(rows, widths), goal)
    assert bool(found.options) == any(
        each.failure is None and each.trial.phase not in {Phase.GOODPUT, Phase.ABREAST}
        for each in rows
    )
    for one in found.every:
        beaten = any(beats(other, one, found.tags) for other in found.every)
        assert beaten == (one not in found.options)
        assert not beats(one, one, found.tags)
    assert found.knee is None or found.knee in found.options
    if found.knee is not None and any(each.satisfies for each in found.options):
        assert found.knee.satisfies


@given(_rows, _goals)
def test_without_intervals_the_pareto_set_is_that_of_the_values(
    rows: list[Row], goal: Goal
) -> None:
    found = frontier(rows, goal)
    for one in found.every:
        rate, latency = (each.middle for each in one.values)
        dominated = any(
            other.values[0].middle >= rate
            and other.values[1].middle <= latency
            and (other.values[0].middle, other.values[1].middle) != (rate, latency)
            for other in found.every
        )
        assert dominated == (one not in found.options)


@given(_rows, _goals)
def test_what_is_recommended_was_not_refuted_if_anything_else_keeps_the_constraints(
    rows: list[Row], goal: Goal
) -> None:
    chosen, standings = recommended(rows, goal), rank(rows, goal)
    assert (chosen is None) == (not standings)
    if chosen is None:
        return
    broken = {each.row.number for each in refuted(rows, goal)}
    assert chosen.satisfies == any(each.satisfies for each in standings)
    if chosen.satisfies:
        assert chosen.best.number not in broken
        assert goal.satisfied(chosen.best.metrics)


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
