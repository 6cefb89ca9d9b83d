"""The stage that holds up a pipeline gets the instances; where the best is known, it is found."""

import math
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pipelines import Pipeline

from analyzer.record.outcome import Outcome
from analyzer.search.bottleneck import applies, propose
from analyzer.search.stations import narrowest, stations
from analyzer.space import Axis, Candidate, Dimension, Space

COUNTS, LOADS = (1, 2, 3, 4), (1, 2, 4, 8, 16)


def space(*stages: str, counts: tuple[int, ...] = COUNTS) -> Space:
    made = (Dimension(f"{name}::instance_count", counts) for name in stages)
    return Space((*made, Dimension("concurrency", LOADS, Axis.LOAD)))


def searched(pipeline: Pipeline, room: Space, *, limit: int = 60) -> list[Outcome]:
    """Measure the default under its loads, then whatever is proposed."""
    told = [pipeline.measure(Candidate.of(concurrency=load)) for load in (1, 4)]
    while (asked := propose(room, told)) is not None and len(told) < limit:
        told.append(pipeline.measure(asked.candidate))
    return told


def best(told: list[Outcome]) -> Outcome:
    return max(told, key=lambda each: each.score or 0.0)


def test_the_bottleneck_of_two_stages_gets_the_instances() -> None:
    """2 ms and 8 ms: one instance of the first keeps up with four of the second."""
    pipeline = Pipeline({"fast": 0.002, "slow": 0.008})
    told = searched(pipeline, space("fast", "slow"))
    found = best(told)
    assert found.candidate.get("slow::instance_count") == 4
    assert found.candidate.get("fast::instance_count") == 1
    assert found.score == pytest.approx(500)
    first = next(each for each in told if each.candidate.get("slow::instance_count") is not None)
    assert first.candidate.get("slow::instance_count") == 4, "in one step, not one by one"
    assert len(told) <= 8


def test_it_says_why_and_what_it_expects() -> None:
    pipeline = Pipeline({"fast": 0.002, "slow": 0.008})
    asked = propose(space("fast", "slow"), [pipeline.measure(Candidate.of(concurrency=4))])
    assert asked is not None
    assert asked.why.text == (
        "slow holds up the rest: its 1 instance is busy 100% of the time, so it gets 4"
    )
    assert asked.why.predicted == {"perf_throughput": pytest.approx(500)}
    assert asked.candidate.get("concurrency") == 16, "as much load as five instances need"


def test_while_nothing_is_busy_more_load_comes_first() -> None:
    pipeline = Pipeline({"fast": 0.002, "slow": 0.002})
    asked = propose(space("fast", "slow"), [pipeline.measure(Candidate.of(concurrency=1))])
    assert asked is not None
    assert asked.candidate.get("concurrency") == 2
    assert asked.candidate.get("slow::instance_count") == 1


def test_where_twice_the_load_brought_no_more_it_is_no_matter_of_load() -> None:
    pipeline, room = Pipeline({"a": 0.002, "b": 0.002}), space("a", "b")
    seen = pipeline.measure(Candidate.of(concurrency=1))
    first = propose(room, [seen])
    assert first is not None
    assert first.candidate.get("concurrency") == 2
    no_better = replace(pipeline.measure(first.candidate), score=seen.score)
    second = propose(room, [seen, no_better])
    assert second is not None
    assert second.candidate.get("a::instance_count") == 2


def test_where_the_processors_are_busy_more_instances_come_last() -> None:
    pipeline = Pipeline({"a": 0.002, "b": 0.008})
    seen = pipeline.measure(Candidate.of(concurrency=4))
    assert seen.row is not None
    busy = replace(seen.row, metrics={**seen.row.metrics, "cpu_machine_utilization": 99.0})
    backends = Dimension("b::backend", ("onnxruntime", "openvino"))
    room = Space((backends, *space("a", "b").dimensions))
    asked = propose(room, [replace(seen, row=busy)])
    assert asked is not None
    assert asked.candidate.get("b::backend") == "openvino"
    assert asked.candidate.get("b::instance_count") == 1
    assert asked.why.text == "b holds up the rest: backend openvino"
    calm = propose(room, [seen])
    assert calm is not None
    assert calm.candidate.get("b::instance_count") == 4


def test_where_a_constraint_is_broken_less_load_comes_first() -> None:
    pipeline = Pipeline({"fast": 0.002, "slow": 0.008})
    seen = pipeline.measure(Candidate.of(concurrency=4))
    broken = Outcome(seen.candidate, seen.score, feasible=False, violation=0.5, row=seen.row)
    asked = propose(space("fast", "slow"), [broken])
    assert asked is not None
    assert asked.candidate.get("concurrency") == 2


def test_where_the_load_is_limited_more_instances_are_tried_under_this_load_as_well() -> None:
    pipeline, room = Pipeline({"fast": 0.002, "slow": 0.008}), space("fast", "slow")
    here = pipeline.measure(Candidate.of(concurrency=4))
    first = propose(room, [here])
    assert first is not None
    assert first.candidate.get("concurrency") == 16
    too_much = replace(pipeline.measure(first.candidate), feasible=False, violation=0.5)
    second = propose(room, [here, too_much])
    assert second is not None
    assert second.candidate == first.candidate.replaced(concurrency=4)


def test_a_model_that_waits_for_a_saturated_one_is_not_the_bottleneck() -> None:
    pipeline = Pipeline({"fast": 0.002, "slow": 0.008})
    row = pipeline.measure(Candidate.of(concurrency=4)).row
    assert row is not None
    fast, slow = stations(row)
    assert (fast.model, round(fast.utilisation, 2)) == ("fast", 0.25)
    assert (slow.model, round(slow.utilisation, 2)) == ("slow", 1.0)
    assert slow.queue_s == pytest.approx(0.022)
    assert fast.bound == pytest.approx(500)
    assert narrowest((fast, slow)) is slow


def test_bare_scores_and_failures_say_nothing_of_stages() -> None:
    room = space("a", "b")
    candidate = next(iter(room))
    assert propose(room, []) is None
    assert propose(room, [Outcome(candidate, 1.0), Outcome(candidate, None)]) is None


def test_it_is_for_spaces_with_settings_of_several_models() -> None:
    assert applies(space("a"))
    assert not applies(Space((Dimension("instance_count", (1, 2)),)))
    loads = Dimension("a::concurrency", (1, 2), Axis.LOAD)
    assert not applies(Space((Dimension("instance_count", (1, 2)), loads)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from((0.001, 0.002, 0.003, 0.005, 0.008)), min_size=2, max_size=3),
    st.sampled_from((2.0, 4.0, math.inf)),
)
def test_whatever_stages_cost_the_best_is_found_in_few_steps(
    costs: list[float], cores: float
) -> None:
    pipeline = Pipeline(dict(zip("abc", costs, strict=False)), cores)
    names = tuple(pipeline.demands)
    told = searched(pipeline, space(*names))
    highest = max(
        pipeline.rate(dict(zip(names, counts, strict=True)), load)
        for counts in product(COUNTS, repeat=len(names))
        for load in LOADS
    )
    assert (best(told).score or 0.0) >= 0.98 * highest
    assert len({each.candidate for each in told}) == len(told), "nothing is asked twice"
    assert len(told) <= 8 + 4 * len(names)
