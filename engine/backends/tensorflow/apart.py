"""TensorFlow's process, as the server sees it: one for the instances of a model.

Owns which instances share a process, and how arrays get there and back. Does not own its life
(``engine.child``) nor what it runs (``child``). Rules:

1. instances of the same files, configuration, device and cores share one process, and with it one
   copy of the weights: TensorFlow computes for several threads at once. It ends with the last;
2. files that have changed are another model: who is loaded anew does not meet the old one;
3. a request that is with the process when it dies fails, and says how it died; the next waits for
   the process that follows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from engine.backend import Placement, Replies, Work
from engine.backends.tensorflow.settings import Settings, Wanted
from engine.backends.tensorflow.signature import choose
from engine.child.executor import ChildExecutor
from engine.child.life import Setup
from engine.errors import EngineError
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType, InferRequest, Parameter, RequestedOutput, Tensor

_NONE: Mapping[str, Parameter] = {}
_DTYPES = {dtype.numpy: dtype for dtype in DType if dtype is not DType.BF16}


def load(
    path: Path, config: ModelConfig, settings: Settings, placement: Placement, shelf: Shelf
) -> Shared:
    """Load one instance, in the process that another one has started, or in a new one.

    Raises:
        EngineError: TensorFlow's text, and where.
    """
    wanted = Wanted(
        path=str(path),
        model=config.name,
        signature="" if settings.graph else choose(path, settings),
        tag=settings.tag,
        inputs=tuple(one.name for one in config.input),
        outputs=tuple(one.name for one in config.output),
        intra_op_threads=settings.intra_op_threads,
        inter_op_threads=settings.inter_op_threads,
        gpu=placement.device,
    )
    setup = Setup(
        name=config.name,
        make="engine.backends.tensorflow.child:make",
        given=wanted.told(),
        environment=_environment(placement),
    )
    key = (wanted, placement.by_model, _stamps(path), frozenset(os.sched_getaffinity(0)))
    kinds = {one.name: one.data_type for one in config.input}
    return Shared(shelf.take(key, lambda: ChildExecutor(setup)), shelf, kinds)


def _environment(placement: Placement) -> dict[str, str]:
    """Show TensorFlow the one device that it is to use: it takes memory on each that it sees."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1")}
    if placement.by_model:
        return quiet
    if placement.device is None:
        return {**quiet, "CUDA_VISIBLE_DEVICES": "-1"}
    seen = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    number = placement.device
    return {**quiet, "CUDA_VISIBLE_DEVICES": seen[number] if number < len(seen) else str(number)}


def _stamps(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Tell one state of the model's files from another."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    stats = [(str(one), one.stat()) for one in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


@dataclass(slots=True, eq=False)
class Place:
    """A process on the shelf, started or about to be, and how many instances use it."""

    key: Hashable
    users: int = 0
    started: Future[ChildExecutor] = field(default_factory=Future)


@dataclass(slots=True)
class Shelf:
    """The processes that run; any thread may take and give back."""

    _places: dict[Hashable, Place] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Hashable, start: Callable[[], ChildExecutor]) -> Place:
        """Have a process, which is started if there is none; waits for its start.

        Raises:
            EngineError: it does not start, which all are told who wait for it.
        """
        with self._lock:
            place = self._places.get(key)
            first = place is None
            if place is None:
                place = self._places[key] = Place(key)
            place.users += 1
        if first:
            try:
                place.started.set_result(start())
            except BaseException as fault:
                with self._lock:
                    del self._places[key]
                place.started.set_exception(fault)
                raise
        place.started.result()
        return place

    def give_back(self, place: Place) -> None:
        """Be done with a process; the last one ends it."""
        with self._lock:
            place.users -= 1
            last = not place.users
            if last:
                del self._places[place.key]
        if last:
            place.started.result().close()


class Shared:
    """One instance: a Runnable whose arrays are computed in the process."""

    def __init__(self, place: Place, shelf: Shelf, kinds: Mapping[str, DType]) -> None:
        self._place = place
        self._shelf = shelf
        self._kinds = kinds
        self._child = place.started.result()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``; what it gives are views of shared memory, to be read.

        Raises:
            EngineError: TensorFlow's text; or how the process died.
        """
        kinds = self._kinds
        tensors = tuple(
            Tensor(name, kinds.get(name) or _DTYPES[array.dtype], array)
            for name, array in inputs.items()
        )
        asked = InferRequest(inputs=tensors, outputs=tuple(map(RequestedOutput, outputs)))
        answer = _Answer()
        self._child.execute([Work(asked, answer)])
        return {tensor.name: tensor.array for tensor in answer.wait()}

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        return self._child.pid

    def is_ready(self) -> bool:
        """Say whether the process is there."""
        return self._child.is_ready()

    def describe(self) -> Mapping[str, str]:
        """Say what really runs."""
        return {**self._child.describe(), "process": "one of its own, for all its instances"}

    def close(self) -> None:
        """Let the model go."""
        self._shelf.give_back(self._place)


class _Answer(Replies):
    """The way out of a request, on which its own thread waits."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._outputs: tuple[Tensor, ...] | EngineError | None = None

    @property
    def cancelled(self) -> bool:
        """Nobody takes it back."""
        return False

    def watch(self, callback: Callable[[], None]) -> None:
        """Nobody takes it back."""

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Take the answer, which is one."""
        del final, parameters
        self._outputs = outputs
        self._over.set()

    def wait(self) -> tuple[Tensor, ...]:
        """Wait for the answer, which comes in any case: the process gives it, or dies."""
        self._over.wait()
        if isinstance(self._outputs, EngineError):
            raise self._outputs
        return self._outputs or ()
