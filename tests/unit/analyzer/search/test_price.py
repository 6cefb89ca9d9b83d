"""What a measurement costs: launches, waiting, and loads under which there is nothing to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from support.world import World

from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Trial
from analyzer.search.acquire import Worth
from analyzer.search.believe import Belief
from analyzer.search.price import Priced, priced
from analyzer.search.quantities import THROUGHPUT, Sheet
from analyzer.search.thinking import Opinion, Thought
from analyzer.space import Candidate


def at(instances: int, load: int) -> Candidate:
    return Candidate.of(instance_count=instances, concurrency=load)


def setting(candidate: Candidate) -> Candidate:
    return Candidate.of(instance_count=candidate.get("instance_count") or 1)


def measured(candidate: Candidate, seconds: float, launch: float) -> Outcome:
    row = World().row(Trial(candidate=candidate))
    return Outcome(
        candidate, 1.0, row=replace(row, seconds=seconds + launch, launch_seconds=launch)
    )


def price(candidates: Sequence[Candidate], rate: float) -> Priced:
    """Price candidates that are all expected to answer so many requests a second."""
    mean = np.full(len(candidates), np.log(rate))
    belief = Belief(name="test", mean={THROUGHPUT: mean}, sd={THROUGHPUT: mean * 0}, evidence=0.0)
    none = np.zeros(len(candidates))
    thought = Thought(
        sheet=Sheet(Goal(), (THROUGHPUT,)), candidates=candidates,
        left=list(range(len(candidates))),
        opinions=[Opinion(1.0, belief, Worth(none, none, none), 0.0)],
        in_flight=np.log([float(each.get("concurrency") or 1) for each in candidates]), best=None,
    )  # fmt: skip
    return priced([measured(at(1, 1), 2.0, 3.0)], thought, setting)


def test_what_is_up_costs_less_than_what_has_to_be_launched() -> None:
    costs = price([at(1, 2), at(2, 2)], 1e6).costs
    assert np.allclose(costs, [1.0, 2.5], atol=1e-3)


def test_waiting_costs_and_too_much_of_it_is_out() -> None:
    found = price([at(1, 1), at(1, 8), at(1, 64)], 10.0)
    assert np.allclose(found.costs, [1.05, 1.4, 4.2])
    assert found.bearable.tolist() == [True, True, False]
    assert found.best(np.array([0.1, 0.2, 9.0])) == 1
    assert price([at(1, 64), at(2, 64)], 10.0).bearable.all()


def test_worth_is_weighed_by_costs_among_those_that_are_named() -> None:
    found = price([at(1, 1), at(2, 1), at(1, 2)], 1e6)
    assert found.best(np.array([1.0, 1.2, 0.1])) == 0
    assert found.best(np.array([1.2, 0.1]), [1, 2]) == 1
    assert found.best(np.array([0.0, 0.0]), [2, 1]) == 2
