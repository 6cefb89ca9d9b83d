"""Release responses in the order in which their requests arrived (``preserve_ordering``).

Owns the order, and nothing else: it wraps the callback of each request, so neither scheduler
nor pump knows of it. An error is passed on at once: a request that never ran, or whose run
failed, keeps nobody waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from engine.errors import EngineError
from engine.types import InferResponse

Done = Callable[[InferResponse | EngineError], None]


class _Slot:
    """One request's place in the order; ``release`` is set when it may go."""

    __slots__ = ("release",)

    def __init__(self) -> None:
        self.release: Callable[[], None] | None = None


class Ordering:
    """The requests of one model that are under way, in order of arrival."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque()

    def wrap(self, done: Done) -> Done:
        """Make a callback for the request that arrives now; it keeps ``done`` until its turn."""
        slot = _Slot()
        self._slots.append(slot)

        def wrapped(answer: InferResponse | EngineError) -> None:
            if isinstance(answer, EngineError):
                slot.release = _nothing
                done(answer)
            else:
                slot.release = lambda: done(answer)
            while self._slots and (release := self._slots[0].release) is not None:
                self._slots.popleft()
                release()

        return wrapped


def _nothing() -> None:
    """Release a request that has been answered already."""
