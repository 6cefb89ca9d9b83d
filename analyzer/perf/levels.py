"""Which load comes next: along a range, or by bisection. Pure.

Both ask for a level and are told whether it was kept: stable, and its latency below the threshold.
perf_analyzer's rules: a walk ends beyond the end, or at the first level that goes over the
threshold. A bisection tries the start, which has to be kept, and the end, which must not be, and
halves what lies between until it is no wider than the step.
"""

from __future__ import annotations

from typing import Protocol

from analyzer.perf.options import NO_LIMIT, Mode, PerfOptions, Range


class Levels(Protocol):
    """Says which level comes next. A level is a concurrency, or a rate in requests a second."""

    def ask(self) -> float | None:
        """Return the next level; None at the end."""
        ...

    def tell(self, level: float, *, kept: bool) -> None:
        """Hear what came of it."""
        ...


class Walk:
    """From the start in steps to the end."""

    def __init__(self, levels: Range) -> None:
        self._levels = levels
        self._next: float | None = levels.start
        self._count = 0

    def ask(self) -> float | None:
        """Return the next level."""
        return self._next

    def tell(self, level: float, *, kept: bool) -> None:
        """Go a step further, if this one was kept."""
        self._count += 1
        levels = self._levels
        # Multiples, not sums: 0.1 ten times is to be 1.
        further = levels.start + self._count * levels.step
        within = levels.end == NO_LIMIT or further <= levels.end * (1 + 1e-12)
        self._next = further if kept and within and further != level else None


class Bisection:
    """Between a start that is kept and an end that is not."""

    def __init__(self, levels: Range, *, whole: bool) -> None:
        self._levels = levels
        self._whole = whole
        self._kept: float | None = None
        self._over: float | None = None
        self._ended = False

    @property
    def best(self) -> float | None:
        """The highest level that was kept."""
        return self._kept

    def ask(self) -> float | None:
        """Return the next level."""
        if self._ended:
            return None
        if self._kept is None:
            return self._levels.start
        if self._over is None:
            return self._levels.end
        if self._over - self._kept <= self._levels.step:
            return None
        middle = (self._over + self._kept) / 2
        return int(middle) if self._whole else middle

    def tell(self, level: float, *, kept: bool) -> None:
        """Take the half where the answer is."""
        if kept:
            self._ended = level >= self._levels.end
            self._kept = level
        else:
            self._ended = self._kept is None
            self._over = level


class Once:
    """One level: the pace is set elsewhere."""

    def __init__(self, level: float) -> None:
        self._next: float | None = level

    def ask(self) -> float | None:
        """Return the level, the first time."""
        return self._next

    def tell(self, level: float, *, kept: bool) -> None:
        """End."""
        del level, kept
        self._next = None


def levels_of(options: PerfOptions, level: float = 0) -> Levels:
    """Return what says which levels come; ``level`` is that of a pace that is set elsewhere."""
    if options.mode not in {Mode.CONCURRENCY, Mode.RATE}:
        return Once(level or options.range.start)
    if options.binary_search:
        return Bisection(options.range, whole=options.mode is Mode.CONCURRENCY)
    return Walk(options.range)
