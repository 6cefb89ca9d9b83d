"""A stretch of time, and what glimpses say of it. Pure.

Glimpses are taken all the while; only afterwards is it known which time counts. Counters are read
off between glimpses by interpolation, so that how often one looks changes nothing but the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from analyzer.measure.glimpse import Glimpse

T = TypeVar("T")


class Span:
    """What was glimpsed between two moments, ns."""

    def __init__(self, glimpses: Sequence[Glimpse], start: int, end: int) -> None:
        self._glimpses = glimpses
        self._start = start
        self._end = end

    def values(self, read: Callable[[Glimpse], T | None]) -> list[T]:
        """Return what was read inside; of a span shorter than the distance, the nearest."""
        known = self._known(read)
        inside = [value for at, value in known if self._start <= at <= self._end]
        if inside or not known:
            return inside
        middle = (self._start + self._end) / 2
        return [min(known, key=lambda pair: abs(pair[0] - middle))[1]]

    def slope(self, counter: Callable[[Glimpse], float | None]) -> float | None:
        """Return how much a counter grew a second, or None if it was not read around here."""
        grown = self.growth(counter)
        return None if grown is None else max(0.0, grown[0]) / grown[1]

    def growth(self, counter: Callable[[Glimpse], float | None]) -> tuple[float, float] | None:
        """Return how much a counter grew, and in how many seconds of the span it was watched."""
        known = self._known(counter)
        if not known:
            return None
        first, last = max(self._start, known[0][0]), min(self._end, known[-1][0])
        if last <= first:
            return None
        # Offsets, because a double cannot hold the nanoseconds of a long uptime exactly.
        origin = known[0][0]
        times = [at - origin for at, _ in known]
        values = [value for _, value in known]
        before, after = np.interp([first - origin, last - origin], times, values)
        return float(after - before), (last - first) / 1e9

    def growth_inside(
        self, counter: Callable[[Glimpse], float | None], share: float = 0.5
    ) -> tuple[float, float] | None:
        """Return how much a counter grew between its readings inside, and in how many seconds.

        None if they cover less than that share of the span: one read seldom says more of what was
        before.
        """
        inside = [one for one in self._known(counter) if self._start <= one[0] <= self._end]
        if not inside or inside[-1][0] - inside[0][0] < share * (self._end - self._start):
            return None
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before, (last - first) / 1e9) if last > first else None

    def _known(self, read: Callable[[Glimpse], T | None]) -> list[tuple[int, T]]:
        return [
            (glimpse.at_ns, value)
            for glimpse in self._glimpses
            if (value := read(glimpse)) is not None
        ]
