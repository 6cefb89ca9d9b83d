"""Which way a Python model's calls take: that of the instance whose code makes them.

In a process of its own a model has one way. In the server's process there are many models: whose
code calls is said by its thread, or its task, and for a thread of the model's own by the modules of
the functions that led to the call, since every instance has modules of its own. Owns that choice,
and what a way is. Values in Triton's form go through it, so that models need nothing of the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Protocol

from engine.backends.python.errors import TritonModelException


class Door(Protocol):
    """An instance's way to the server."""

    def call(self, request: Any, *, decoupled: bool) -> Any:  # noqa: ANN401 - api's, which stand on this
        """Have a model asked (an ``InferenceRequest``); gives what its ``Responses`` come by."""
        ...

    def ask(self, question: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        """Ask the server something, and wait for its answer.

        Raises:
            TritonModelException: what came of it instead.
        """
        ...

    def tell(self, statement: Mapping[str, Any]) -> None:
        """Say something to the server that has no answer."""
        ...


class _Shut:
    """The way where there is none."""

    def call(self, request: Any, *, decoupled: bool) -> Any:  # noqa: ANN401 - as above
        del decoupled
        raise TritonModelException(f"model '{request.model_name()}' cannot be called from here")

    def ask(self, question: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        del files
        raise TritonModelException(f"{question['what']}: the server cannot be asked from here")

    def tell(self, statement: Mapping[str, Any]) -> None:
        """Tell nobody."""


_mine: ContextVar[Door | None] = ContextVar("door", default=None)
_doors: dict[str, Door] = {}
_shut = _Shut()


def door() -> Door:
    """Give the way of whoever asks."""
    return _mine.get() or _of(sys._getframe(1))  # noqa: SLF001 - as logging finds its caller


def _of(frame: FrameType | None) -> Door:
    while frame is not None:
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if name in _doors:
            return _doors[name]
        frame = frame.f_back
    return next(iter(_doors.values())) if len(_doors) == 1 else _shut


def opened(modules: str, way: Door) -> None:
    """Learn of the instance whose modules lie under this one."""
    _doors[modules] = way


def closed(modules: str) -> None:
    """Learn that it is gone."""
    _doors.pop(modules, None)


@contextmanager
def through(way: Door) -> Iterator[None]:
    """Run code of an instance whose way is this one."""
    before = _mine.set(way)
    try:
        yield
    finally:
        _mine.reset(before)
