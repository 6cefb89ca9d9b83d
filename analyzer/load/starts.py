"""When the clients of a closed loop begin, and when they rest. Pure.

Each slot begins at a moment of its own within the time that it is given, drawn from a seed: clients
that all began at once would be in step from the first request on (``statistics.episodes``).
"""

from __future__ import annotations

import random

ENDLESS = 1 << 62


class Starts:
    """The slots of one sender that have yet to begin, and the moment from which on they rest."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a draw, no secret
        self._waiting: list[tuple[int, int]] = []
        #: answers from this moment on are followed by no request
        self.pause_ns = ENDLESS

    def begin(self, slots: int, at_ns: int, spread_ns: int = 0) -> None:
        """Have slots 0 to ``slots`` begin from ``at_ns`` on, all before ``spread_ns`` are over."""
        moments = [at_ns + int(spread_ns * self._dice.random()) for _ in range(slots)]
        self._waiting = sorted(
            ((moment, slot) for slot, moment in enumerate(moments)), reverse=True
        )

    def __bool__(self) -> bool:
        """Whether some have yet to begin."""
        return bool(self._waiting)

    @property
    def next_ns(self) -> int:
        """When something is to be done: one begins, or all rest."""
        return self._waiting[-1][0] if self._waiting else self.pause_ns

    def due(self, now_ns: int) -> list[tuple[int, int]]:
        """Take those that are to have begun by now: when, and which slot."""
        found = []
        while self._waiting and self._waiting[-1][0] <= now_ns:
            found.append(self._waiting.pop())
        return found
