"""What is learned, and that metrics come back from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.world import World

from analyzer.ranking.goal import parse_goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Trial
from analyzer.search.quantities import SCORE, THROUGHPUT, VIOLATION, sheet
from analyzer.space import Candidate

WORLD = World(cores=4, tail=1.7)


def outcome(goal_text: dict[str, float] | None = None, load: int = 8) -> Outcome:
    goal = parse_goal(**(goal_text or {}))  # type: ignore[arg-type]
    candidate = Candidate.of(instance_count=2, max_batch_size=8, concurrency=load)
    return goal.outcome(WORLD.row(Trial(candidate=candidate)))


def test_a_latency_is_learned_as_a_ratio_to_the_mean_and_comes_back() -> None:
    goal = parse_goal(latency_budget=10.0)
    seen = outcome({"latency_budget": 10.0})
    learned = sheet(goal, [seen])
    assert learned.tags == (THROUGHPUT, "perf_latency_p99")
    values = learned.values(seen)
    assert seen.row is not None
    assert math.exp(values["perf_latency_p99"].value) == pytest.approx(1.7, rel=0.01)
    logs = {tag: one.value for tag, one in values.items()}
    back = learned.metric("perf_latency_p99", logs, math.log(8))
    assert back == pytest.approx(seen.row.metrics["perf_latency_p99"])


def test_several_objectives_are_weighed_as_the_goal_weighs_them() -> None:
    goal = parse_goal({"perf_throughput": 3, "cpu_used_ram": 1})
    first, second = outcome(load=1), outcome(load=32)
    learned = sheet(goal, [first, second])
    utilities = []
    for each in (first, second):
        logs = {tag: np.array([one.value]) for tag, one in learned.values(each).items()}
        utilities.append(float(learned.utility(logs, np.zeros(1))[0]))
    assert first.row is not None
    assert second.row is not None
    scores = [goal.score(each.row.metrics, first.row.metrics) or 0.0 for each in (first, second)]
    assert utilities[1] - utilities[0] == pytest.approx(math.log(scores[1] / scores[0]))


@pytest.mark.parametrize("limit", [1.0, 5.0, 100.0])
def test_what_keeps_the_constraints_is_what_the_goal_says(limit: float) -> None:
    goal = parse_goal(latency_budget=limit)
    seen = goal.outcome(outcome().row or pytest.fail("no row"))
    learned = sheet(goal, [seen])
    logs = {tag: np.array([one.value]) for tag, one in learned.values(seen).items()}
    assert bool(learned.feasible(logs, np.log([8.0]))[0]) == seen.feasible


@pytest.mark.parametrize("scores", [(1.0, 3.0, 2.0), (-1.0, -3.0, -2.0), (-1.0, 0.0, 4.0)])
def test_without_metrics_scores_are_learned_in_their_order(scores: tuple[float, ...]) -> None:
    outcomes = [Outcome(Candidate.of(x=place), score) for place, score in enumerate(scores)]
    learned = sheet(parse_goal(), outcomes)
    assert learned.tags == (SCORE,)
    values = [learned.values(each)[SCORE].value for each in outcomes]
    assert np.argsort(values).tolist() == np.argsort(scores).tolist()


def test_without_metrics_a_violation_says_how_far_a_constraint_is() -> None:
    outcomes = [
        Outcome(Candidate.of(x=1), 1.0),
        Outcome(Candidate.of(x=2), 2.0, feasible=False, violation=0.5),
    ]
    learned = sheet(parse_goal(), outcomes)
    kept, broken = (learned.values(each)[VIOLATION].value for each in outcomes)
    assert kept < 0 < broken
