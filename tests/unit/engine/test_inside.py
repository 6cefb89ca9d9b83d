"""Models are found, held, called and taken back by those that run in the same server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_backend import FakeBackend, config

from engine.clock import SystemClock
from engine.errors import EngineError, InvalidArgument, NotFound, Unavailable
from engine.execution.host import Host
from engine.execution.model import ServedModel, load
from engine.inside import Inside
from engine.types import Array, DType, InferRequest, InferResponse, Tensor

Answer = InferResponse | EngineError


class _Models:
    """A registry of one model."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    def get(self, name: str, version: str = "") -> ServedModel:
        if name != "model" or version not in {"", "-1", "3"}:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        return self.model

    async def load(self, name: str, parameters: object) -> None:
        del name, parameters

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - the protocol's
        del name, unload_dependents


def _with_inside(scene: Callable[[Inside, ServedModel], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        inside = Inside(loop)
        with pytest.raises(Unavailable, match="starting"):
            inside.find("model")
        model = await asyncio.to_thread(
            lambda: load(
                "model",
                3,
                Path("3"),
                config(),
                FakeBackend(lambda inputs: {"Y": inputs["X"]}),
                clock=SystemClock(),
                loop=loop,
                host=Host(cores=1, inside=inside),
            )
        )
        inside.connect(_Models(model))
        await asyncio.wait_for(scene(inside, model), 10)

    asyncio.run(main())


def _request(array: Array) -> InferRequest:
    return InferRequest(inputs=(Tensor("X", DType.FP32, array),))


def test_a_model_is_called_from_the_loop_and_from_any_thread() -> None:
    async def scene(inside: Inside, model: ServedModel) -> None:
        array = np.zeros((1, 2), np.float32)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        assert inside.find("model", 3) is model
        inside.call(inside.find("model"), _request(array), answer.set_result)
        response = await answer
        assert isinstance(response, InferResponse)
        assert response.outputs[0].array is not None

        loop = asyncio.get_running_loop()

        def elsewhere() -> None:
            other: asyncio.Future[Answer] = inside.ask(loop.create_future)
            inside.ask(inside.call, model, _request(array), other.set_result)
            with pytest.raises(NotFound):
                inside.ask(inside.find, "model", 4)
            assert inside.begin(_wait(other)).result(10) is not None

        await asyncio.to_thread(elsewhere)

    _with_inside(scene)


async def _wait(future: asyncio.Future[Answer]) -> Answer:
    return await future


def test_what_does_not_fit_the_model_is_refused_before_it_is_under_way() -> None:
    async def scene(inside: Inside, model: ServedModel) -> None:
        with pytest.raises(InvalidArgument, match="unexpected shape for input 'X'"):
            inside.call(model, _request(np.zeros((1, 3), np.float32)), lambda _: None)
        assert model.pending == 0

    _with_inside(scene)


def test_who_holds_a_model_can_call_it_until_it_lets_go() -> None:
    async def scene(inside: Inside, model: ServedModel) -> None:
        drained = asyncio.Event()
        model.hold()
        model.hold()
        model.stop(drained.set)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        model.let_go()
        inside.call(model, _request(np.zeros((1, 2), np.float32)), answer.set_result)
        assert isinstance(await answer, InferResponse)
        assert not drained.is_set()
        model.let_go()
        await drained.wait()

    _with_inside(scene)
