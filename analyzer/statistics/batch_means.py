"""How far the mean of a stream of values may be off, though they depend on one another. Pure.

Neighbouring requests wait in the same queue, so a thousand of them may say no more than ten that
have nothing to do with one another. The stream is cut into 64 batches of equal count, whose means
depend on one another less than the values do; while they still do (lag-1 autocorrelation above
0.3) batches are made twice as long, down to 20. What dependence is left is taken for that of
a first-order autoregression and corrected for: the variance is multiplied by (1 + r) / (1 - r).
The estimate of r is uncertain too, which costs two thirds of the degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.statistics.distributions import t_quantile

MOST_BATCHES = 64
LEAST_BATCHES = 20
#: batch means that depend on one another more than this are too short
TOLERATED = 0.3
_LIMITS = (-0.3, 0.9)

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What batch means say of a mean: its variance, and with how many degrees of freedom.

    ``lag1`` is the autocorrelation of neighbouring batches, of which there are ``batches``;
    ``correlated`` says that even 20 batches are too short to be taken apart.
    """

    variance: float
    degrees: float
    lag1: float
    batches: int
    correlated: bool

    def reach(self, confidence: float) -> float:
        """Return the half-width of the mean's interval; infinite for fewer than two batches."""
        if not self.degrees:
            return math.inf
        return t_quantile((1 + confidence) / 2, self.degrees) * math.sqrt(self.variance)


UNKNOWN = Spread(variance=math.inf, degrees=0.0, lag1=0.0, batches=0, correlated=False)


def spread(values: Values) -> Spread:
    """Estimate the variance of the mean of ``values``, n numbers in the order of the stream."""
    count = len(values)
    if count < 2:  # noqa: PLR2004 - one value has no spread
        return UNKNOWN
    size = math.ceil(count / MOST_BATCHES)
    means = batched(values, size)
    while (found := lag1(means)) > TOLERATED and len(means) // 2 >= LEAST_BATCHES:
        size *= 2
        means = batched(values, size)
    batches = len(means)
    left = min(max(found, _LIMITS[0]), _LIMITS[1])
    return Spread(
        variance=float(means.var(ddof=1)) / batches * (1 + left) / (1 - left),
        degrees=max(1.0, round((batches - 1) / 3, 1)),
        lag1=found,
        batches=batches,
        correlated=found > TOLERATED and batches >= LEAST_BATCHES,
    )


def batched(values: Values, size: int) -> npt.NDArray[np.float64]:
    """Return the means of batches of ``size`` values; the remainder is left out at the front."""
    batches = len(values) // size
    rows = values[len(values) - batches * size :].reshape(batches, size)
    if rows.dtype == np.bool_:
        return np.asarray(np.count_nonzero(rows, axis=1) / size, np.float64)
    return np.asarray(rows.mean(axis=1), np.float64)


def lag1(means: npt.NDArray[np.float64]) -> float:
    """Return how much neighbours are alike: the lag-1 autocorrelation, without its small bias.

    Of n values it comes out (1 + 3r) / n too low where their mean is not known but estimated.
    """
    apart = means - means.mean()
    total = float(apart @ apart)
    if not total:
        return 0.0
    found = float(apart[1:] @ apart[:-1]) / total
    return found + (1 + 3 * max(found, 0.0)) / len(means)
