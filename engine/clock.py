"""Time as an argument: the only module of the engine that reads a clock.

Monotonic nanoseconds order and measure; wall time is for what people read.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Something that knows what time it is."""

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        ...

    def wall_ms(self) -> int:
        """Time since 1970-01-01 UTC, ms."""
        ...


class SystemClock:
    """The machine's clocks."""

    now_ns = staticmethod(time.monotonic_ns)

    def wall_ms(self) -> int:
        """Time since 1970-01-01 UTC, ms."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved: tests and simulations drive it."""

    def __init__(self, now_ns: int = 0, wall_ms: int = 0) -> None:
        self._now_ns = now_ns
        self._wall_ms = wall_ms

    def now_ns(self) -> int:
        """Monotonic time, ns."""
        return self._now_ns

    def wall_ms(self) -> int:
        """Time since 1970-01-01 UTC, ms."""
        return self._wall_ms

    def advance(self, ns: int) -> None:
        """Move on by ``ns`` nanoseconds; time never goes back."""
        if ns < 0:
            message = f"time cannot go back: {ns} ns"
            raise ValueError(message)
        self._now_ns += ns
        self._wall_ms += ns // 1_000_000
