"""How long a model takes: a batch alone, beside others, and what surrounds it. Pure.

Owns the form of the service-time model. Does not own how it is learned (``fitting``) nor who
waits for whom (``world``). Times are in ns. The form:

1. a batch of k rows takes ``curve.at(k)`` on an instance that is alone, with ``threads`` threads;
2. with another number of threads by Amdahl's law, of which the share ``serial`` knows no threads;
3. beside other busy instances longer by ``crowding`` for each of them (memory, caches, a GPU's
   cores: 1 means that instances only share what one has), and by how often their threads cover the
   ``cores`` (0: there is no such limit, as on a GPU);
4. times vary: that of a batch of 1 is multiplied by one of ``multipliers``, which are equally
   likely. A longer batch varies by more, but only by the root of its length, as it does where what
   disturbs it comes and goes: half of what it lasts is not disturbed as the other half is.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from analyzer.statistics.distributions import normal_quantile

#: so many equally likely multipliers stand for a distribution
PLACES = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """Compute time by batch size, ns: straight between ``knots`` and on beyond the last.

    Knots are pairs of a size (rising, from 1) and a time (positive, not falling).
    """

    knots: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        steps = list(pairwise(self.knots))
        if not self.knots or self.knots[0][0] != 1 or not self.knots[0][1] > 0:
            raise ValueError(f"a curve begins with the time of a batch of 1, found {self.knots}")
        if any(b[0] <= a[0] or b[1] < a[1] for a, b in steps):
            raise ValueError(f"sizes rise and times do not fall, found {self.knots}")

    @classmethod
    def affine(cls, fixed_ns: float, row_ns: float) -> Curve:
        """Make the curve ``fixed_ns + k * row_ns``."""
        return cls(((1, fixed_ns + row_ns), (2, fixed_ns + 2 * row_ns)))

    def at(self, rows: int) -> float:
        """Return the time of a batch of ``rows`` >= 1."""
        knots = self.knots
        if len(knots) == 1:
            return knots[0][1]
        place = min(max(bisect_left(knots, rows, key=lambda knot: knot[0]), 1), len(knots) - 1)
        (size, time), (larger, longer) = knots[place - 1], knots[place]
        return time + (longer - time) * (rows - size) / (larger - size)

    def scaled(self, factor: float, tilt: float = 0.0) -> Curve:
        """Return the curve with every time multiplied by ``factor * size ** tilt``.

        It still does not fall: times that would are lifted to those before them.
        """
        knots: list[tuple[int, float]] = []
        for size, time in self.knots:
            changed = time * factor * size**tilt
            knots.append((size, max(changed, knots[-1][1]) if knots else changed))
        return Curve(tuple(knots))


def log_normal(cv: float) -> tuple[float, ...]:
    """Return multipliers of mean 1 that vary log-normally by ``cv``, standard deviation to mean."""
    if not cv:
        return (1.0,)
    sigma = math.sqrt(math.log1p(cv * cv))
    return normalised(math.exp(sigma * normal_quantile(share)) for share in _shares())


def exponential() -> tuple[float, ...]:
    """Return multipliers of mean 1 that vary exponentially: what queues of name M/M have."""
    return normalised(-math.log1p(-share) for share in _shares())


def normalised(values: Iterable[float]) -> tuple[float, ...]:
    """Divide values by their mean."""
    found = tuple(values)
    mean = math.fsum(found) / len(found)
    return tuple(value / mean for value in found)


def _shares() -> list[float]:
    return [(place + 0.5) / PLACES for place in range(PLACES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """How long everything takes, ns; the module's words say how the parts of computing combine.

    ``threads`` are those that ``curve`` was measured with. ``cores`` are shared by all instances;
    an instance whose configuration does not say otherwise has its fair share of them as threads.

    ``admit_ns`` and ``respond_ns`` occupy the front end, which does one thing at a time, for each
    request that comes and each response that leaves; ``batch_ns`` for each batch that returns.
    ``outside_ns`` passes for each request on the network and in the client. ``inline`` says that
    the front end computes, too: the engine runs tiny models so.
    """

    curve: Curve
    cores: int = 0
    threads: int = 1
    serial: float = 0.0
    crowding: float = 0.0
    admit_ns: float = 0.0
    respond_ns: float = 0.0
    batch_ns: float = 0.0
    outside_ns: float = 0.0
    inline: bool = False
    multipliers: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        times = (self.admit_ns, self.respond_ns, self.batch_ns, self.outside_ns, self.crowding)
        if min(*times, *self.multipliers) < 0 or not 0 <= self.serial <= 1 or self.threads < 1:
            raise ValueError(f"times, shares and counts are not negative, found {self}")

    @property
    def overhead_ns(self) -> float:
        """What a request that is alone takes besides its computing."""
        return self.admit_ns + self.respond_ns + self.batch_ns + self.outside_ns

    def threads_of(self, instances: int, threads: int | None) -> int:
        """Say how many threads an instance has, ``threads`` being what its configuration says."""
        if threads:
            return threads
        return max(1, self.cores // instances) if self.cores else self.threads

    def slowdown(self, threads: int, busy: float) -> float:
        """Say how many times as long a batch takes, with ``busy`` >= 1 instances at work."""
        own = self.serial + (1 - self.serial) * self.threads / threads
        covered = max(1.0, busy * threads / self.cores) if self.cores else 1.0
        return own * covered * (1 + self.crowding * (busy - 1))

    def with_overhead(self, request_ns: float, outside_ns: float) -> ServiceModel:
        """Return it with the front end's time for a request, halved over its two ways."""
        return replace(
            self, admit_ns=request_ns / 2, respond_ns=request_ns / 2, outside_ns=outside_ns
        )
