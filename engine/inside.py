"""Calls from inside the server: an ensemble's steps, and models that call other models.

Owns how a caller reaches a model that serves without knowing the registry: found by name and
version, held while it may be needed, checked, called, taken back. Does not own the models
(``repository``), nor what a call means to whoever makes it. Rules:

1. Everything is for the event loop's thread, but ``post``, ``ask`` and ``begin``, which are for any
   other.
2. ``find`` and ``call`` in one turn of the loop need no hold: what is under way is answered before
   a model is unloaded. Who keeps a ``Callee`` for longer holds it, and lets it go once.
3. ``done`` is called exactly once for a call that did not raise, later, on the loop; ``emit`` gets
   what a decoupled model answers before that. Neither may block, and both may call again.
4. Arrays are handed on as they are, in and out: nobody may write to them.
5. ``ask`` waits for the loop: on the loop's own thread it would wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from engine.errors import EngineError, Unavailable
from engine.modelconfig.schema import ModelConfig
from engine.types import InferRequest, InferResponse, TensorSpec
from engine.waits import Waits

_Value = TypeVar("_Value")

#: the model whose code asks for what this task does; "" where nobody's does
asked_by: ContextVar[str] = ContextVar("asked_by", default="")


class Took(Protocol):
    """How long the three parts of computing took, ns (``engine.telemetry.stats.Timings``)."""

    @property
    def input_ns(self) -> int:
        """Joining the inputs."""
        ...

    @property
    def infer_ns(self) -> int:
        """Running the model."""
        ...

    @property
    def output_ns(self) -> int:
        """Taking the outputs apart."""
        ...


#: gets a call's last answer, once
Done = Callable[[InferResponse | EngineError], None]
#: gets the answers before the last one
Emit = Callable[[InferResponse | EngineError], None]

Charge = Callable[[Took], None]


class Callee(Protocol):
    """A model version that is ready (``engine.execution.model.ServedModel``)."""

    name: str
    version: int
    config: ModelConfig
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: Mapping[str, tuple[bytes, ...]]

    def check(self, request: InferRequest) -> object:
        """Let a request pass if the model can run it; raises InvalidArgument."""
        ...

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        """Take a checked request; returns a ticket. May raise InvalidArgument.

        ``charge`` learns, before ``done``, what a request that succeeded took to compute.
        """
        ...

    def cancel(self, ticket_id: int) -> None:
        """Take a request back."""
        ...

    async def is_ready(self) -> bool:
        """Ask it whether it can answer, if it knows."""
        ...

    def hold(self) -> None:
        """Let it answer until ``let_go``, even if it is unloaded meanwhile."""
        ...

    def let_go(self) -> None:
        """End a hold."""
        ...


class Models(Protocol):
    """The models there are (``engine.repository.registry.Registry``)."""

    def get(self, name: str, version: str = "") -> Callee:
        """Find a ready version, the newest for ""; raises NotFound and Unavailable."""
        ...

    async def load(self, name: str, parameters: Mapping[str, str | bytes | bool]) -> None:
        """Load or reload a model; done when it is ready."""
        ...

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - the registry's
        """Unload a model."""
        ...


class Meters(Protocol):
    """The metrics that models' code makes (``engine.telemetry.custom.CustomMetrics``)."""

    def do(self, holder: Hashable, statement: Mapping[str, Any]) -> float | None:
        """Do what a model's code says; raises EngineError."""
        ...

    def leave(self, holder: Hashable) -> None:
        """Learn that a holder is gone, and with it what it alone held."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way."""

    callee: Callee
    ticket: int

    def cancel(self) -> None:
        """Take it back: ``done`` gets Cancelled, unless it is computed already."""
        self.callee.cancel(self.ticket)


class Inside:
    """The way to the models of a server, for those that run in it.

    It is made before the models are there, and connected to them once they can be found. ``waits``
    knows which calls wait for what, ``meters`` what models' code counts, if anybody does.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        models: Models | None = None,
        meters: Meters | None = None,
    ) -> None:
        self._loop = loop
        self._models = models
        self.waits = Waits()
        self.meters = meters

    def connect(self, models: Models) -> None:
        """Say where models are found from now on."""
        self._models = models

    @property
    def models(self) -> Models:
        """Give the models, also to load and unload them.

        Raises:
            Unavailable: there are none yet.
        """
        if self._models is None:
            raise Unavailable("the server's models cannot be called yet: it is starting")
        return self._models

    def find(self, name: str, version: int = -1) -> Callee:
        """Find a model version that is ready; -1 is the newest.

        Raises:
            NotFound: there is no such model, or version.
            Unavailable: it is not ready.
        """
        return self.models.get(name, str(version))

    def call(
        self, callee: Callee, request: InferRequest, done: Done, emit: Emit | None = None
    ) -> Call:
        """Have a model answer a request.

        Raises:
            EngineError: the request does not fit the model; ``done`` is not called then.
        """
        callee.check(request)
        return Call(callee, callee.submit(request, done, emit))

    def post(self, callback: Callable[..., object], *arguments: object) -> None:
        """Have something done on the loop, soon; from any thread."""
        self._loop.call_soon_threadsafe(callback, *arguments)

    def ask(self, callback: Callable[..., _Value], *arguments: object) -> _Value:
        """Have something done on the loop, and wait for what it gives, or raises (rule 5)."""
        future: Future[_Value] = Future()

        def answer() -> None:
            try:
                future.set_result(callback(*arguments))
            except Exception as fault:  # noqa: BLE001 - it is raised where it was asked for
                future.set_exception(fault)

        self._loop.call_soon_threadsafe(answer)
        return future.result()

    def begin(self, work: Coroutine[Any, Any, _Value]) -> Future[_Value]:
        """Have a coroutine run on the loop (``models.load``); from any thread but the loop's."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)
