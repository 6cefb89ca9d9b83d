from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.single_rows import row

from analyzer.errors import UsageError
from analyzer.ranking.goal import Constraint, Goal, parse_goal, together
from analyzer.report import wording
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.histogram import Histogram


def test_without_a_word_the_goal_is_throughput() -> None:
    assert parse_goal() == Goal((("perf_throughput", 1.0),))


def test_a_list_of_objectives_has_equal_weights() -> None:
    goal = parse_goal(["perf_throughput", "perf_latency_p99"])
    assert goal.objectives == (("perf_throughput", 0.5), ("perf_latency_p99", 0.5))


def test_weights_are_shares_of_their_sum() -> None:
    goal = parse_goal({"perf_throughput": 30, "cpu_used_ram": 10})
    assert goal.objectives == (("perf_throughput", 0.75), ("cpu_used_ram", 0.25))


def test_model_analyzers_older_name_is_understood() -> None:
    goal = parse_goal(["perf_latency"], {"perf_latency": {"max": 5}})
    assert goal == Goal(
        (("perf_latency_p99", 1.0),), (Constraint("perf_latency_p99", maximum=5.0),)
    )


def test_limits_need_not_be_whole_numbers_and_any_metric_may_be_bound() -> None:
    goal = parse_goal(
        constraints={"perf_latency_p50": {"max": 0.5}, "cpu_utilization": {"min": 10, "max": 95.5}}
    )
    assert goal.constraints == (
        Constraint("perf_latency_p50", maximum=0.5),
        Constraint("cpu_utilization", minimum=10.0, maximum=95.5),
    )


def test_models_at_the_same_time_have_each_its_goal_by_its_weight() -> None:
    goal = together({
        "a": (3, parse_goal(["perf_throughput", "cpu_used_ram"], {"cpu_used_ram": {"max": 9.0}})),
        "b": (1, parse_goal(latency_budget=5, constraints={"cpu_used_ram": {"max": 8.0}})),
    })  # fmt: skip
    assert goal.objectives == (
        ("a::perf_throughput", 0.375), ("cpu_used_ram", 0.375), ("b::perf_throughput", 0.25),
    )  # fmt: skip
    assert goal.constraints == (
        Constraint("cpu_used_ram", maximum=8.0), Constraint("b::perf_latency_p99", maximum=5.0),
    )  # fmt: skip
    words = goal.describe()
    assert "maximize b: Throughput (weight 0.25)" in words
    assert "b: p99 Latency <= 5 ms" in words


def test_of_models_at_the_same_time_a_gain_counts_by_its_models_weight() -> None:
    goal = together({"a": (3, Goal()), "b": (1, Goal())})
    before = {"a::perf_throughput": 100.0, "b::perf_throughput": 10.0}
    better = {"a::perf_throughput": 110.0, "b::perf_throughput": 9.0}
    score = goal.score(better, before)
    assert score == pytest.approx(1.1**0.75 * 0.9**0.25)
    assert goal.score(before, before) == pytest.approx(1.0)


def test_a_goal_of_several_models_is_read_as_it_is_written() -> None:
    goal = together({"a": (1, Goal()), "b": (1, parse_goal(latency_budget=5))})
    bounds = {each.tag: {"max": each.maximum or 0.0} for each in goal.constraints}
    assert parse_goal(dict(goal.objectives), bounds) == goal
    with pytest.raises(UsageError, match="no metric named 'a::speed'"):
        parse_goal(["a::speed"])


def test_what_is_made_of_a_goal_is_not_known_of_several_models() -> None:
    with pytest.raises(UsageError, match="a: goodput is not known of models that are profiled"):
        together({"a": (1, parse_goal(["goodput"], latency_budget=5)), "b": (1, Goal())})


def test_the_short_forms_take_the_place_of_the_long_ones() -> None:
    goal = parse_goal(
        constraints={"perf_latency_p99": {"max": 100}}, latency_budget=7.5, min_throughput=20
    )
    assert goal.constraints == (
        Constraint("perf_latency_p99", maximum=7.5),
        Constraint("perf_throughput", minimum=20.0),
    )


def test_every_mistake_is_told_at_once() -> None:
    wrong: dict[str, Any] = {
        "perf_latency_p98": {"max": 3},
        "perf_throughput": {"least": 3},
        "gpu_utilization": {"min": True},
        "cpu_used_ram": {"min": 3, "max": 2},
        "gpu_used_memory": 7,
    }
    with pytest.raises(UsageError) as caught:
        parse_goal(["perf_throughput", "thruput"], wrong, latency_budget=math.nan)
    text = caught.value.message
    assert "no metric named 'thruput'" in text
    assert "'perf_latency_p98'; did you mean perf_latency_p9" in text
    assert "perf_throughput: expected {min: x}, {max: x} or both, found {'least': 3}" in text
    assert "gpu_utilization: min: expected a number, found True" in text
    assert "cpu_used_ram: min 3 is above max 2" in text
    assert "gpu_used_memory: expected {min: x}" in text
    assert "latency_budget: expected a number, found nan" in text
    assert len(text.splitlines()) == 7


