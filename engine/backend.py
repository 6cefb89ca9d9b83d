"""The backend's interface, and how a backend is found by the name in ``config.pbtxt``.

A backend is one module in ``engine.backends`` that defines ``BACKEND``, or an entry point in
the group ``engine.backends`` of another distribution. Nothing is imported before it is used.

How a configuration is completed is the backend's choice of two. A model *file* that says what it
is made of answers ``inspect`` with a ``Signature``, and the rules of ``modelconfig.complete`` do
the rest. A model that is *code* may complete the configuration itself: its backend is a
``SelfCompleting`` one.

How a model runs is the backend's choice of two as well. A ``Runnable`` computes arrays from
arrays: the engine joins the requests of a batch for it and takes the result apart. An
``Executor`` sees the requests themselves and answers each as it likes: once, or, where its
configuration says ``decoupled``, any number of times, also after ``execute`` has returned.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from engine.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from engine.errors import EngineError
    from engine.inside import Inside
    from engine.modelconfig.schema import ModelConfig
    from engine.types import Array, InferRequest, Parameter, Place, Tensor, TensorSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one instance runs: ``device`` None is the CPU, a number is that GPU (CUDA's number).

    ``threads`` is the instance's fair share of the machine's cores, for a backend whose
    configuration names no thread count of its own. ``instance`` is the instance's name.
    ``by_model`` is of KIND_MODEL: the model itself says what it runs on, ``device`` does not.
    ``profiles`` are the optimisation profiles that the instance may use (TensorRT); () is one.
    """

    device: int | None = None
    threads: int = 1
    instance: str = ""
    by_model: bool = False
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model file says of itself: full shapes, -1 where a dimension may vary.

    ``batchable`` is true when the first dimension of every input and output may vary.
    ``named_batch`` is for formats that can name their dimensions: whether the first one of every
    tensor is named the batch. None is for those that cannot. ``most_rows`` is the largest batch
    that the file can do, 0 where it sets no bound.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool
    named_batch: bool | None = field(default=None, compare=False)
    most_rows: int = field(default=0, compare=False)


class Runnable(Protocol):
    """One loaded copy of a model, used by one thread at a time."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs`` from ``inputs``; arrays have the batch dimension in front."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Say what really runs: provider, threads, precision ... (shown in logs and reports)."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@runtime_checkable
class Grounded(Protocol):
    """A backend that may be unable to use a GPU, by its nature or as it is installed."""

    def no_gpu(self) -> str:
        """Say why not, and what to install; "" if it can. Then KIND_AUTO is the CPU."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A Runnable whose runs can be cut short, when nobody wants their results any more."""

    def interrupt(self, *, on: bool) -> None:
        """Have the run under way, and any other until ``on`` is false, end soon with an error.

        Called by another thread than ``run``.
        """
        ...


@runtime_checkable
class Binding(Protocol):
    """A Runnable that reads inputs, and writes outputs, where they lie on its GPU."""

    @property
    def device(self) -> int:
        """The GPU, by CUDA's number."""
        ...

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute the outputs that ``places`` names, as ``run`` does.

        Inputs may be ``OnDevice``. An output with a place is written there if it is on this GPU and
        has the room, and what is answered may be ``OnDevice``, there or elsewhere.
        """
        ...


class Replies(Protocol):
    """One request's way out of an Executor; any thread may use it."""

    @property
    def cancelled(self) -> bool:
        """Whether the client has taken the request back."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Have something called, by any thread, when the request is taken back (or has been)."""
        ...

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = ...,
    ) -> None:
        """Answer with outputs or an error, or with None say only that the answer was ``final``.

        A model that is not decoupled gives one answer, before ``execute`` returns.

        Raises:
            EngineError: the request's final answer has been sent already.
        """
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A request for an Executor, with the batch dimension that it came with, and its way out."""

    request: InferRequest
    replies: Replies


@runtime_checkable
class Executor(Protocol):
    """One loaded copy of a model that sees requests; ``execute`` is called by one thread."""

    def execute(self, batch: Sequence[Work]) -> None:
        """Answer every request, or, if the model is decoupled, see that they will be answered.

        What it raises is the answer to all that have none yet.
        """
        ...

    def describe(self) -> Mapping[str, str]:
        """Say what really runs, as a Runnable does; ``runtime`` is always named."""
        ...

    def close(self) -> None:
        """Free what it holds. Called by the instance's thread, after every final answer."""
        ...


