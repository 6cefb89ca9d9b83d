"""What the sequence batcher adds to requests, and takes from answers, in single batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError, Internal, InvalidArgument, NotFound
from engine.execution.controls import Controls
from engine.execution.instance import Outcome
from engine.execution.model import initial_states
from engine.execution.replies import Course, Reply
from engine.execution.sequences import SequenceInstance, SequenceOpenInstance, sequenced
from engine.execution.states import States, state_tensors
from engine.modelconfig.schema import (
    Control,
    ControlInput,
    ControlKind,
    InitialState,
    ModelConfig,
    ModelInput,
    ModelOutput,
    SequenceBatching,
    SequenceOldest,
    State,
)
from engine.telemetry.stats import Timings
from engine.types import DType, InferRequest, InferResponse, Tensor

START = Control(kind=ControlKind.CONTROL_SEQUENCE_START, fp32_false_true=(-1.0, 1.0))
READY = Control(kind=ControlKind.CONTROL_SEQUENCE_READY, bool_false_true=(False, True))
TEXT_ID = Control(kind=ControlKind.CONTROL_SEQUENCE_CORRID, data_type=DType.BYTES)
CONTROLS = (
    ControlInput(name="START", control=(START,)),
    ControlInput(name="READY", control=(READY,)),
    ControlInput(name="ID", control=(TEXT_ID,)),
)
STATE = State(input_name="S_IN", output_name="S_OUT", data_type=DType.INT32, dims=(2,))


def configured(*states: State, oldest: bool = False, max_batch_size: int = 4) -> ModelConfig:
    return ModelConfig(
        name="m",
        max_batch_size=max_batch_size,
        input=(ModelInput(name="X", data_type=DType.INT32, dims=(1,)),),
        output=(ModelOutput(name="Y", data_type=DType.INT32, dims=(1,)),),
        sequence_batching=SequenceBatching(
            control_input=CONTROLS,
            state=states,
            oldest=SequenceOldest(max_candidate_sequences=4) if oldest else None,
        ),
    )


def request(name: str, flags: str = "", value: int = 7) -> InferRequest:
    return InferRequest(
        inputs=(Tensor("X", DType.INT32, np.full((1, 1), value, np.int32)),),
        sequence_id=name,
        sequence_start="(" in flags,
        sequence_end=")" in flags,
    )


def values(request: InferRequest) -> dict[str, list[object]]:
    return {one.name: one.array.ravel().tolist() for one in request.inputs}


class Inside:
    """An instance that answers when a test says so."""

    def __init__(self) -> None:
        self.given: list[Sequence[InferRequest]] = []
        self.cancelled: list[int] = []
        self.finish: Callable[[Outcome], None] | None = None
        self.course: Course | None = None

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),
    ) -> Outcome | None:
        assert slots == ()
        self.given.append(requests)
        self.finish = finished
        return None

    def cancel(self, place: int) -> None:
        self.cancelled.append(place)

    def close(self, closed: Callable[[], None]) -> None:
        closed()


class Open(Inside):
    def begin(
        self, requests: Sequence[InferRequest], course: Course, slots: tuple[int, ...] = ()
    ) -> Callable[[int], None]:
        assert slots == ()
        self.given.append(requests)
        self.course = course
        return self.cancelled.append


def behind(inside: Inside, config: ModelConfig) -> SequenceInstance:
    (worker,) = sequenced([inside], config, state_tensors(config, lambda _: b""))
    assert isinstance(worker, SequenceInstance)
    return worker


def answer(*tensors: Tensor) -> InferResponse:
    return InferResponse(model="m", version="1", outputs=tensors)


def outcome(result: list[InferResponse] | EngineError) -> Outcome:
    return Outcome(result, Timings(0, 1, 1, 1))


def state(*numbers: int) -> Tensor:
    return Tensor("S_OUT", DType.INT32, np.array([numbers], np.int32))


@pytest.mark.triton("8.3", "8.5")
def test_a_row_that_nobody_has_is_not_ready_and_looks_like_the_others() -> None:
    inside = Inside()
    behind(inside, configured(STATE)).run([request("a", "(")], lambda _: None, (1,))
    nobody, somebody = inside.given[0]
    assert values(somebody) == {"X": [7], "START": [1.0], "READY": [True], "ID": [b"a"],
                                "S_IN": [0, 0]}  # fmt: skip
    assert values(nobody) == {"X": [0], "START": [-1.0], "READY": [False], "ID": [b""],
                              "S_IN": [0, 0]}  # fmt: skip
    shapes = [[one.array.shape for one in each.inputs] for each in inside.given[0]]
    assert shapes[0] == shapes[1] == [(1, 1), (1, 1), (1, 1), (1, 1), (1, 2)]


@pytest.mark.triton("8.4")
def test_with_the_oldest_strategy_there_is_no_row_that_nobody_has() -> None:
    inside = Inside()
    behind(inside, configured(oldest=True)).run([request("a", "(")], lambda _: None, (3,))
    assert len(inside.given[0]) == 1


def test_a_number_that_the_controls_type_cannot_hold_loses_its_high_bits() -> None:
    control = replace(TEXT_ID, data_type=DType.INT32)
    batching = SequenceBatching(control_input=(ControlInput(name="ID", control=(control,)),))
    controls = Controls(batching, batched=False)
    for given, held in ((5, 5), (2**32 + 5, 5), (2**31, -(2**31)), (-1, -1)):
        (tensor,) = controls.of(replace(request(""), sequence_id=given))
        assert (tensor.array.shape, tensor.array.tolist()) == ((1,), [held])


@pytest.mark.triton("8.9")
def test_a_state_stays_when_the_model_fails_or_writes_none_and_goes_with_the_sequence() -> None:
    inside, answers = Inside(), list[Outcome]()
    worker = behind(inside, configured(STATE))
    y = Tensor("Y", DType.INT32, np.ones((1, 1), np.int32))

    def run(flags: str, result: list[InferResponse] | EngineError) -> object:
        worker.run([request("a", flags)], answers.append, (0,))
        assert inside.finish is not None
        inside.finish(outcome(result))
        return values(inside.given[-1][0])["S_IN"]

    assert run("(", [answer(y, state(3, 4))]) == [0, 0]
    assert run("", Internal("it failed")) == [3, 4]
    assert run("", [answer(y)]) == [3, 4]
    assert run("", [answer(y, state(5))]) == [3, 4]
    assert run("", [answer(y, state(5, 6))]) == [3, 4]
    assert run(")", [answer(y, state(7, 8))]) == [5, 6]
    assert worker.remembered == 1
    worker.forget(0)
    assert worker.remembered == 0
    shown = [one.result for one in answers]
    assert [isinstance(one, list) and isinstance(one[0], EngineError) for one in shown] == [
        False, True, False, True, False, False,
    ]  # fmt: skip
    assert isinstance(shown[3], list)
    assert "came out with shape [1, 1], but the configuration says [1, 2]" in str(shown[3][0])
    assert isinstance(shown[0], list)
    assert isinstance(shown[0][0], InferResponse)
    assert [one.name for one in shown[0][0].outputs] == ["Y"]


def test_what_is_cancelled_is_cancelled_where_it_runs() -> None:
    inside = Inside()
    worker = behind(inside, configured())
    worker.run([request("a", "("), request("b", "(")], lambda _: None, (1, 3))
    worker.cancel(1)
    assert inside.cancelled == [3]
    worker.cancel(0)
    assert inside.cancelled == [3, 1, 0, 2], "nobody wants any of it: not the empty rows either"


@pytest.mark.triton("8.9")
def test_a_decoupled_model_keeps_its_sequences_apart_as_well() -> None:
    inside, replies = Open(), list[Reply]()
    config = configured(replace(STATE, initial_state=()))
    (worker,) = sequenced([inside], config, state_tensors(config, lambda _: b""))
    assert isinstance(worker, SequenceOpenInstance)
    course = Course(replies.append, lambda _: None)

    def begin(flags: str) -> list[object]:
        cancel = worker.begin([request("a", flags)], course, (1,))
        cancel(0)
        return values(inside.given[-1][1])["S_IN"]

    def reply(place: int, *tensors: Tensor, final: bool) -> None:
        assert inside.course is not None
        timings = Timings(0, 0, 0, 0)
        inside.course.replied(Reply(place, answer(*tensors), final, 0, 0, timings))

    assert begin("(") == [0, 0]
    reply(0, state(9, 9), final=True)
    reply(1, state(1, 2), final=False)
    reply(1, state(3, 4), final=True)
    assert begin("") == [3, 4]
    assert [(one.place, one.final, one.answer.outputs) for one in replies] == [
        (0, False, ()),
        (0, True, ()),
    ]
    assert inside.cancelled == [1, 1]


@pytest.mark.triton("8.9")
def test_an_initial_state_is_read_whole_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "initial_state"
    folder.mkdir()
    (folder / "short").write_bytes(bytes(7))
    (folder / "long").write_bytes(np.array([1, 2, 3], "<i4").tobytes())
    (folder / "texts").write_bytes(b"\1\0\0\0a\2\0\0\0bc")

    def states(file: str, dtype: DType = DType.INT32) -> list[object]:
        initial = InitialState(data_type=dtype, dims=(2,), name="first", data_file=file)
        one = replace(STATE, data_type=dtype, initial_state=(initial,))
        (tensor,) = States(initial_states(folder, configured(one))).inputs(0, start=True)
        return tensor.array.ravel().tolist()

    assert states("long") == [1, 2]
    assert states("texts", DType.BYTES) == [b"a", b"bc"]
    with pytest.raises(InvalidArgument) as short:
        states("short")
    assert short.value.message == (
        "initial_state setting expects 8 bytes, but the data provided from short only has 7 bytes."
    )
    with pytest.raises(NotFound, match="cannot read this initial state"):
        states("nowhere")
    (tmp_path / "secret").write_bytes(bytes(8))
    for outside in ("../secret", "..", "/etc/passwd", ""):
        with pytest.raises(InvalidArgument, match="must be a file of"):
            states(outside)


def test_a_state_without_a_first_value_is_zeros_or_empty_texts() -> None:
    for dtype, dims, first in (
        (DType.FP32, (-1, 2), [[[0.0, 0.0]]]),
        (DType.BYTES, (1,), [[b""]]),
    ):
        config = configured(replace(STATE, data_type=dtype, dims=dims))
        (tensor,) = state_tensors(config, lambda _: b"")
        assert tensor.first.tolist() == first
        assert not tensor.first.flags.writeable
