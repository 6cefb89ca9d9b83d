"""When each request is due. Pure.

A schedule plans; it never waits. Latency is counted from the planned time, so that a stalled
server cannot hide its own queue. A closed loop has no schedule: a request is due when another is
answered.

Owns the plan, as ns from the start. Does not own the clock, nor what happens when a request is
sent late. Every schedule can be walked again, and gives the same plan each time; senders that
share one take every n-th of its requests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from analyzer.errors import LoadError
from analyzer.record.row import LoadSpec

SECOND = 1_000_000_000
DISTRIBUTIONS = ("constant", "poisson", "gamma")
#: so many intervals are drawn at once
_BLOCK = 4096


class Schedule(Protocol):
    """A plan: when requests are due, ns from the start, in order. It may have no end."""

    def offsets(self) -> Iterator[int]:
        """Walk through the plan from its beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """``rate`` requests a second, at equal distances."""

    rate: float

    def offsets(self) -> Iterator[int]:
        """Multiples of the distance, each rounded by itself: nothing adds up."""
        return (round(count * SECOND / self.rate) for count in itertools.count())


@dataclass(frozen=True, slots=True)
class Gamma:
    """``rate`` requests a second on average; ``cv`` is the intervals' coefficient of variation.

    A cv of 1 is a Poisson process; below, requests come more evenly, above, in bursts.
    """

    rate: float
    cv: float = 1.0
    seed: int = 0

    def offsets(self) -> Iterator[int]:
        """Sums of gamma distributed intervals."""
        # A closed loop does without what takes a tenth of a second to import.
        import numpy as np  # noqa: PLC0415 - as said above

        chance = np.random.default_rng(self.seed)
        shape = 1 / self.cv**2
        at = 0.0
        while True:
            ends = at + np.cumsum(chance.gamma(shape, SECOND / self.rate / shape, _BLOCK))
            at = float(ends[-1])
            yield from ends.astype(np.int64).tolist()


@dataclass(frozen=True, slots=True)
class Intervals:
    """Recorded distances between requests, ns, from the start on; walked through in a loop."""

    ns: tuple[int, ...]

    def offsets(self) -> Iterator[int]:
        """Sums of the intervals."""
        return itertools.accumulate(itertools.cycle(self.ns))


@dataclass(frozen=True, slots=True)
class Fixed:
    """A recorded trace: when each request was sent, ns from its start; once."""

    ns: tuple[int, ...]

    def offsets(self) -> Iterator[int]:
        """As they are, in order."""
        return iter(sorted(self.ns))


@dataclass(frozen=True, slots=True)
class Ramp:
    """The rate rises (or falls) evenly from ``low`` to ``high`` in ``seconds``, again and again."""

    low: float
    high: float
    seconds: float

    def offsets(self) -> Iterator[int]:
        """Times at which the integral of the rate reaches 1, 2, 3 ..."""
        each = (self.low + self.high) / 2 * self.seconds
        slope = (self.high - self.low) / self.seconds
        for count in itertools.count(1):
            turn, rest = divmod(count, each)
            root = math.sqrt(max(0.0, self.low**2 + 2 * slope * rest))
            # The usual solution, turned so that a slope of 0 is no special case.
            within = 2 * rest / (self.low + root) if rest else 0.0
            yield int((turn * self.seconds + within) * SECOND)


def schedule_of(load: LoadSpec) -> Schedule | None:
    """Return the schedule that a load asks for; None for a closed loop.

    Raises:
        LoadError: there is no such distribution, or a figure of it cannot be.
    """
    if not load.request_rate:
        return None
    if not (load.request_rate > 0 and math.isfinite(load.request_rate)):
        raise LoadError(f"expected a request rate above 0, found {load.request_rate:g}")
    if not (load.distribution_cv > 0 and math.isfinite(load.distribution_cv)):
        raise LoadError(
            f"expected a coefficient of variation above 0, found {load.distribution_cv:g}"
        )
    match load.distribution:
        case "constant":
            return Constant(load.request_rate)
        case "poisson":
            return Gamma(load.request_rate, 1.0, load.seed)
        case "gamma":
            return Gamma(load.request_rate, load.distribution_cv, load.seed)
        case other:
            known = ", ".join(DISTRIBUTIONS)
            raise LoadError(f"no request distribution {other!r}; there are: {known}")


def share(schedule: Schedule, index: int, senders: int) -> Iterator[int]:
    """Return the offsets that fall to one of several senders: every ``senders``-th."""
    return itertools.islice(schedule.offsets(), index, None, senders)


@dataclass(frozen=True, slots=True)
class Staircase:
    """A closed loop that grows: ``start`` requests are in flight at first.

    ``step`` more follow whenever each of those in flight has been answered ``period`` times, up to
    ``end``.
    """

    start: int
    end: int = 0
    step: int = 0
    period: int = 10

    def __post_init__(self) -> None:
        if self.start < 1:
            raise ValueError(f"expected a concurrency of at least 1, found {self.start}")

    @property
    def most(self) -> int:
        """How many are in flight at most."""
        return max(self.start, self.end) if self.step else self.start

    def after(self, complete: int) -> int:
        """Return how many are to be in flight once so many were answered often enough."""
        now = self.start
        while self.step and now < self.end and complete >= now:
            now = min(self.end, now + self.step)
        return now


class Climb:
    """How far a staircase is climbed: which slots have been answered often enough.

    The slot of a ``stream`` is used once: its request has all the answers that there will be.
    """

    def __init__(self, stairs: Staircase, *, stream: bool) -> None:
        self._stairs = stairs
        self.stream = stream
        self._answers = [0] * stairs.most
        self._complete = 0

    def answered(self, slot: int) -> None:
        """Count an answer."""
        self._answers[slot] += 1
        self._complete += self._answers[slot] == self._stairs.period

    def ended(self, slot: int) -> None:
        """Take note that a slot's request has ended, with however many answers."""
        if not self.stream:
            self.answered(slot)
        elif self._answers[slot] < self._stairs.period:
            self._answers[slot] = self._stairs.period
            self._complete += 1

    @property
    def in_flight(self) -> int:
        """How many are to be in flight now."""
        return self._stairs.after(self._complete)


def slots_of(concurrency: int, index: int, senders: int) -> int:
    """Return how many of ``concurrency`` slots fall to one of several senders."""
    return concurrency // senders + (index < concurrency % senders)
