"""A percentile of all requests together, and by how much it changed. Pure.

Blocks' own percentiles are few and rough where blocks are short. Those of all requests of a side
together are smoother, and smoother still by Harrell and Davis's estimator (1982), a mean of all
order statistics around the percentile. How sure the change is comes from drawing launches, not
requests, again and again: requests of one launch are alike, and drawing them would show less spread
than another day has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyzer.gate.evidence import Launch
from analyzer.gate.values import Side
from analyzer.ranking.interval import Interval
from analyzer.statistics.histogram import Histogram

_DRAWS = 400
_CONFIDENCE = 0.95
_SEED = 0
#: draws of fewer launches than this say little
_FEWEST = 4
#: beyond so many standard deviations nothing is left
_FAR = 8.0

Floats = npt.NDArray[np.float64]


def harrell_davis(values: Floats, counts: Floats, share: float) -> float:
    """Estimate a quantile of n values that fell into places, which rise.

    The weight of an order statistic is what a beta variable with (n + 1) share and
    (n + 1) (1 - share) has between it and the last one, which is nearly normal where tens of values
    lie on either side. NaN without values.
    """
    total = float(counts.sum())
    if not total:
        return math.nan
    deviation = math.sqrt(share * (1 - share) / (total + 2))
    reached = (np.concatenate(([0.0], np.cumsum(counts))) / total - share) / deviation
    weights = np.diff(_normal(reached))
    return float(weights @ values / weights.sum())


def pooled(every: Sequence[Launch], percent: float) -> Interval | None:
    """Return the relative change of a percentile of all latencies, with a bootstrap's interval.

    None where a side or its histograms are missing, or where there are fewer than four launches.
    """
    if len(every) < _FEWEST:
        return None
    sides = []
    for side in Side:
        texts = [[block.histogram for block in launch.of(side)] for launch in every]
        if not all(launch and all(launch) for launch in texts):
            return None
        sides.append(_Table([merged(*map(Histogram.from_text, launch)) for launch in texts]))
    dice = np.random.default_rng(_SEED)
    count = len(every)
    once = np.ones(count)
    middle = sides[1].quantile(once, percent / 100) / sides[0].quantile(once, percent / 100)
    draws = dice.multinomial(count, np.full(count, 1 / count), _DRAWS).astype(np.float64)
    changes = [
        sides[1].quantile(draw, percent / 100) / sides[0].quantile(draw, percent / 100)
        for draw in draws
    ]
    low, high = np.quantile(changes, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(middle - 1, float(low) - 1, float(high) - 1)


def merged(first: Histogram, *others: Histogram) -> Histogram:
    """Return the histogram of all their values."""
    return first.merge(*others)


class _Table:
    """Counts of several histograms over the places of all of them."""

    def __init__(self, histograms: Sequence[Histogram]) -> None:
        whole = merged(*histograms)
        self._values = whole.values
        self._counts = np.zeros((len(histograms), len(whole.places)))
        for row, each in enumerate(histograms):
            self._counts[row, np.searchsorted(whole.places, each.places)] = each.counts

    def quantile(self, weights: Floats, share: float) -> float:
        """Estimate a quantile where each histogram counts so many times."""
        return harrell_davis(self._values, weights @ self._counts, share)


def _normal(z: Floats) -> Floats:
    """Return the normal distribution's share below each of n values, which rise."""
    shares = (z > 0).astype(np.float64)
    first, last = np.searchsorted(z, (-_FAR, _FAR))
    near = z[first:last].tolist()
    shares[first:last] = [0.5 * math.erfc(-each / math.sqrt(2)) for each in near]
    return shares
