"""What an ensemble does with a request, on random graphs, whoever answers first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline import Course, Pipeline, Progress, Stage, Start


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw steps that each read what is written before them; two outputs each."""
    tensors = ["in0", "in1"]
    stages = []
    for place in range(draw(st.integers(1, 6))):
        read = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=3, unique=True))
        written = [f"t{place}a", f"t{place}b"]
        stages.append(
            Stage(
                f"m{place}",
                {f"i{at}": tensor for at, tensor in enumerate(read)},
                {"a": written[0], "b": written[1]},
            )
        )
        tensors += written
    outputs = draw(st.lists(st.sampled_from(tensors[2:]), min_size=1, max_size=4, unique=True))
    return Pipeline("e", ("in0", "in1"), tuple(stages), tuple(outputs))


def _value(pipeline: Pipeline, tensor: str) -> Any:
    """Work out what a tensor has to be, from behind."""
    place = pipeline.writers.get(tensor)
    if place is None:
        return tensor
    inputs = {name: _value(pipeline, one) for name, one in pipeline.stages[place].inputs.items()}
    return (place, tensor, tuple(sorted(inputs.items())))


def _needed(pipeline: Pipeline, wanted: frozenset[str]) -> set[int]:
    found: set[int] = set()
    left = list(wanted)
    while left:
        place = pipeline.writers.get(left.pop())
        if place is not None:
            found.add(place)
            left += pipeline.stages[place].inputs.values()
    return found


def _run(pipeline: Pipeline, start: Start) -> Mapping[str, Any]:
    inputs = tuple(sorted(start.inputs))
    return {
        name: (start.place, pipeline.stages[start.place].outputs[name], inputs)
        for name in start.outputs
    }


@given(pipelines(), st.data())
def test_each_needed_step_runs_once_as_soon_as_it_can_and_the_answer_is_what_the_graph_says(
    pipeline: Pipeline, data: st.DataObject
) -> None:
    wanted = frozenset(data.draw(st.sets(st.sampled_from(pipeline.outputs))))
    needed = _needed(pipeline, wanted or frozenset(pipeline.outputs))
    course = Course(pipeline, wanted)
    progress = course.begin({"in0": "in0", "in1": "in1"})
    known, begun = {"in0", "in1"}, list(progress.starts)
    waiting, responses = list(progress.starts), list(progress.responses)
    while waiting:
        assert not progress.over
        able = {place for place in needed if known >= set(pipeline.stages[place].inputs.values())}
        assert {start.place for start in begun} == able
        start = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        progress = course.answered(start.number, _run(pipeline, start), final=True)
        known |= set(pipeline.stages[start.place].outputs.values())
        begun += progress.starts
        waiting += progress.starts
        responses += progress.responses
    assert progress.over
    assert sorted(start.place for start in begun) == sorted(needed)
    chosen = wanted or pipeline.outputs
    assert responses == [{name: _value(pipeline, name) for name in chosen}]
    assert not course.fault


@given(pipelines(), st.data())
def test_after_a_fault_nothing_starts_and_it_is_over_when_all_has_ended(
    pipeline: Pipeline, data: st.DataObject
) -> None:
    course = Course(pipeline)
    progress = course.begin({"in0": "in0", "in1": "in1"})
    waiting = list(progress.starts)
    failed = False
    while waiting:
        assert not progress.over
        start = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        if not waiting or data.draw(st.booleans()):
            progress = course.failed(start.number)
            failed = True
        else:
            progress = course.answered(start.number, _run(pipeline, start), final=True)
        if failed:
            assert not progress.starts
            assert not progress.responses
        waiting += progress.starts
    assert progress.over


@given(pipelines(), st.data())
def test_a_tensor_that_never_comes_is_a_fault_that_names_who_did_not_give_it(
    pipeline: Pipeline, data: st.DataObject
) -> None:
    needed = sorted(_needed(pipeline, frozenset(pipeline.outputs)))
    guilty = data.draw(st.sampled_from(needed))
    course = Course(pipeline)
    progress = course.begin({"in0": "in0", "in1": "in1"})
    waiting = list(progress.starts)
    responses = list(progress.responses)
    while waiting:
        start = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        made = {} if start.place == guilty else _run(pipeline, start)
        progress = course.answered(start.number, made, final=True)
        waiting += progress.starts
        responses += progress.responses
    assert progress.over
    assert not responses
    assert f"step {guilty} ('m{guilty}') did not give its output" in course.fault


STREAM = Pipeline(
    "s",
    ("x",),
    (
        Stage("many", {"i": "x"}, {"o": "each"}, decoupled=True),
        Stage("side", {"i": "x"}, {"o": "once"}),
        Stage("work", {"i": "each", "j": "once"}, {"o": "made"}),
    ),
    ("made", "each"),
    most=2,
)


@given(st.integers(0, 6), st.data())
def test_answers_of_a_decoupled_step_flow_on_in_order_and_no_more_at_once_than_may(
    count: int, data: st.DataObject
) -> None:
    course = Course(STREAM)
    under_way: dict[str, list[Start]] = {"many": [], "side": [], "work": []}
    responses: list[Mapping[str, Any]] = []

    def follow(progress: Progress) -> bool:
        for start in progress.starts:
            under_way[STREAM.stages[start.place].name].append(start)
        responses.extend(progress.responses)
        assert len(under_way["work"]) <= STREAM.most
        return progress.over

    over = follow(course.begin({"x": "x"}))
    sent = 0
    while not over:
        name = data.draw(st.sampled_from([name for name, calls in under_way.items() if calls]))
        calls = under_way[name]
        if name == "many" and sent < count:
            over = follow(course.answered(calls[0].number, {"o": sent}, final=False))
            sent += 1
            continue
        start = calls.pop(data.draw(st.integers(0, len(calls) - 1)))
        outputs = None if name == "many" else {"o": ("worked", *start.inputs)}
        over = follow(course.answered(start.number, outputs, final=True))
    once = ("worked", ("i", "x"))
    assert responses == [
        {"made": ("worked", ("i", number), ("j", once)), "each": number} for number in range(count)
    ]
    assert not any(under_way.values())
    assert not course.waiting
