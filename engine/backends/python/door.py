"""Which way a Python model's calls take: that of the instance whose code makes them.

In a process of its own a model has one way. In the server's process there are many models, and the
code that calls says only by its thread, or its task, whose it is; a thread of the model's own,
which says nothing, takes the way of the instance that ran last. Owns that choice, and what a way
is. Values in Triton's form go through it, so that models need nothing of the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
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


class _Shut:
    """The way where there is none."""

    def call(self, request: Any, *, decoupled: bool) -> Any:  # noqa: ANN401 - as above
        del decoupled
        raise TritonModelException(f"model '{request.model_name()}' cannot be called from here")

    def ask(self, question: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Any:  # noqa: ANN401 - of JSON
        del files
        raise TritonModelException(f"{question['what']}: the server cannot be asked from here")


_mine: ContextVar[Door | None] = ContextVar("door", default=None)
_last: list[Door] = [_Shut()]


def door() -> Door:
    """Give the way of whoever asks."""
    return _mine.get() or _last[0]


@contextmanager
def through(way: Door) -> Iterator[None]:
    """Run code of an instance whose way is this one."""
    _last[0] = way
    before = _mine.set(way)
    try:
        yield
    finally:
        _mine.reset(before)
