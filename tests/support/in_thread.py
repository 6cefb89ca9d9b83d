"""The service and its transports on free ports, on a loop in a thread of the test's process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from engine.clock import SystemClock
from engine.memory.table import RegionTable
from engine.metering import Metering
from engine.options import ServeOptions
from engine.service import Control, Service
from engine.telemetry.custom import CustomMetrics
from engine.telemetry.devices import Devices
from engine.telemetry.gpus import Gpus
from engine.telemetry.page import MetricsPage
from engine.transports.grpc import GrpcListener, serve_grpc
from engine.transports.http import serve_http
from engine.transports.listener import Listener
from engine.transports.metrics import Freeze, serve_metrics
from support.fake_registry import FakeModel, FakeRegistry

T = TypeVar("T")
PATIENCE_S = 60.0
Open = Callable[[asyncio.AbstractEventLoop], Awaitable[Control]]
Close = Callable[[], Awaitable[None]]


@dataclass
class Ports:
    """What is served, and where."""

    http: Listener
    grpc: GrpcListener
    metrics: Listener
    service: Service
    loop: asyncio.AbstractEventLoop
    registry: FakeRegistry = field(default_factory=FakeRegistry)

    def on_loop(self, work: Callable[[], T]) -> T:
        """Do something on the server's loop, and wait for it."""
        result: Future[T] = Future()
        self.loop.call_soon_threadsafe(lambda: result.set_result(work()))
        return result.result(PATIENCE_S)

    def wait_for(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await something on the server's loop."""

        async def awaited() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(PATIENCE_S)


def _page(registry: Any, metering: Metering, custom: CustomMetrics | None) -> Freeze:
    devices = Devices(Gpus(None, None), gpu=False, cpu=True, interval_ms=1000)
    return MetricsPage(registry.models, devices, metering, SystemClock(), custom).freeze


async def _open(
    registry: Control,
    max_input_size: int,
    regions: RegionTable | None,
    metering: Metering,
    custom: CustomMetrics | None,
) -> tuple[Any, ...]:
    service = Service(registry, ServeOptions(model_repository=(Path(),)), regions)
    return (
        await serve_http(service, address="127.0.0.1", port=0, max_input_size=max_input_size),
        await serve_grpc(service, address="127.0.0.1", port=0),
        await serve_metrics(_page(registry, metering, custom), address="127.0.0.1", port=0),
        service,
    )


@contextmanager
def listening(
    open_registry: Open,
    close_registry: Close,
    max_input_size: int = 1 << 20,
    regions: RegionTable | None = None,
    metering: Metering | None = None,
    custom: CustomMetrics | None = None,
) -> Iterator[Ports]:
    """Serve a registry; it is opened and closed on the server's loop."""
    started: Future[Ports] = Future()
    stop = asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        try:
            registry = await open_registry(loop)
            http, grpc, metrics, service = await _open(
                registry, max_input_size, regions, metering or Metering(), custom
            )
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(Ports(http, grpc, metrics, service, loop))
        await stop.wait()
        http.close()
        metrics.close()
        await grpc.drain(0)
        await close_registry()
        await asyncio.gather(http.drain(PATIENCE_S), metrics.drain(PATIENCE_S))

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ports = started.result(PATIENCE_S)
        yield ports
        ports.loop.call_soon_threadsafe(stop.set)
    except BaseException:
        if started.done() and not started.exception():
            started.result().loop.call_soon_threadsafe(stop.set)
        raise
    finally:
        thread.join(PATIENCE_S)


@contextmanager
def serving_fakes(
    *models: FakeModel, max_input_size: int = 1 << 20, regions: RegionTable | None = None
) -> Iterator[Ports]:
    """Serve models that stand for real ones."""
    registry = FakeRegistry(*models)

    async def opened(loop: asyncio.AbstractEventLoop) -> FakeRegistry:
        del loop
        return registry

    async def closed() -> None:
        return None

    with listening(opened, closed, max_input_size, regions) as ports:
        ports.registry = registry
        yield ports
