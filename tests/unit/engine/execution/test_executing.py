"""Models that see requests: every request is answered exactly once, by the rules of its kind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from support.fake_backend import config

from engine.backend import Executor, Placement, Signature, Work
from engine.clock import SystemClock
from engine.errors import Cancelled, Code, EngineError, Internal, InvalidArgument
from engine.execution.batch import layout
from engine.execution.executing import DecoupledInstance
from engine.execution.host import Host
from engine.execution.instance import Mailbox
from engine.execution.model import ServedModel, load
from engine.execution.replies import Course, Reply
from engine.modelconfig.schema import DynamicBatching, ModelConfig, ModelInput, ModelOutput
from engine.telemetry.stats import FailureReason
from engine.types import DType, InferRequest, InferResponse, RequestedOutput, Tensor

Behaviour = Callable[[Sequence[Work]], None]
_PATIENCE_S = 20


@dataclass
class Told:
    """An executor that does what a test says."""

    behaviour: Behaviour
    closed: bool = False
    executions: int = 0

    def execute(self, batch: Sequence[Work]) -> None:
        self.executions += 1
        self.behaviour(batch)

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "told"}

    def close(self) -> None:
        self.closed = True


@dataclass
class Backend:
    executor: Told

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:  # noqa: ARG002 - protocol
        return None

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Executor:  # noqa: ARG002 - protocol
        assert placement.instance == "model_0_0"
        return self.executor


@asynccontextmanager
async def serving(told: Told, model: ModelConfig) -> AsyncIterator[ServedModel]:
    served = await asyncio.to_thread(
        load,
        "model",
        1,
        Path("/nowhere"),
        model,
        Backend(told),
        clock=SystemClock(),
        loop=asyncio.get_running_loop(),
        host=Host(cores=1),
    )
    yield served
    drained = asyncio.Event()
    served.stop(drained.set)
    await drained.wait()
    assert told.closed


class Asked:
    """A request that was submitted, and what it has been answered."""

    def __init__(self, model: ServedModel, asked: InferRequest) -> None:
        self.answers: list[InferResponse | EngineError] = []
        self.over: asyncio.Future[InferResponse | EngineError] = asyncio.Future()
        self.first = asyncio.Event()
        self.ticket = model.submit(asked, self._done, self._emit)

    def _emit(self, answer: InferResponse | EngineError) -> None:
        assert not self.over.done(), "an answer after the final one"
        self.answers.append(answer)
        self.first.set()

    def _done(self, answer: InferResponse | EngineError) -> None:
        self.over.set_result(answer)


def request(value: float = 1.0, rows: int = 1, **fields: object) -> InferRequest:
    array = np.full((rows, 2), value, np.float32)
    return InferRequest(inputs=(Tensor("X", DType.FP32, array),), **fields)  # type: ignore[arg-type]


def echo(work: Work, *, final: bool = True) -> None:
    (given,) = work.request.inputs
    work.replies.send((Tensor("Y", given.dtype, given.array),), final=final)


def run(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(asyncio.wait_for(main, _PATIENCE_S))


async def ask(told: Told, model: ModelConfig, *requests: InferRequest) -> list[Asked]:
    async with serving(told, model) as served:
        asked = [Asked(served, one) for one in requests]
        for one in asked:
            await one.over
    return asked


def values(answer: InferResponse | EngineError) -> list[float]:
    assert isinstance(answer, InferResponse)
    return [float(value) for value in answer.outputs[0].array.ravel()]


BATCHING = config(batching=DynamicBatching(preferred_batch_size=(8,)))
DECOUPLED = replace(BATCHING, decoupled=True)


def test_a_batch_keeps_each_requests_own_rows_and_counts_as_one_execution() -> None:
    shapes: list[tuple[int, ...]] = []

    def behave(batch: Sequence[Work]) -> None:
        shapes.extend(one.request.inputs[0].array.shape for one in batch)
        for one in reversed(batch):
            echo(one)

    async def main() -> None:
        async with serving(Told(behave), BATCHING) as served:
            asked = [Asked(served, request(value, rows=value)) for value in (1, 2, 3)]
            results = [await one.over for one in asked]
            assert [values(one) for one in results] == [[1.0] * 2, [2.0] * 4, [3.0] * 6]
            figures = served.statistics()
            assert (figures.execution_count, figures.inference_count) == (1, 6)
            assert figures.success.count == figures.queue.count == 3
            assert figures.compute_infer.count == 3
            (size,) = figures.batch_stats
            assert size.batch_size == 6
            assert figures.response_stats == ()

    run(main())
    assert shapes == [(1, 2), (2, 2), (3, 2)]


def _leave_out(batch: Sequence[Work]) -> None:
    del batch


def _only_say_the_end(batch: Sequence[Work]) -> None:
    batch[0].replies.send(None, final=True)


def _answer_twice(batch: Sequence[Work]) -> None:
    echo(batch[0], final=False)
    echo(batch[0])


def _raise(batch: Sequence[Work]) -> None:
    raise ValueError(f"no good in {len(batch)}")


def _invent(batch: Sequence[Work]) -> None:
    batch[0].replies.send((Tensor("Z", DType.FP32, np.zeros(1)),), final=True)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (_leave_out, "model 'model' gave no response"),
        (_only_say_the_end, "model 'model' gave no response"),
        (_answer_twice, "model 'model' sent several responses"),
        (_raise, "model instance 'model_0_0' failed: ValueError: no good in 1"),
        (_invent, "unexpected inference output 'Z' for model 'model'"),
    ],
)
def test_a_request_not_answered_once_gets_an_error_that_names_the_model(
    behaviour: Behaviour, said: str
) -> None:
    async def main() -> None:
        (asked,) = await ask(Told(behaviour), BATCHING, request())
        answer = asked.over.result()
        assert isinstance(answer, Internal)
        assert said in answer.message

    run(main())


def test_an_answer_after_the_final_one_is_refused_to_the_model() -> None:
    said: list[str] = []

    def behave(batch: Sequence[Work]) -> None:
        echo(batch[0])
        with pytest.raises(Internal) as refused:
            echo(batch[0])
        said.append(refused.value.message)

    async def main() -> None:
        for model in (BATCHING, DECOUPLED):
            (asked,) = await ask(Told(behave), model, request(5))
            assert values(asked.over.result()) == [5.0, 5.0]

    run(main())
    assert all("Response sender has been closed" in one for one in said)
    assert len(said) == 2


def test_one_requests_error_is_its_own() -> None:
    def behave(batch: Sequence[Work]) -> None:
        for one in batch:
            if one.request.id == "bad":
                one.replies.send(InvalidArgument("it is bad"), final=True)
            else:
                echo(one)

    async def main() -> None:
        bad, good = await ask(Told(behave), BATCHING, request(id="bad"), request(id="good"))
        answer = bad.over.result()
        assert isinstance(answer, InvalidArgument)
        assert isinstance(good.over.result(), InferResponse)

    run(main())


def test_reshape_is_done_and_undone_and_only_asked_outputs_are_passed_on() -> None:
    model = replace(
        BATCHING,
        input=(ModelInput(name="X", data_type=DType.FP32, dims=(2,), reshape=(2, 1)),),
        output=(
            ModelOutput(name="Y", data_type=DType.FP32, dims=(2,), reshape=(2, 1)),
            ModelOutput(name="W", data_type=DType.FP32, dims=(2,)),
        ),
    )
    seen: list[tuple[int, ...]] = []

    def behave(batch: Sequence[Work]) -> None:
        (given,) = batch[0].request.inputs
        seen.append(given.array.shape)
        outputs = (Tensor("W", DType.FP32, given.array), Tensor("Y", DType.FP32, given.array))
        batch[0].replies.send(outputs, final=True, parameters={"tokens": 3})

    async def main() -> None:
        asking = request(rows=3, outputs=(RequestedOutput("Y"),), id="r")
        (asked,) = await ask(Told(behave), model, asking)
        answer = asked.over.result()
        assert isinstance(answer, InferResponse)
        (output,) = answer.outputs
        assert (output.name, output.array.shape) == ("Y", (3, 2))
        assert (answer.id, dict(answer.parameters)) == ("r", {"tokens": 3})

    run(main())
    assert seen == [(3, 2, 1)]


def test_a_decoupled_models_instance_is_free_while_its_requests_live_on() -> None:
    kept: list[Work] = []

    async def main() -> None:
        told = Told(kept.extend)
        async with serving(told, DECOUPLED) as served:
            first = Asked(served, request(1))
            while len(kept) < 1:
                await asyncio.to_thread(lambda: None)
            second = Asked(served, request(2))
            while len(kept) < 2:
                await asyncio.to_thread(lambda: None)
            echo(kept[1], final=False)
            echo(kept[0])
            echo(kept[1], final=False)
            kept[1].replies.send(None, final=True)
            assert values(await first.over) == [1.0, 1.0]
            end = await second.over
            assert isinstance(end, InferResponse)
            assert (end.empty, end.outputs) == (True, ())
            assert [values(one) for one in second.answers] == [[2.0, 2.0]] * 2
            figures = served.statistics()
            assert (figures.execution_count, figures.success.count) == (2, 2)
            assert figures.compute_infer.count == figures.queue.count == 2
            assert figures.success.ns >= figures.queue.ns + figures.compute_infer.ns
            counts = [
                (one.success.count, one.fail.count, one.empty_response.count)
                for one in figures.response_stats
            ]
            assert counts == [(2, 0, 0), (1, 0, 0), (0, 0, 1)]

    run(main())


def test_a_stop_waits_for_the_final_answers_of_a_decoupled_model() -> None:
    kept: list[Work] = []
    received = threading.Event()

    def keep(batch: Sequence[Work]) -> None:
        kept.extend(batch)
        received.set()

    async def main() -> None:
        told = Told(keep)
        async with serving(told, DECOUPLED) as served:
            asked = Asked(served, request())
            await asyncio.to_thread(received.wait)
            drained = asyncio.Event()
            served.stop(drained.set)
            echo(kept[0], final=False)
            await asked.first.wait()
            assert not told.closed
            kept[0].replies.send(None, final=True)
            await drained.wait()
            assert asked.over.done()

    run(main())


def test_an_instance_that_is_let_go_closes_behind_the_last_answer_of_its_requests() -> None:
    kept: list[Work] = []

    async def main() -> None:
        told = Told(kept.extend)
        loop, closed = asyncio.get_running_loop(), asyncio.Event()
        arrangement = layout("model", 1, DECOUPLED)
        instance = DecoupledInstance("m", told, arrangement, Mailbox(loop), SystemClock())
        replies: list[Reply] = []
        released = asyncio.Event()
        instance.begin([request()], Course(replies.append, lambda _: released.set()))
        await released.wait()
        instance.close(closed.set)
        echo(kept[0], final=False)
        while not replies:
            await asyncio.to_thread(lambda: None)
        assert not told.closed
        kept[0].replies.send(None, final=True)
        await closed.wait()
        assert told.closed
        assert [one.final for one in replies] == [False, True]

    run(main())


def test_what_execute_raises_ends_the_decoupled_requests_that_are_open_and_no_others() -> None:
    def behave(batch: Sequence[Work]) -> None:
        echo(batch[0])
        echo(batch[1], final=False)
        raise ValueError("half way")

    async def main() -> None:
        first, second = await ask(Told(behave), DECOUPLED, request(), request())
        assert isinstance(first.over.result(), InferResponse)
        answer = second.over.result()
        assert isinstance(answer, Internal)
        assert "half way" in answer.message
        assert len(second.answers) == 1

    run(main())


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_running_request_that_is_cancelled_is_seen_by_its_model_and_no_other(
    decoupled: bool,  # noqa: FBT001 - a case
) -> None:
    running = threading.Event()

    def behave(batch: Sequence[Work]) -> None:
        running.set()
        unwanted, wanted = batch
        while not unwanted.replies.cancelled:
            threading.Event().wait(0.001)
        assert not wanted.replies.cancelled
        unwanted.replies.send(Cancelled("it stopped"), final=True)
        echo(wanted)

    async def main() -> None:
        async with serving(Told(behave), replace(BATCHING, decoupled=decoupled)) as served:
            unwanted, wanted = Asked(served, request()), Asked(served, request(7))
            await asyncio.to_thread(running.wait)
            served.cancel(unwanted.ticket)
            answer = await unwanted.over
            assert isinstance(answer, EngineError)
            assert answer.code is Code.CANCELLED
            assert values(await wanted.over) == [7.0, 7.0]
            figures = served.statistics()
            assert figures.failures[FailureReason.CANCELED] == figures.fail.count == 1
            if decoupled:
                (first,) = figures.response_stats
                assert first.cancel.count == first.success.count == 1

    run(main())


def test_preserve_ordering_keeps_a_decoupled_requests_answers_behind_those_before_it() -> None:
    kept: list[Work] = []

    async def main() -> None:
        model = replace(DECOUPLED, dynamic_batching=DynamicBatching(preserve_ordering=True))
        async with serving(Told(kept.extend), model) as served:
            first, second = Asked(served, request(1)), Asked(served, request(2))
            while len(kept) < 2:
                await asyncio.to_thread(lambda: None)
            echo(kept[1], final=False)
            echo(kept[1])
            echo(kept[0], final=False)
            await first.first.wait()
            assert second.answers == []
            kept[0].replies.send(None, final=True)
            assert values(await second.over) == [2.0, 2.0]
            assert len(second.answers) == 1

    run(main())