@runtime_checkable
class Overlapping(Protocol):
    """An Executor that may execute several batches at once, though it is not decoupled."""

    @property
    def overlaps(self) -> bool:
        """Whether requests are answered after ``execute`` has returned; each has one answer."""
        ...


@runtime_checkable
class SelfChecking(Protocol):
    """An instance that knows whether it can answer (Python's ``is_ready``)."""

    def is_ready(self) -> bool:
        """Look. May block, and raise; called by another thread than runs it."""
        ...


@runtime_checkable
class Housed(Protocol):
    """An instance in a process of its own."""

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none. Any thread may ask."""
        ...


class Backend(Protocol):
    """A runtime that can load models."""

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read a model file's own signature; None where the format has none.

        ``directory`` is the version's folder.

        Raises:
            EngineError: the file is missing or cannot be read.
        """
        ...

    def load(
        self, directory: Path, config: ModelConfig, placement: Placement
    ) -> Runnable | Executor:
        """Load one instance of the model in the version's folder ``directory``.

        Raises:
            EngineError: what is missing or wrong, where, and what to do.
        """
        ...


@runtime_checkable
class SelfCompleting(Protocol):
    """A backend whose models complete their own configuration (Python's ``auto_complete_config``).

    It is a ``Backend`` too; ``inspect`` is asked first, and may answer None.
    """

    def auto_complete(self, directory: Path, config: ModelConfig) -> ModelConfig:
        """Ask the model in the version's folder ``directory`` to complete ``config``.

        Not called with ``--disable-auto-complete-config``. ``config`` is named and normalised,
        as the file has it otherwise. Of the answer, ``modelconfig.complete.SELF_COMPLETED`` is
        taken (inputs, outputs, ``max_batch_size``, ``dynamic_batching``, ``decoupled``); it is
        checked as if the file had said so.

        Raises:
            EngineError: the model refuses the configuration, or failed.
        """
        ...


@runtime_checkable
class Configurable(Protocol):
    """A backend that ``--backend-config`` sets up; which settings it has, ``options`` knows."""

    def configured(self, settings: Mapping[str, str]) -> Backend:
        """Give the backend as the command line wants it; called before every load.

        Raises:
            EngineError: a setting has a value that cannot be.
        """
        ...


@runtime_checkable
class Threaded(Protocol):
    """A backend that may care for ``Placement.threads``."""

    @property
    def threaded(self) -> bool:
        """Whether an instance is another one if it is placed with another number of threads."""
        ...


@runtime_checkable
class Calling(Protocol):
    """A backend whose models may call the server's other models."""

    def calling(self, inside: Inside) -> Backend:
        """Give the backend that loads models which call others by ``inside``.

        Called before every load, on the thread that loads.
        """
        ...


GROUP = "engine.backends"
#: the setting in which a backend that looks for libraries is told ``--backend-directory``
BACKEND_DIRECTORY = "backend-directory"


def library_places(
    name: str, directory: Path, backends: Path | None, runtime: str = ""
) -> tuple[Path, ...]:
    """List where the library of a backend may lie, in Triton's order.

    ``directory`` is the folder of a model's version, ``backends`` that of ``--backend-directory``.
    ``runtime`` is the configuration's, which may name another file.
    """
    file = runtime or f"libtriton_{name}.so"
    folders = [directory, directory.parent, *([backends / name] if backends is not None else [])]
    return tuple(folder / file for folder in folders)


def builtin() -> tuple[str, ...]:
    """Name the backends that come with the engine; none of them is imported."""
    package = import_module(GROUP)
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__)))


def known() -> tuple[str, ...]:
    """Name every backend that can be found here."""
    return tuple(sorted({*builtin(), *(entry.name for entry in entry_points(group=GROUP))}))


def find(name: str) -> Backend:
    """Find a backend by its name; another distribution's comes before a built-in one.

    Raises:
        NotFound: there is none of that name.
    """
    for entry in entry_points(group=GROUP, name=name):
        return cast("Backend", entry.load())
    if name in builtin():
        return cast("Backend", import_module(f"{GROUP}.{name}").BACKEND)
    message = f"no backend named {name!r}; there are: {', '.join(known())}"
    raise NotFound(message)
