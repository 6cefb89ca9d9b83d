"""The load client's interface: something that sends prebuilt requests and says what came of them.

A client has numbered slots, each a place for one request in flight. ``send`` puts a request in
flight on a slot and returns at once; its audience hears of the outcome exactly once, most often
from inside ``wait``. The client measures; what the times mean, and what is sent next, is its
audience's business. Everything happens in one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

#: epoll's own timeout has milliseconds: what is to be sooner takes another way to wait
COARSE_NS = 1_000_000

#: a request as its client sends it, made once (``request``): for HTTP its bytes
Message = Any


class Audience(Protocol):
    """Hears what became of the requests."""

    def finished(  # noqa: PLR0913, PLR0917 - called for every request: an object would cost more
        self,
        slot: int,
        planned: int,
        began: int,
        sent: int,
        first: int,
        last: int,
        error: str | None = None,
        responses: int = 1,
        response_ns: Sequence[int] = (),
    ) -> None:
        """One was answered, or failed; the slot is free.

        Times as in ``records``; ``planned`` is what ``send`` was given. ``responses`` is how many
        came, of a model that may answer more than once, and ``response_ns`` when each did.
        """
        ...

    def responded(self, slot: int) -> None:
        """One of the responses of a stream's request came; it may be the last."""
        ...

    def broken(self, reason: str) -> None:
        """Nothing can be sent any more."""
        ...


class Client(Protocol):
    """Sends requests to one server."""

    def open(self, ahead: int) -> None:
        """Connect, so that slots 0 to ``ahead`` can send at once.

        Raises:
            LoadError: nothing listens there.
        """
        ...

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        """Send a request on a slot that has none in flight."""
        ...

    def wait(self, until_ns: int) -> None:
        """Tell of what has come, or else wait for it; return then, or at ``until_ns``."""
        ...

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` from inside ``wait`` whenever there is something to read."""
        ...

    def close(self) -> None:
        """Disconnect. Requests in flight are heard of no more."""
        ...
