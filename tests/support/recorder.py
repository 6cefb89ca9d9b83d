"""A backend in the test's own process, that records who runs beside whom, for real servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import engine.backend
from engine.backend import Backend, Executor, Placement, Runnable, Signature, Work
from engine.clock import SystemClock
from engine.errors import Internal
from engine.execution.host import Host
from engine.modelconfig.schema import ModelConfig
from engine.options import ServeOptions
from engine.repository.registry import Registry
from engine.types import Array, DType, Tensor
from support.in_thread import Ports, listening

PATIENCE_S = 20.0
Inputs = Mapping[str, Array]
CONFIG = """
name: "%(name)s" backend: "recorder" max_batch_size: %(batch)d
%(tensors)s
%(more)s
"""
TENSORS = """
input [ { name: "X" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] } ]
"""


def config(name: str, more: str = "", batch: int = 4, tensors: str = TENSORS) -> str:
    """Write a configuration: X comes in, and goes out as Y; ``more`` is the rest of the text."""
    return CONFIG % {"name": name, "more": more, "batch": batch, "tensors": tensors}


def write(
    repository: Path, name: str, more: str = "", batch: int = 4, tensors: str = TENSORS
) -> Path:
    """Write such a model's folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(config(name, more, batch, tensors), encoding="utf-8")
    return folder


def _nobody(_: Inputs) -> bool:
    return False


class Recorder:
    """The backend. While ``doors`` are closed, whoever runs waits inside.

    ``order`` names the model of every run, ``most`` how many ran at once, of each model and ""
    of all; ``seen`` is what every run was given, ``placed`` where every instance was loaded,
    ``threads`` and ``cores`` where a model ran last.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.most: Counter[str] = Counter()
        self.inside: Counter[str] = Counter()
        self.seen: list[tuple[str, Mapping[str, Array]]] = []
        self.placed: list[tuple[str, Placement]] = []
        self.threads: dict[str, str] = {}
        self.cores: dict[str, set[int]] = {}
        self.fails: set[str] = set()
        self._changed = threading.Condition()
        self._open = True
        self._lets_by = _nobody

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        del directory, config
        return None

    def load(
        self, directory: Path, config: ModelConfig, placement: Placement
    ) -> Runnable | Executor:
        del directory
        self.placed.append((config.name, placement))
        if config.parameters.get("sees") == "requests":
            return _Executed(config, self)
        return _Recorded(config.name, self)

    def ran(self, name: str, inputs: Mapping[str, Array]) -> None:
        with self._changed:
            self.order.append(name)
            self.seen.append((name, inputs))
            self.threads[name] = threading.current_thread().name
            self.cores[name] = os.sched_getaffinity(0)
            for key in (name, ""):
                self.inside[key] += 1
                self.most[key] = max(self.most[key], self.inside[key])
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open or self._lets_by(inputs), PATIENCE_S)
            self.inside.subtract((name, ""))
        if name in self.fails:
            message = f"{name} fails"
            raise Internal(message)

    @contextmanager
    def doors_closed(self, lets_by: Callable[[Inputs], bool] = _nobody) -> Iterator[None]:
        """Keep whoever runs inside, but for runs that are let by for what they were given."""
        self._open, self._lets_by = False, lets_by
        try:
            yield
        finally:
            with self._changed:
                self._open = True
                self._changed.notify_all()

    def wait_for(self, inside: int, name: str = "") -> None:
        """Wait until so many run at once."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside[name] >= inside, PATIENCE_S)

    def forget(self) -> None:
        """Begin a new record."""
        self.order.clear()
        self.most.clear()
        self.seen.clear()
        self.placed.clear()


class _Recorded:
    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self._recorder.ran(self._name, inputs)
        return {name: inputs.get(name, inputs["X"]) for name in outputs}

    def describe(self) -> Mapping[str, str]:
        return {"runtime": "recorder"}

    def close(self) -> None:
        return


class _Executed(_Recorded):
    """Sees requests; a decoupled model answers each twice, and then says that this was all."""

    def __init__(self, config: ModelConfig, recorder: Recorder) -> None:
        super().__init__(config.name, recorder)
        self._decoupled = config.decoupled

    def execute(self, batch: Sequence[Work]) -> None:
        for work in batch:
            inputs = {tensor.name: tensor.array for tensor in work.request.inputs}
            outputs = (Tensor("Y", DType.FP32, self.run(inputs, ["Y"])["Y"]),)
            if self._decoupled:
                work.replies.send(outputs, final=False)
                work.replies.send(outputs, final=False)
                work.replies.send(None, final=True)
            else:
                work.replies.send(outputs, final=True)


@contextmanager
def recording(
    options: ServeOptions, host: Host, recorder: Recorder
) -> Iterator[tuple[Ports, Registry]]:
    """Serve a repository over HTTP and gRPC; its recorded models report to ``recorder``."""
    opened: list[Registry] = []

    def find(name: str) -> Backend:
        return recorder if name == "recorder" else engine.backend.find(name)

    async def open_registry(loop: asyncio.AbstractEventLoop) -> Registry:
        registry = Registry(options, clock=SystemClock(), loop=loop, host=host, find=find)
        await registry.start()
        opened.append(registry)
        return registry

    async def close_registry() -> None:
        await opened[0].stop(PATIENCE_S)

    with listening(open_registry, close_registry) as ports:
        yield ports, opened[0]
