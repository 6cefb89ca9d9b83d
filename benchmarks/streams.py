"""Streams of requests whose truth is known: simulated in virtual time, exactly.

Each gives when requests were done and how long they took, in ns, in a steady state from the first
request on, and knows its rate, mean and percentiles by formula. Queues serve first come, first
served; response times are waits and services together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from analyzer.statistics.distributions import root

Dice = np.random.Generator
Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: ``make(dice, n)`` gives n requests' ends and latencies, in seconds.

    ``rate`` is in requests a second; ``mean`` and ``quantile(share)`` are latencies in seconds.
    """

    name: str
    make: Callable[[Dice, int], tuple[Floats, Floats]]
    rate: float
    mean: float
    quantile: Callable[[float], float]

    def sample(self, dice: Dice, count: int) -> tuple[Times, Times]:
        """Give ``count`` requests' ends and latencies in ns, by their ends."""
        done, latency = self.make(dice, count)
        return (1e9 * done).astype(np.int64), (1e9 * latency).astype(np.int64)


def independent(rate: float, mean: float, spread: float = 0.5) -> Stream:
    """Ends at random times, lognormal latencies that have nothing to do with one another."""
    return _lognormal(f"independent, {rate:g}/s", rate, mean, spread, correlation=0.0)


def autoregressive(rate: float, mean: float, correlation: float, spread: float = 0.5) -> Stream:
    """Ends at random times; logarithms of latencies are a first-order autoregression."""
    return _lognormal(f"AR(1) {correlation:g}, {rate:g}/s", rate, mean, spread, correlation)


def _lognormal(name: str, rate: float, mean: float, spread: float, correlation: float) -> Stream:
    middle = mean / math.exp(spread**2 / 2)

    def make(dice: Dice, count: int) -> tuple[Floats, Floats]:
        noise = dice.normal(size=count)
        if correlation:
            noise[1:] *= math.sqrt(1 - correlation**2)
            noise = _filtered(noise, correlation)
        done = np.cumsum(dice.exponential(1 / rate, count))
        return done, middle * np.exp(spread * noise)

    def quantile(share: float) -> float:
        return middle * math.exp(spread * NormalDist().inv_cdf(share))

    return Stream(name=name, make=make, rate=rate, mean=mean, quantile=quantile)


def _filtered(noise: Floats, correlation: float) -> Floats:
    """Return x with x[k] = correlation * x[k-1] + noise[k], by doubling."""
    values, power, step = noise.copy(), correlation, 1
    while step < len(values) and power > 1e-18:  # noqa: PLR2004 - less is below rounding
        values[step:] += power * values[:-step].copy()
        power, step = power * power, 2 * step
    return values


def mm1(load: float, service: float) -> Stream:
    """M/M/1: requests come at random, one server, exponential service times."""
    rate = load / service
    mean = service / (1 - load)

    def make(dice: Dice, count: int) -> tuple[Floats, Floats]:
        first = dice.exponential(mean) if dice.random() < load else 0.0
        services = dice.exponential(service, count)
        arrivals = np.cumsum(dice.exponential(1 / rate, count))
        return single_server(arrivals, services, first)

    return Stream(
        name=f"M/M/1 {load:g}, {rate:g}/s",
        make=make,
        rate=rate,
        mean=mean,
        quantile=lambda share: -mean * math.log1p(-share),
    )


def single_server(arrivals: Floats, services: Floats, first_wait: float) -> tuple[Floats, Floats]:
    """Serve at one server; Lindley's recursion, unrolled into a running minimum."""
    steps = np.concatenate(([first_wait], services[:-1] - np.diff(arrivals)))
    walk = np.cumsum(steps)
    waits = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
    return arrivals + waits + services, waits + services


def closed(clients: int, service: float) -> Stream:
    """Some clients, each of which sends when it is answered; one server, exponential services.

    Whoever comes finds all others waiting, so a response takes as many services as there are
    clients: Erlang's distribution, and neighbours have all but one of them in common.
    """

    def make(dice: Dice, count: int) -> tuple[Floats, Floats]:
        services = dice.exponential(service, count + clients)
        done = np.cumsum(services)
        return done[clients:], done[clients:] - done[:-clients]

    def beyond(time: float) -> float:
        scaled = time / service
        terms = (k * math.log(scaled) - scaled - math.lgamma(k + 1) for k in range(clients))
        return sum(map(math.exp, terms))

    def quantile(share: float) -> float:
        return root(lambda time: beyond(time) > 1 - share, 1e-12, 100 * clients * service)

    return Stream(
        name=f"closed loop of {clients}, {1 / service:g}/s",
        make=make,
        rate=1 / service,
        mean=clients * service,
        quantile=quantile,
    )
