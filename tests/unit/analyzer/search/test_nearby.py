"""What is a step away from the best, and that sure beliefs do not keep it from being tried."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.search.acquire import worth
from analyzer.search.believe import Belief
from analyzer.search.features import Embedding
from analyzer.search.nearby import around, improvement
from analyzer.search.quantities import SCORE, Sheet
from analyzer.search.thinking import Opinion, Thought
from analyzer.space import Axis, Candidate, Dimension, Space
from analyzer.strategies import auto
from analyzer.strategy import Problem

SPACE = Space((
    Dimension("backend", ("onnxruntime", "openvino", "torch")),
    Dimension("instance_count", (4, 1, 2)),
    Dimension("max_batch_size", (1, 2, 4, 8)),
    Dimension("concurrency", (1, 2, 4, 8, 16), Axis.LOAD),
))  # fmt: skip


def at(
    backend: str = "onnxruntime", instances: int = 2, batch: int = 4, load: int = 8
) -> Candidate:
    return Candidate.of(
        backend=backend, instance_count=instances, max_batch_size=batch, concurrency=load
    )


def found(*outcomes: Outcome) -> set[Candidate]:
    return around(SPACE, Embedding(SPACE), outcomes)


def test_a_step_is_a_value_up_or_down_and_any_other_where_there_is_no_order() -> None:
    assert found(Outcome(at(), 1.0)) == {
        at("openvino"), at("torch"),
        at(instances=1), at(instances=4),
        at(batch=2), at(batch=8),
        at(load=4), at(load=16),
    }  # fmt: skip
    assert at(load=4) not in found(Outcome(at(load=1), 1.0))


def test_whatever_came_close_counts_and_no_more_than_three() -> None:
    outcomes = [
        Outcome(at(load=1), 100.0),
        Outcome(at(load=16, batch=1), 98.0),
        Outcome(at("torch", load=16), 96.0),
    ]
    near = found(*outcomes)
    assert {at(load=2), at(load=8, batch=1)} <= near
    assert at("torch", load=8) not in near
    equals = [Outcome(at(backend, load=1), 5.0) for backend in ("onnxruntime", "openvino", "torch")]
    assert at(load=8) not in found(*equals, Outcome(at(load=16), 5.0))


def test_scores_below_zero_are_close_by_their_size() -> None:
    near = found(Outcome(at(load=1), -100.0), Outcome(at(load=16, batch=1), -102.0))
    assert at(load=8, batch=1) in near
    near = found(Outcome(at(load=1), -100.0), Outcome(at(load=16, batch=1), -120.0))
    assert at(load=8, batch=1) not in near


def test_around_nothing_there_is_nothing() -> None:
    assert found() == set()
    assert found(Outcome(at(), None, feasible=False)) == set()
    assert found(Outcome(at(), 5.0, feasible=False, violation=0.2)) == set()


def test_what_is_beside_the_grid_steps_where_it_can() -> None:
    """The default's own number of instances need not be one of those that are tried."""
    near = found(Outcome(at(instances=3), 1.0))
    assert at(load=4) not in near
    assert near == set()


def thought(middle: float, sd: float, best: float) -> Thought:
    """One candidate, of which one belief expects this much, against a best of so much."""
    sheet = Sheet(Goal(), (SCORE,))
    belief = Belief(
        name="test", mean={SCORE: np.array([middle])}, sd={SCORE: np.array([sd])}, evidence=0.0
    )
    judged = worth(belief, sheet, np.zeros(1), best)
    return Thought(
        sheet=sheet, candidates=[at()], left=[0], opinions=[Opinion(1.0, belief, judged, best)],
        in_flight=np.zeros(1), best=None,
    )  # fmt: skip


def test_a_belief_that_is_too_sure_is_doubted() -> None:
    sure = thought(-0.02, 0.0001, 0.0)
    assert float(sure.improvement[0]) == 0.0
    assert float(improvement(sure, [0])[0]) > 0.003
    hopeless = thought(-0.5, 0.0001, 0.0)
    assert float(improvement(hopeless, [0])[0]) == 0.0


