"""Giving memory back to the system after models have gone.

Python frees what a model held when its last request is answered (a served model is in no
cycle of references; a test sees to that), but the C library keeps freed pages for later. Under
reloads that looks like a leak, and fragments grow. ``malloc_trim`` gives the pages back.

1. It happens on a worker thread, never on the event loop; ctypes lets the interpreter go
   meanwhile.
2. However many models go at once, it happens once, a moment after.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

PAUSE_S = 0.5


def trimmer() -> Callable[[], object] | None:
    """Find the C library's way to give pages back; None where it has none."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)


class Reclaim:
    """Gives memory back soon after it is told that something went."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Executor,
        trim: Callable[[], object] | None = None,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._loop = loop
        self._workers = workers
        self._trim = trim or trimmer()
        self._pause_s = pause_s
        self._due = False

    def soon(self) -> None:
        """Something went."""
        if self._trim is not None and not self._due:
            self._due = True
            self._loop.call_later(self._pause_s, self._now)

    def _now(self) -> None:
        self._due = False
        assert self._trim is not None
        with suppress(RuntimeError):  # the server stops: the system takes all of it back
            self._workers.submit(self._trim)
