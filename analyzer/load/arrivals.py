"""When each request is due: arrival processes. Pure.

A process plans; it never waits. Latency is counted from the planned time, so that a stalled
server cannot hide its own queue. A slot is one place for one request in flight.

Owns the plan. Does not own the clock, nor what happens when a request is sent late.
"""

from __future__ import annotations

from typing import Protocol


class Arrivals(Protocol):
    """Plans, for each of ``slots`` slots, when its requests are due. Times in ns."""

    @property
    def slots(self) -> int:
        """How many requests may be in flight at once."""
        ...

    def first(self, slot: int, start_ns: int) -> int:
        """When the slot's first request is due, if the run starts at ``start_ns``."""
        ...

    def following(self, slot: int, planned_ns: int, finished_ns: int) -> int:
        """When the slot's next request is due.

        ``planned_ns`` is when the previous one was due, ``finished_ns`` when it was answered.
        """
        ...


class ClosedLoop:
    """``concurrency`` requests in flight at all times: each arrives when one is answered."""

    def __init__(self, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"expected a concurrency of at least 1, found {concurrency}")
        self._concurrency = concurrency

    @property
    def slots(self) -> int:
        """The concurrency."""
        return self._concurrency

    def first(self, slot: int, start_ns: int) -> int:
        """All at once, at the start."""
        del slot
        return start_ns

    def following(self, slot: int, planned_ns: int, finished_ns: int) -> int:
        """The moment the previous one was answered."""
        del slot, planned_ns
        return finished_ns
