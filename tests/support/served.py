"""A real registry with real models behind real ports, in a thread of the test's process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from engine.clock import SystemClock
from engine.execution.ensemble import Composer
from engine.execution.host import Host
from engine.inside import Inside
from engine.memory.table import RegionTable
from engine.options import ModelControlMode, ServeOptions
from engine.repository.registry import Registry
from engine.telemetry.custom import CustomMetrics
from support.in_thread import Ports, listening

Shape = Sequence[int | str]


@contextmanager
def served(
    repository: Path,
    *repositories: Path,
    host: Host | None = None,
    max_input_size: int = 1 << 20,
    regions: RegionTable | None = None,
    **options: Any,
) -> Iterator[Ports]:
    """Serve repositories in the explicit mode, every model loaded; ``options`` are the server's."""
    here = host or Host(cores=2)
    given: dict[str, Any] = {
        "model_control_mode": ModelControlMode.EXPLICIT,
        "load_model": ("*",),
        **options,
    }
    chosen = ServeOptions(model_repository=(repository, *repositories), **given)
    registries: list[Registry] = []
    custom = CustomMetrics()

    async def opened(loop: asyncio.AbstractEventLoop) -> Registry:
        inside = Inside(loop, meters=custom)
        host = replace(here, inside=inside)
        clock = SystemClock()
        composer = Composer(clock, loop, host)
        registry = Registry(chosen, clock=clock, loop=loop, host=host, composer=composer)
        inside.connect(registry)
        registries.append(registry)
        await registry.start()
        return registry

    async def closed() -> None:
        await registries[0].stop(10)

    with listening(opened, closed, max_input_size, regions, here.metering, custom) as ports:
        yield ports


def write_identity(
    file: Path,
    tensors: Mapping[str, tuple[Shape, Shape]],
    kind: int = int(TensorProto.FLOAT),
) -> None:
    """Write an ONNX model that hands ``IN_<name>`` on as ``OUT_<name>``.

    ``tensors`` gives the shapes of both ends of each; a word stands for a dimension that varies.
    """
    given, made, nodes = [], [], []
    for name, (shape_in, shape_out) in tensors.items():
        given.append(helper.make_tensor_value_info(f"IN_{name}", kind, shape_in))
        made.append(helper.make_tensor_value_info(f"OUT_{name}", kind, shape_out))
        nodes.append(helper.make_node("Identity", [f"IN_{name}"], [f"OUT_{name}"]))
    graph = helper.make_graph(nodes, "identity", given, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())