@pytest.mark.parametrize("limit", [0.0, -3.0])
def test_a_limit_that_nothing_can_keep_or_break_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="latency_budget: expected more than 0"):
        parse_goal(latency_budget=limit)
    with pytest.raises(UsageError, match="min_throughput: expected more than 0"):
        parse_goal(min_throughput=limit)


def test_an_objective_needs_a_positive_weight_and_is_named_once() -> None:
    with pytest.raises(UsageError, match="expected a weight above 0, found 0"):
        parse_goal({"perf_throughput": 0})
    with pytest.raises(UsageError, match="perf_latency_p99 is named twice"):
        parse_goal(["perf_latency", "perf_latency_p99"])


def test_one_objective_scores_by_its_value_towards_its_better_side() -> None:
    measured = row("0", perf_throughput=80.0, perf_latency_p99=5.0)
    assert parse_goal(["perf_throughput"]).outcome(measured).score == 80.0
    assert parse_goal(["perf_latency_p99"]).outcome(measured).score == -5.0


def test_several_objectives_score_by_the_weighted_ratio_to_the_reference() -> None:
    goal = parse_goal({"perf_throughput": 3, "perf_latency_p99": 1})
    reference = row("default", perf_throughput=100.0, perf_latency_p99=10.0)
    twice = row("0", perf_throughput=200.0, perf_latency_p99=10.0)
    halved = row("1", perf_throughput=100.0, perf_latency_p99=5.0)
    assert goal.outcome(reference, reference).score == pytest.approx(1.0)
    assert goal.outcome(twice, reference).score == pytest.approx(2**0.75)
    assert goal.outcome(halved, reference).score == pytest.approx(2**0.25)


def test_a_metric_that_is_nought_does_not_decide_alone() -> None:
    goal = parse_goal(["perf_throughput", "perf_server_queue"])
    reference = row("default", perf_throughput=1.0, perf_server_queue=1.0)
    idle = row("0", perf_throughput=1.0, perf_server_queue=0.0)
    score = goal.outcome(idle, reference).score
    assert score == pytest.approx(math.sqrt(1000))
    assert goal.outcome(idle, idle).score == pytest.approx(1.0)


def test_violations_are_shares_of_their_limits_and_add_up() -> None:
    goal = parse_goal(constraints={"perf_latency_p99": {"max": 10}, "perf_throughput": {"min": 50}})
    outcome = goal.outcome(row("0", perf_throughput=40.0, perf_latency_p99=15.0))
    assert not outcome.feasible
    assert outcome.violation == pytest.approx(0.5 + 0.2)
    assert goal.outcome(row("0", perf_throughput=50.0, perf_latency_p99=10.0)).feasible


def test_a_limit_of_nought_counts_the_excess_itself() -> None:
    assert Constraint("perf_latency_p99", maximum=0.0).violation({"perf_latency_p99": 3.0}) == 3.0


def test_what_was_not_measured_keeps_no_constraint() -> None:
    goal = parse_goal(constraints={"gpu_used_memory": {"max": 100}})
    measured = row("0", perf_throughput=1.0)
    assert not goal.satisfied(measured.metrics)
    assert goal.unmeasured(measured.metrics) == ("gpu_used_memory",)


def test_a_failure_and_a_missing_objective_have_no_score() -> None:
    goal = parse_goal(["gpu_utilization"])
    for bad in (row("0", failure="no"), row("0", perf_throughput=1.0)):
        outcome = goal.outcome(bad)
        assert (outcome.score, outcome.feasible) == (None, False)


def test_the_goal_can_be_said() -> None:
    goal = parse_goal(
        {"perf_throughput": 3, "perf_latency_p99": 1},
        {"cpu_used_ram": {"min": 1, "max": 2000}},
        latency_budget=0.5,
    )
    assert goal.describe() == (
        "maximize Throughput (weight 0.75) and minimize p99 Latency (weight 0.25) with "
        "RAM Usage >= 1 MB and RAM Usage <= 2000 MB, p99 Latency <= 0.5 ms"
    )
    assert parse_goal().describe() == "maximize Throughput"


@pytest.mark.parametrize(
    ("low", "high", "slowest", "sure"),
    [(4.0, 6.0, 9.0, True), (4.0, 12.0, 9.0, False), (11.0, 12.0, 9.0, True),
     (4.0, math.inf, 9.0, True), (4.0, math.inf, 30.0, False)],
)  # fmt: skip
def test_a_limit_within_the_interval_is_not_certain_to_hold(
    low: float,
    high: float,
    slowest: float,
    sure: bool,  # noqa: FBT001 - the example
) -> None:
    goal = parse_goal(latency_budget=10.0)
    histogram = Histogram.of((np.array([1.0, slowest]) * 1e6).astype(np.int64))
    value = min(max(5.0, low), high)
    measured = replace(
        row("0", perf_throughput=1.0, perf_latency_p99=value),
        estimates={"perf_latency_p99": Estimate(value=value, low=low, high=high)},
        histogram=histogram.text,
    )
    assert (goal.unsure(measured) == ()) is sure
    if not sure:
        said = wording.uncertain(goal.constraints[0], measured)
        assert said.startswith("p99 latency is 5.00 ms, and the limit lies within its 95% interval")
