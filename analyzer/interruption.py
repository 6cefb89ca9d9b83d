"""Ctrl-C and SIGTERM: the first asks for an end, the second interrupts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: what an interrupted command exits with, as shells have it
INTERRUPTED = 130


@contextmanager
def interruption(say: Callable[[], object]) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether a signal came; ``say`` is called at the first.

    Signals are the main thread's: in another one none comes, and nothing of theirs is touched.

    Raises:
        KeyboardInterrupt: at the second.
    """
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        say()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    kept = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in kept.items():
            # None: it was not set by Python, so Python cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
