"""Queues whose waits are known by formula: M/D/1, M/M/1 and M/M/c, first come, first served. Pure.

Requests come at random (Poisson). Sources: Erlang's C formula; Crommelin's distribution of the wait
in M/D/1 (1932), summed in decimals of 60 digits, because its terms alternate. Times are in seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analyzer.statistics.distributions import root
from benchmarks.streams import Dice, Floats, single_server

_DIGITS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """``servers`` with a mean ``service``, each busy for a share ``load`` of the time.

    Service times are exponential, or all the same where ``fixed``, which takes one server.
    """

    load: float
    service: float
    servers: int = 1
    fixed: bool = False

    @property
    def name(self) -> str:
        """Kendall's name, and how busy it is."""
        return f"M/{'D' if self.fixed else 'M'}/{self.servers} at {self.load:g}"

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load * self.servers / self.service

    @property
    def mean_wait(self) -> float:
        """The mean wait, those included who do not wait."""
        if self.fixed:
            return self.load * self.service / (2 * (1 - self.load))
        return self._waiting / self._drain

    def wait(self, share: float) -> float:
        """Return the wait that this share of the requests is below."""
        return _where(lambda time: self.waits_longer(time) > 1 - share, self.service)

    def response(self, share: float) -> float:
        """Return the wait and service, together, that this share of the requests is below."""
        if self.fixed:
            return self.wait(share) + self.service
        return _where(lambda time: self._takes_longer(time) > 1 - share, self.service)

    def waits_longer(self, time: float) -> float:
        """Return the probability of a wait above ``time``."""
        if self.fixed:
            return 1 - _crommelin(self.load, time / self.service)
        return self._waiting * math.exp(-self._drain * time)

    def _takes_longer(self, time: float) -> float:
        each, drain = 1 / self.service, self._drain
        alone = math.exp(-each * time)
        if math.isclose(each, drain):
            both = (1 + each * time) * alone
        else:
            both = (drain * alone - each * math.exp(-drain * time)) / (drain - each)
        return (1 - self._waiting) * alone + self._waiting * both

    @property
    def _drain(self) -> float:
        """How fast a queue empties while all servers are busy, net of arrivals, 1/s."""
        return self.servers * (1 - self.load) / self.service

    @property
    def _waiting(self) -> float:
        """The probability of a wait (Erlang's C)."""
        offered, blocked = self.servers * self.load, 1.0
        for servers in range(1, self.servers + 1):
            blocked = offered * blocked / (servers + offered * blocked)
        return blocked / (1 - self.load * (1 - blocked))

    def simulate(self, dice: Dice, count: int) -> tuple[Floats, Floats, Floats]:
        """Give arrivals, waits and services of ``count`` requests; nobody is there at first."""
        arrivals = np.cumsum(dice.exponential(1 / self.rate, count))
        services = np.full(count, self.service)
        if not self.fixed:
            services = dice.exponential(self.service, count)
        if self.servers == 1:
            _, responses = single_server(arrivals, services, 0.0)
            return arrivals, responses - services, services
        free = [0.0] * self.servers
        waits = np.empty(count)
        for index, (arrival, service) in enumerate(
            zip(arrivals.tolist(), services.tolist(), strict=True)
        ):
            begun = max(arrival, free[0])
            heapq.heapreplace(free, begun + service)
            waits[index] = begun - arrival
        return arrivals, waits, services


def _where(below: Callable[[float], bool], step: float) -> float:
    """Return the time at which ``below`` ends, beginning with a step that is doubled."""
    while below(step):
        step *= 2
    return root(below, 0.0, step, tolerance=1e-9 * step)


def in_system(
    arrivals: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], begin: float, end: float
) -> float:
    """Return how many requests are there on average between two moments, by counting them."""
    return (
        _area(arrivals, end) - _area(arrivals, begin) - _area(ends, end) + _area(ends, begin)
    ) / (end - begin)


def _area(moments: npt.NDArray[np.float64], until: float) -> float:
    """Return the integral of how many of ``moments`` have passed."""
    return float(np.maximum(until - moments, 0.0).sum())


@lru_cache(maxsize=4096)
def _crommelin(load: float, time: float) -> float:
    """Return P[wait <= time] of M/D/1, time in services."""
    with localcontext() as context:
        context.prec = _DIGITS
        rate, at, total = Decimal(load), Decimal(time), Decimal(0)
        for k in range(int(time) + 1):
            early = rate * (Decimal(k) - at)
            total += (early**k if k else Decimal(1)) / math.factorial(k) * (-early).exp()
        return float((1 - rate) * total)
