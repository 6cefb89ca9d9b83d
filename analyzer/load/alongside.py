"""Several models that are loaded at the same time, each by a run of its own.

Owns what these runs, each in a thread, have to know of one another: they begin together, and each
goes on loading until all have been measured, so that every figure is of a server under all of it.
"""

from __future__ import annotations

import threading

from analyzer.errors import LoadError

#: how long a run waits until all others can begin
BEGIN_SECONDS = 60.0


class Alongside:
    """What ``count`` runs share."""

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._ready = threading.Barrier(count)
        self._lock = threading.Lock()
        self._measured = 0
        self._given_up = False

    @property
    def alone(self) -> bool:
        """Whether there is one run only."""
        return self._count == 1

    @property
    def over(self) -> bool:
        """Whether all have been measured, or one has failed: nothing is to be waited for."""
        return self._given_up or self._measured >= self._count

    def begin(self) -> None:
        """Wait until all can begin.

        Raises:
            LoadError: another one cannot.
        """
        try:
            self._ready.wait(BEGIN_SECONDS)
        except threading.BrokenBarrierError as error:
            raise LoadError(OTHERS) from error

    def measured(self) -> None:
        """Say that one has been measured."""
        with self._lock:
            self._measured += 1

    def give_up(self) -> None:
        """Say that one has failed."""
        self._given_up = True
        self._ready.abort()


OTHERS = "another of the models loaded at the same time could not be loaded"
