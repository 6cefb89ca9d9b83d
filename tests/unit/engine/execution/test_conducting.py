"""An ensemble's steps get the request's own properties and arrays, and are taken back with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
import pytest
from support.fake_backend import config

from engine.clock import ManualClock
from engine.errors import Cancelled, EngineError, InvalidArgument, Unavailable
from engine.execution.conducting import Conductor
from engine.inside import Charge, Done, Emit
from engine.pipeline import Pipeline, Stage
from engine.telemetry.stats import FailureReason, Ledger, Tally
from engine.types import DType, InferRequest, InferResponse, Parameter, Tensor, TensorSpec

CHAIN = Pipeline(
    "e",
    ("X",),
    (Stage("m", {"X": "X"}, {"Y": "t"}), Stage("m", {"X": "t"}, {"Y": "Y"})),
    ("Y",),
)
Answer = InferResponse | EngineError


class _Callee:
    """A model that keeps what it is asked until it is told to answer."""

    def __init__(self) -> None:
        self.name = "m"
        self.version = 1
        self.config = config()
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self.labels: Mapping[str, tuple[bytes, ...]] = {}
        self.asked: list[tuple[InferRequest, Done]] = []
        self.cancelled: list[int] = []
        self.holds = 2

    def check(self, request: InferRequest) -> object:
        return request

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        assert emit is None
        assert charge is not None
        self.asked.append((request, done))
        return len(self.asked)

    def cancel(self, ticket_id: int) -> None:
        self.cancelled.append(ticket_id)

    def hold(self) -> None:
        self.holds += 1

    def let_go(self) -> None:
        self.holds -= 1

    def answer(self, **parameters: Parameter) -> None:
        """Give the last request its X back as Y."""
        request, done = self.asked[-1]
        given = request.inputs[0]
        outputs = (Tensor("Y", given.dtype, given.array),)
        done(InferResponse(model="m", version="1", outputs=outputs, parameters=parameters))


def _play(
    scene: Callable[[Conductor, _Callee, list[Answer]], Coroutine[Any, Any, None]],
    ledger: Ledger | None = None,
) -> None:
    async def main() -> None:
        callee = _Callee()
        conductor = Conductor(
            CHAIN,
            (callee, callee),
            ledger or Ledger("e", 1),
            ManualClock(),
            asyncio.get_running_loop(),
            batched=True,
        )
        await scene(conductor, callee, [])

    asyncio.run(main())


def _request(array: Any) -> InferRequest:
    return InferRequest(
        inputs=(Tensor("X", DType.FP32, array),),
        id="mine",
        priority=3,
        timeout_us=5_000_000,
        sequence_id=7,
        sequence_start=True,
        sequence_end=True,
        parameters={"some": "thing"},
    )


async def _turn() -> None:
    turned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turned.set_result, None)
    await turned


@pytest.mark.triton("9.5")
def test_every_step_gets_the_requests_properties_and_the_very_arrays() -> None:
    async def scene(conductor: Conductor, callee: _Callee, answers: list[Answer]) -> None:
        array = np.zeros((2, 2), np.float32)
        conductor.submit(_request(array), answers.append)
        await _turn()
        callee.answer()
        callee.answer()
        for request, _ in callee.asked:
            assert request.inputs[0].array is array
            assert [output.name for output in request.outputs] == ["Y"]
            assert (request.id, request.priority, request.timeout_us) == ("mine", 3, 5_000_000)
            assert (request.sequence_id, request.sequence_start, request.sequence_end) == (
                7,
                True,
                True,
            )
            assert request.parameters == {"some": "thing"}
        (answer,) = answers
        assert isinstance(answer, InferResponse)
        assert answer.outputs[0].array is array

    _play(scene)


@pytest.mark.triton("9.5")
def test_who_is_taken_back_takes_the_step_back_and_starts_no_other() -> None:
    async def scene(conductor: Conductor, callee: _Callee, answers: list[Answer]) -> None:
        number = conductor.submit(_request(np.zeros((1, 2), np.float32)), answers.append)
        await _turn()
        conductor.cancel(number)
        assert callee.cancelled == [1]
        assert answers == []
        callee.answer()
        assert isinstance(answers[0], Cancelled)
        assert len(callee.asked) == 1

    _play(scene)


def test_a_stop_waits_for_who_is_under_way_refuses_newcomers_and_lets_the_models_go() -> None:
    async def scene(conductor: Conductor, callee: _Callee, answers: list[Answer]) -> None:
        drained: list[bool] = []
        conductor.submit(_request(np.zeros((1, 2), np.float32)), answers.append)
        await _turn()
        conductor.stop(lambda: drained.append(True))
        conductor.submit(_request(np.zeros((1, 2), np.float32)), answers.append)
        await _turn()
        assert isinstance(answers.pop(), Unavailable)
        callee.answer()
        assert not drained
        assert callee.holds == 2
        callee.answer()
        assert isinstance(answers[0], InferResponse)
        assert drained == [True]
        assert callee.holds == 0

    _play(scene)


@pytest.mark.triton("9.5")
def test_a_step_may_choose_the_sequence_of_those_behind_it_and_the_response_says_it() -> None:
    async def scene(conductor: Conductor, callee: _Callee, answers: list[Answer]) -> None:
        conductor.submit(_request(np.zeros((2, 2), np.float32)), answers.append)
        await _turn()
        callee.answer(sequence_id=-1, sequence_start=True, other="not passed on")
        second, _ = callee.asked[1]
        assert (second.sequence_id, second.sequence_start) == ((1 << 64) - 1, True)
        assert not second.sequence_end
        callee.answer()
        (answer,) = answers
        assert isinstance(answer, InferResponse)
        assert answer.parameters == {
            "sequence_id": -1, "sequence_start": True, "sequence_end": False
        }  # fmt: skip

    _play(scene)


@pytest.mark.triton("9.8", "9.9")
def test_a_sequence_of_another_kind_fails_the_request_which_is_counted_as_no_more() -> None:
    ledger = Ledger("e", 1)

    async def scene(conductor: Conductor, callee: _Callee, answers: list[Answer]) -> None:
        conductor.submit(_request(np.zeros((2, 2), np.float32)), answers.append)
        await _turn()
        callee.answer(sequence_end="yes")
        (answer,) = answers
        assert isinstance(answer, InvalidArgument)
        assert "in ensemble 'e', expect parameter 'sequence_end' to be" in answer.message
        figures = ledger.picture(0)
        assert figures.failures[FailureReason.OTHER] == figures.fail.count == 1
        assert figures.compute_infer == figures.success == Tally()
        assert figures.execution_count == 0

    _play(scene, ledger)
