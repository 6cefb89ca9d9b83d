"""What a reader of a measurement should know besides its numbers, in words. Pure.

Each flag begins with its name and a colon, goes on with what was seen, and ends with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import LEAST_BATCHES, Spread, batched
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.modes import two_modes
from analyzer.statistics.order import certifying
from analyzer.statistics.trend import halves, mann_kendall

Times = npt.NDArray[np.int64]

#: z of Mann and Kendall's test; by chance one measurement in 400 is beyond it
_TREND = 3.0
#: halves that differ by less are nothing that anybody has to do something about
_NOTICEABLE = 0.05
_STRAIGHT = 0.7
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))


def flags_of(
    latency_ns: Times, ordered: Times, average: Spread, percentiles: Mapping[float, Estimate]
) -> tuple[str, ...]:
    """Return the flags of n latencies in the order of their ends; ``ordered`` has them sorted."""
    return tuple(_flags(latency_ns, ordered, average, percentiles))


def _flags(
    latency_ns: Times, ordered: Times, average: Spread, percentiles: Mapping[float, Estimate]
) -> Iterator[str]:
    count = len(latency_ns)
    drift = _drift(latency_ns, average)
    yield from drift
    modes = two_modes(ordered)
    if modes is not None:
        low, high = sorted(modes, key=lambda mode: mode.value)
        yield (
            f"bimodal: {high.share:.0%} of requests near {duration(high.value)}, {low.share:.0%} "
            f"near {duration(low.value)}; percentiles tell more than the mean, and batch sizes, "
            "instances or clocks may tell why"
        )
    if average.correlated and not drift:
        yield (
            "autocorrelated: latencies rise and fall together for longer than "
            f"1/{average.batches} of the measurement, so the intervals may be too narrow; measure "
            "several times as long"
        )
    yield from _short(count, percentiles)


def _drift(latency_ns: Times, average: Spread) -> list[str]:
    """Say that latencies go one way all the time, if they do.

    Those that go up and down slowly look like it for a while; they have to follow a line closely.
    """
    count = len(latency_ns)
    if count < LEAST_BATCHES:
        return []
    means = batched(latency_ns, count // LEAST_BATCHES)
    first, second = halves(means)
    if abs(mann_kendall(means)) <= _TREND or abs(second - first) <= _NOTICEABLE * first:
        return []
    if average.correlated and np.corrcoef(means, np.arange(len(means)))[0, 1] ** 2 < _STRAIGHT:
        return []
    text = (
        f"drift: the mean latency {'rose' if second > first else 'fell'} from "
        f"{duration(first)} in the first half to {duration(second)} in the second; "
        "warm up longer, and look for throttling, other load or a queue that grows"
    )
    return [text]


def _short(count: int, percentiles: Mapping[float, Estimate]) -> Iterator[str]:
    """Say which percentiles are of too few values, and how many it would take."""
    unsure = sorted(each for each, found in percentiles.items() if not found.certified)
    if unsure:
        most = unsure[-1]
        worth = max(1.0, percentiles[most].effective_n)
        names = ", ".join(f"p{each:g}" for each in unsure)
        alike = (
            "" if worth > 0.9 * count else f", which say as much as {worth:.0f} independent ones"
        )
        yield (
            f"short: {names} of {count} requests{alike}, where p{most:g} takes "
            f"{certifying(most)}; measure {max(2.0, certifying(most) / worth):.0f} times as long "
            "to rely on it"
        )


def duration(ns: float) -> str:
    """Write a time with three digits in the unit that suits it."""
    for size, unit in _UNITS:
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"
