"""A model repository served by the real engine, in the test's own process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.clock import SystemClock
from engine.execution.host import Host
from engine.memory.table import RegionTable
from engine.options import ModelControlMode, ServeOptions
from engine.repository.registry import Registry
from support.in_thread import Ports, listening


@contextmanager
def serving_repository(
    folder: Path, *, max_input_size: int = 1 << 20, regions: RegionTable | None = None
) -> Iterator[Ports]:
    """Serve every model of a repository; clients may load and unload them."""
    options = ServeOptions(
        model_repository=(folder,),
        model_control_mode=ModelControlMode.EXPLICIT,
        load_model=("*",),
    )
    registries: list[Registry] = []

    async def opened(loop: asyncio.AbstractEventLoop) -> Registry:
        registry = Registry(options, clock=SystemClock(), loop=loop, host=Host(cores=2))
        await registry.start()
        registries.append(registry)
        return registry

    async def closed() -> None:
        await registries[0].stop(10)

    with listening(opened, closed, max_input_size, regions) as ports:
        yield ports
