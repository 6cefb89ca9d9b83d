"""The load client's interface: something that sends one prebuilt request, again and again.

A client has numbered slots. ``send`` puts one request in flight on a slot and returns at
once; its audience hears of the outcome, on the same event loop, exactly once. The client
measures; what the times mean, and what is sent next, is its audience's business.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Exchange(NamedTuple):
    """One request and its answer, monotonic ns; ``error`` is None if it succeeded.

    ``planned`` is when it was due, ``began`` when its first byte was handed over, ``sent`` its
    last, ``first`` and ``last`` when the first and last byte of the answer came.
    """

    slot: int
    planned: int
    began: int
    sent: int
    first: int
    last: int
    error: str | None


class Audience(Protocol):
    """Hears what became of the requests."""

    def finished(self, exchange: Exchange) -> None:
        """One was answered, or failed."""
        ...

    def broken(self, reason: str) -> None:
        """Nothing can be sent any more."""
        ...


class Client(Protocol):
    """Sends the request it was made with, on one of its slots."""

    @property
    def sees_bytes(self) -> bool:
        """Whether ``sent`` and ``first`` are seen; else they equal ``began`` and ``last``."""
        ...

    async def open(self) -> None:
        """Connect every slot.

        Raises:
            LoadError: nothing listens there.
        """
        ...

    def send(self, slot: int, planned_ns: int) -> None:
        """Send one request on a slot that has none in flight."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...
