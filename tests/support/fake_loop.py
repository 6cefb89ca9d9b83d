"""An event loop on virtual time: what is due later happens when nothing is due now."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.clock import ManualClock


class FakeTimer:
    """A call that is due later."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeLoop:
    """The four methods that the engine uses of a loop, and ``run`` to go on until all is quiet."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.faults: list[dict[str, Any]] = []
        self.turns = 0
        self._soon: deque[Callable[[], object]] = deque()
        self._later: list[tuple[int, int, FakeTimer]] = []
        self._count = 0

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> None:
        self._soon.append(partial(callback, *args))

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> FakeTimer:
        return self.at(self.clock.now_ns() + round(delay * 1e9), partial(callback, *args))

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        self.faults.append(context)

    def at(self, when_ns: int, callback: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(callback)
        self._count += 1
        heapq.heappush(self._later, (when_ns, self._count, timer))
        return timer

    def turn(self) -> None:
        """Run what was due when this turn began, as asyncio does."""
        self.turns += 1
        due, self._soon = self._soon, deque()
        for callback in due:
            callback()

    def run(self) -> None:
        """Take turn after turn, and let time pass, until nothing is due any more."""
        while self._soon or self._later:
            while self._soon:
                self.turn()
            if self._later:
                when_ns, _, timer = heapq.heappop(self._later)
                if timer.callback is not None:
                    self.clock.advance(max(0, when_ns - self.clock.now_ns()))
                    timer.callback()
