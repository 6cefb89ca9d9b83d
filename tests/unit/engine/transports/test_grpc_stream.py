"""A stream of inferences: when it reads, when it ends, and what it takes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from support.conditions import within
from support.fake_registry import FakeModel, FakeRegistry, echo_config, turns
from support.in_thread import Ports, serving_fakes
from tritonclient.grpc import service_pb2, service_pb2_grpc

from engine.errors import Unavailable
from engine.options import ServeOptions
from engine.service import Service
from engine.transports.grpc import serve_grpc
from engine.transports.grpc_stream import MOST_UNSENT, STOPPING, Stream


def infer(name: str, model: str = "identity") -> Any:
    raw = np.arange(16, dtype=np.float32).tobytes()
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[raw], id=name)
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
    return request


class Client:
    """A call whose client reads only when the test lets it."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.read: list[str] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("a", "b"),)

    async def write(self, message: Any) -> None:
        await self.reads.wait()
        self.read.append(message.infer_response.id)


class Endless:
    """Sends requests for as long as somebody reads them."""

    def __init__(self, most: int) -> None:
        self.sent = 0
        self.most = most

    async def __aiter__(self) -> AsyncIterator[Any]:
        while self.sent < self.most:
            self.sent += 1
            yield infer(str(self.sent))
            await turns(1)


def service_of(*models: FakeModel) -> Service:
    return Service(FakeRegistry(*models), ServeOptions(model_repository=()))


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    async def main() -> None:
        client, sent = Client(), Endless(10 * MOST_UNSENT)
        stream = Stream(service_of(FakeModel()), client)
        running = asyncio.ensure_future(stream.run(sent.__aiter__()))
        seen = -1
        while sent.sent != seen:
            seen = sent.sent
            await turns(50)
        assert MOST_UNSENT <= sent.sent <= MOST_UNSENT + 2
        client.reads.set()
        assert await running is None
        assert client.read == [str(number + 1) for number in range(10 * MOST_UNSENT)]

    asyncio.run(main())


def test_a_call_that_is_cancelled_takes_back_all_it_asked_for() -> None:
    async def main() -> None:
        model = FakeModel()
        model.held = True
        stream = Stream(service_of(model), Client())
        running = asyncio.ensure_future(stream.run(Endless(3).__aiter__()))
        while len(model.requests) < 3:
            await turns(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert model.cancelled == [1, 2, 3]
        assert model.pending == 0

    asyncio.run(main())


def test_a_stop_answers_what_is_under_way_and_ends_the_stream() -> None:
    async def main() -> None:
        model = FakeModel()
        model.held = True
        client = Client()
        client.reads.set()

        async def messages() -> AsyncIterator[Any]:
            yield infer("a")
            await asyncio.Event().wait()

        stream = Stream(service_of(model), client)
        running = asyncio.ensure_future(stream.run(messages()))
        while not model.requests:
            await turns(1)
        stream.stop()
        await turns(5)
        assert not running.done()
        model.release()
        refusal = await running
        assert isinstance(refusal, Unavailable)
        assert refusal.message == STOPPING
        assert client.read == ["a"]

    asyncio.run(main())


@pytest.fixture(scope="module")
def server() -> Iterator[Ports]:
    with serving_fakes(FakeModel(), FakeModel(echo_config("held"))) as ports:
        yield ports


def test_a_server_that_stops_ends_its_idle_streams_in_words(server: Ports) -> None:
    service = service_of(FakeModel())
    listener = server.wait_for(lambda: serve_grpc(service, address="127.0.0.1", port=0))
    never = asyncio.Event()

    async def messages() -> AsyncIterator[Any]:
        yield infer("a")
        await never.wait()

    async def main() -> tuple[str, str]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(messages())
            assert (await call.read()).infer_response.id == "a"
            stopped = asyncio.to_thread(server.wait_for, lambda: listener.drain(20))
            stopping = asyncio.ensure_future(stopped)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            await stopping
        return refused.value.code().name, refused.value.details()

    assert asyncio.run(asyncio.wait_for(main(), 15)) == ("UNAVAILABLE", STOPPING)


def test_a_client_that_goes_takes_back_what_it_asked_for_on_its_stream(server: Ports) -> None:
    held = server.registry.get("held")
    held.held = True
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.port}") as channel:
        sent = iter([infer("a", "held"), infer("b", "held")])
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(sent)
        assert within(lambda: held.pending == 2)
        call.cancel()
        assert within(lambda: held.pending == 0)
    assert held.cancelled == [1, 2]
    held.held = False
