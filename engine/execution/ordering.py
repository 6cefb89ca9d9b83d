"""Release responses in the order in which their requests arrived (``preserve_ordering``).

Owns the order, and nothing else: it wraps the callback of each request, so neither scheduler
nor pump knows of it. A run that failed is answered in its turn, as any other. Who is refused or
taken back (``Unavailable``, ``Cancelled``) never ran and had no place among the answers, so he
learns of it at once; only behind answers of the same request that waits for its turn, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from engine.errors import Cancelled, EngineError, Unavailable
from engine.types import InferResponse

#: gets a request's last answer, once
Done = Callable[[InferResponse | EngineError], None]
#: gets the answers before the last one
Emit = Callable[[InferResponse | EngineError], None]


class _Slot:
    """One request's place in the order: the answers kept for its turn, and if that is all."""

    __slots__ = ("kept", "over")

    def __init__(self) -> None:
        self.kept: list[Callable[[], None]] = []
        self.over = False


class Ordering:
    """The requests of one model that are under way, in order of arrival."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque()

    def wrap(self, done: Done, emit: Emit | None = None) -> tuple[Done, Emit | None]:
        """Make callbacks for the request that arrives now; they keep answers until its turn."""
        slot = _Slot()
        self._slots.append(slot)

        def wrapped_done(answer: InferResponse | EngineError) -> None:
            slot.over = True
            if isinstance(answer, Unavailable | Cancelled) and not slot.kept:
                done(answer)
            else:
                slot.kept.append(partial(done, answer))
            self._release()

        if emit is None:
            return wrapped_done, None
        emit_later = emit

        def wrapped_emit(answer: InferResponse | EngineError) -> None:
            slot.kept.append(partial(emit_later, answer))
            self._release()

        return wrapped_done, wrapped_emit

    def _release(self) -> None:
        slots = self._slots
        while slots:
            first = slots[0]
            kept, first.kept = first.kept, []
            if first.over:
                slots.popleft()
            for tell in kept:
                tell()
            if not first.over:
                return
