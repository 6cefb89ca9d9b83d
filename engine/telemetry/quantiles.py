"""Quantiles of what was seen lately, in bounded memory, with a bound on the error. Pure.

Owns the sketch and the window that slides. Does not own what is observed, nor how it is shown.

The sketch keeps sorted buffers of k values. Two buffers whose values stand for w observations
each become one whose values stand for 2w: sorted together, every other value goes. That moves the
rank of any value by at most w. Of n observations, n / (2wk) such steps happen at the level of
weight w, so each level adds at most n / 2k to a rank's error, whatever was observed and in
whichever order; and with ``LEVELS`` levels k = LEVELS / 2e keeps it below e * n (for up to
k * 2^LEVELS observations in a slice: 500 million where e is 0.001). Sketches that are read
together add their errors, so the bound holds for a window of several too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, nan

import numpy as np
import numpy.typing as npt

LEVELS = 16
#: as prometheus-cpp, which Triton uses, has it: a minute, forgotten in five parts
WINDOW_NS = 60_000_000_000
SLICES = 5

_Values = npt.NDArray[np.int64]


class Sketch:
    """Whole numbers, remembered so that no rank is off by more than ``error`` times their count."""

    __slots__ = ("_fresh", "_levels", "_odd", "_size")

    def __init__(self, error: float) -> None:
        self._size = ceil(LEVELS / (2 * error))
        self._fresh: list[int] = []
        self._levels: list[_Values | None] = []
        self._odd: list[int] = []

    def extend(self, values: Iterable[int]) -> None:
        """Observe some numbers."""
        fresh = self._fresh
        fresh.extend(values)
        while len(fresh) >= self._size:
            buffer = np.array(fresh[: self._size], np.int64)
            buffer.sort()
            del fresh[: self._size]
            self._carry(buffer)

    def _carry(self, buffer: _Values) -> None:
        """Put a full buffer at the lowest level; where there is one, halve both into the next."""
        for level, there in enumerate(self._levels):
            if there is None:
                self._levels[level] = buffer
                return
            both = np.concatenate((there, buffer))
            both.sort(kind="stable")  # which merges what is sorted already
            buffer = both[self._odd[level] :: 2].copy()
            # Alternating, the errors of two steps tend to cancel out.
            self._odd[level] ^= 1
            self._levels[level] = None
        self._levels.append(buffer)
        self._odd.append(0)

    def weighted(self) -> Iterable[tuple[_Values, int]]:
        """Give what is remembered, with how many observations each number stands for."""
        if self._fresh:
            yield np.array(self._fresh, np.int64), 1
        for level, buffer in enumerate(self._levels):
            if buffer is not None:
                yield buffer, 1 << level


@dataclass(frozen=True, slots=True)
class Seen:
    """What a window remembers at a moment; whoever reads it takes the time, not the window."""

    parts: tuple[tuple[_Values, int], ...]
    count: int
    sum: int

    def quantiles(self, wanted: Sequence[float]) -> tuple[float, ...]:
        """Say which numbers stand at these quantiles; NaN if nothing was seen lately."""
        if not self.parts:
            return (nan,) * len(wanted)
        values = np.concatenate([part for part, _ in self.parts])
        weights = np.concatenate([np.full(len(part), weight) for part, weight in self.parts])
        order = np.argsort(values, kind="stable")
        ranks = np.cumsum(weights[order])
        at = np.searchsorted(ranks, np.array(wanted) * ranks[-1])
        return tuple(float(value) for value in values[order][at])


class Window:
    """The numbers of the last minute; their sum and count are those since the beginning."""

    __slots__ = ("_error", "_slices", "count", "sum")

    def __init__(self, error: float) -> None:
        self.count = 0
        self.sum = 0
        self._error = error
        self._slices: deque[tuple[int, Sketch]] = deque()

    def extend(self, values: Sequence[int], now_ns: int) -> None:
        """Observe some numbers at this time; time does not go back."""
        self.count += len(values)
        self.sum += sum(values)
        number = now_ns * SLICES // WINDOW_NS
        if not self._slices or self._slices[-1][0] != number:
            self._forget(number)
            self._slices.append((number, Sketch(self._error)))
        self._slices[-1][1].extend(values)

    def seen(self, now_ns: int) -> Seen:
        """Freeze what is remembered."""
        self._forget(now_ns * SLICES // WINDOW_NS)
        parts = tuple(part for _, sketch in self._slices for part in sketch.weighted())
        return Seen(parts, self.count, self.sum)

    def _forget(self, number: int) -> None:
        while self._slices and self._slices[0][0] <= number - SLICES:
            self._slices.popleft()
