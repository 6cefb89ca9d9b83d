"""A served model, whole: loaded, asked by many at once, counted, stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from support.fake_backend import FakeBackend, config

from engine.clock import SystemClock
from engine.errors import EngineError, Internal, Unavailable, Unsupported
from engine.execution.host import Host
from engine.execution.model import ServedModel, load
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig
from engine.types import Array, DType, InferRequest, InferResponse, Tensor, TensorSpec

CPU = InstanceKind.KIND_CPU


def plus_one(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"Y": inputs["X"] + np.float32(1)}


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main, 20))


HOST = Host(cores=4)


async def start(model: ModelConfig, backend: FakeBackend, host: Host = HOST) -> ServedModel:
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(
        lambda: load(
            "model", 3, Path("3"), model, backend, clock=SystemClock(), loop=loop, host=host
        )
    )


def submit(
    model: ServedModel, value: float, rows: int = 1, name: str = ""
) -> asyncio.Future[InferResponse | EngineError]:
    answer: asyncio.Future[InferResponse | EngineError] = asyncio.get_running_loop().create_future()
    tensor = Tensor("X", DType.FP32, np.full((rows, 2), value, np.float32))
    model.submit(InferRequest(inputs=(tensor,), id=name), answer.set_result)
    return answer


async def stop(model: ServedModel) -> None:
    drained = asyncio.Event()
    model.stop(drained.set)
    await drained.wait()


def test_a_thousand_requests_at_once_each_get_their_own_answer() -> None:
    async def main() -> None:
        backend = FakeBackend(plus_one)
        model = await start(
            config(batching=DynamicBatching(), groups=(InstanceGroup(kind=CPU, count=2),)), backend
        )
        answers = await asyncio.gather(
            *(submit(model, value, 1 + value % 3, str(value)) for value in range(1000))
        )
        for value, response in enumerate(answers):
            assert isinstance(response, InferResponse)
            assert (response.model, response.version) == ("model", "3")
            assert response.id == str(value)
            expected = np.full((1 + value % 3, 2), value + 1, np.float32)
            np.testing.assert_array_equal(response.outputs[0].array, expected)
        seen = model.statistics()
        assert seen.success.count == 1000
        assert seen.inference_count == sum(1 + value % 3 for value in range(1000))
        assert seen.inference_count / seen.execution_count > 4, "batches form by themselves"
        assert max(size.batch_size for size in seen.batch_stats) == 8
        assert seen.last_inference > 0
        assert model.pending == 0
        await stop(model)
        assert [one.closed for one in backend.loaded] == [1, 1]

    run(main())


def test_it_says_what_it_is_and_what_runs() -> None:
    async def main() -> None:
        model = await start(
            config(groups=(InstanceGroup(kind=CPU, count=2),)), FakeBackend(plus_one)
        )
        assert (model.name, model.version) == ("model", 3)
        assert model.inputs == (TensorSpec("X", DType.FP32, (-1, 2)),)
        assert model.outputs == (TensorSpec("Y", DType.FP32, (-1, 2)),)
        assert model.runtime == {"runtime": "fake", "threads": "2", "instances": "2"}
        await stop(model)

    run(main())


def test_passive_instances_are_loaded_and_closed_but_get_no_requests() -> None:
    async def main() -> None:
        groups = (
            InstanceGroup(name="p", kind=CPU, count=1, passive=True),
            InstanceGroup(name="a", kind=CPU, count=1),
        )
        backend = FakeBackend(plus_one)
        model = await start(config(groups=groups), backend)
        await asyncio.gather(*(submit(model, value) for value in range(20)))
        assert [len(one.batches) for one in backend.loaded] == [20, 0]
        await stop(model)
        assert [one.closed for one in backend.loaded] == [1, 1]

    run(main())


def test_what_failed_in_one_batch_harms_no_other() -> None:
    def odd(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if 13 in inputs["X"]:
            raise ValueError("thirteen")
        return plus_one(inputs)

    async def main() -> None:
        model = await start(config(), FakeBackend(odd))
        answers = await asyncio.gather(*(submit(model, value) for value in range(40)))
        failed = [value for value, one in enumerate(answers) if isinstance(one, EngineError)]
        assert failed == [13]
        assert isinstance(answers[13], Internal)
        assert model.statistics().fail.count == 1
        await stop(model)

    run(main())


def test_an_instance_that_does_not_load_takes_the_others_with_it() -> None:
    async def main() -> None:
        backend = FakeBackend(plus_one, fail_at=2)
        with pytest.raises(Internal, match=r"'g_2' could not be loaded from 3: OSError: no memory"):
            await start(config(groups=(InstanceGroup(name="g", kind=CPU, count=3),)), backend)
        assert [one.closed for one in backend.loaded] == [1, 1]

    run(main())


def test_what_cannot_be_served_is_refused_before_anything_is_loaded() -> None:
    async def main() -> None:
        backend = FakeBackend(plus_one)
        with pytest.raises(Unsupported, match=r"model 'model': .*model_operations"):
            await start(replace(config(), other={"model_operations": ""}), backend)
        assert backend.loaded == []

    run(main())


def test_with_preserve_ordering_responses_leave_in_the_order_of_arrival() -> None:
    async def main() -> None:
        batching = DynamicBatching(preserve_ordering=True)
        groups = (InstanceGroup(kind=CPU, count=3),)
        fifth_ran = threading.Event()

        def first_after_fifth(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            if 5 in inputs["X"]:
                fifth_ran.set()
            elif 0 in inputs["X"]:
                assert fifth_ran.wait(10)
            return plus_one(inputs)

        model = await start(
            config(max_batch_size=1, batching=batching, groups=groups),
            FakeBackend(first_after_fifth),
        )
        order: list[int] = []
        answers = [submit(model, value) for value in range(200)]
        for value, answer in enumerate(answers):
            answer.add_done_callback(lambda _, v=value: order.append(v))  # type: ignore[misc]
        await asyncio.gather(*answers)
        assert order == list(range(200))
        await stop(model)

    run(main())


def test_stopping_finishes_what_is_under_way_and_refuses_newcomers() -> None:
    async def main() -> None:
        model = await start(config(batching=DynamicBatching()), FakeBackend(plus_one))
        before = [submit(model, value) for value in range(100)]
        drained = asyncio.Event()
        model.stop(drained.set)
        after = submit(model, 0, name="late")
        assert all(isinstance(answer, InferResponse) for answer in await asyncio.gather(*before))
        refused = await after
        assert isinstance(refused, Unavailable)
        assert "[request id: late] Server is stopping" in refused.message
        await drained.wait()

    run(main())