@given(middle=st.floats(-0.3, 0.3), sd=st.floats(0.001, 0.3))
def test_doubt_never_makes_a_candidate_worth_less(middle: float, sd: float) -> None:
    one = thought(middle, sd, 0.0)
    assert float(improvement(one, [0])[0]) >= float(one.improvement[0]) - 1e-9


# The whole search

SMALL = Space((
    Dimension("instance_count", (1, 2, 3, 4, 5, 6)),
    Dimension("max_batch_size", (1, 2, 4, 8, 16, 32)),
    Dimension("concurrency", (1, 2, 4, 8, 16, 32), Axis.LOAD),
))  # fmt: skip


def smooth(candidate: Candidate) -> float:
    """A hill with its top at 3 instances, batches of 8 and a load of 8."""
    far = (
        (int(candidate.get("instance_count") or 0) - 3) / 6.0,
        math.log2(int(candidate.get("max_batch_size") or 1) / 8) / 6.0,
        math.log2(int(candidate.get("concurrency") or 1) / 8) / 6.0,
    )
    return 100.0 * math.exp(-0.5 * math.fsum(each * each for each in far))


TOP = Candidate.of(instance_count=3, max_batch_size=8, concurrency=8)


def with_a_peak(peak: Candidate) -> Callable[[Candidate], float]:
    """What no belief can foresee: one neighbour of the top is 5 % better than it."""
    return lambda candidate: 105.0 if candidate == peak else smooth(candidate)


@pytest.mark.parametrize(
    "peak",
    [TOP.replaced(instance_count=4), TOP.replaced(instance_count=2), TOP.replaced(concurrency=16),
     TOP.replaced(max_batch_size=4)],
)  # fmt: skip
def test_a_peak_beside_the_top_is_found_though_no_belief_foresees_it(peak: Candidate) -> None:
    score = with_a_peak(peak)
    strategy = auto.make(Problem(space=SMALL, seed=1, cores=4, max_trials=30))
    told, reasons = [], []
    while (asked := strategy.ask()) is not None:
        told.append(asked)
        reasons.append(strategy.why())
        strategy.tell(Outcome(asked, score(asked)))
    assert len(told) == 30
    assert peak in told
    assert any(why is not None and "a step away from the best" in why.text for why in reasons)


def test_left_to_itself_it_does_not_end_beside_the_top() -> None:
    peak = TOP.replaced(instance_count=4)
    score = with_a_peak(peak)
    strategy = auto.make(Problem(space=SMALL, seed=1, cores=4))
    told = []
    while (asked := strategy.ask()) is not None:
        told.append(asked)
        strategy.tell(Outcome(asked, score(asked)))
    assert peak in told
    assert len(told) <= 30


def test_where_time_is_short_it_makes_sure_in_time() -> None:
    """Of twelve that there is time for, the last are steps; of thirty they come later."""

    def first_step(affordable: int | None) -> int:
        def left(outcomes: Sequence[Outcome]) -> int | None:
            return None if affordable is None else max(0, affordable - len(outcomes))

        problem = Problem(space=SMALL, seed=1, cores=4, max_trials=30, affordable=left)
        strategy = auto.make(problem)
        for number in range(30):
            asked, why = strategy.ask(), strategy.why()
            assert asked is not None
            if why is not None and "a step away" in why.text:
                return number
            strategy.tell(Outcome(asked, rough(asked)))
        return 30

    assert 7 <= first_step(12) <= 9
    assert first_step(None) > 12


def rough(candidate: Candidate) -> float:
    """A hill with so much beside it that something seems to be gained for long."""
    dice = random.Random(str(candidate))
    return smooth(candidate) * math.exp(dice.gauss(0.0, 0.2))
