"""How far the mean of a stream of values may be off, though they depend on one another. Pure.

Neighbouring requests wait in the same queue, so a thousand of them may say no more than ten that
have nothing to do with one another. The stream is cut into 64 batches of equal count, whose means
depend on one another less than the values do; while they still do (lag-1 autocorrelation above
0.3) batches are made twice as long, down to 20. What dependence is left is taken for that of
a first-order autoregression and corrected for: the variance is multiplied by (1 + r) / (1 - r).
The estimate of r is uncertain too, which costs two thirds of the degrees of freedom, and so is a
variance that rests on few large deviations, by their kurtosis. Where batch means are skewed (a
queue is long seldom, but then very) intervals reach farther to that side, by Hall's transformation
in the form of Willink (2005).

A stream of parts that began anew, each by chance, needs none of that: whatever happens within a
part, or stays as it is for all of it, parts have nothing to do with one another, so what their sums
scatter says it all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
_FEWEST_FOR_SKEWNESS = 10
#: of fewer parts it is not known how they scatter
LEAST_PARTS = 4
_SLIGHT = 1e-6

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What batch means say of a mean: its variance, and with how many degrees of freedom.

    ``lag1`` is the autocorrelation of neighbouring batches, or parts, of which there are
    ``batches``, and ``skewness`` that of their means; ``correlated`` says that they are alike even
    so.
    """

    variance: float
    degrees: float
    lag1: float
    skewness: float
    batches: int
    correlated: bool

    def reach(self, confidence: float) -> tuple[float, float]:
        """Return how far the mean's interval reaches down and up; infinite if nothing is known."""
        if not self.degrees:
            return math.inf, math.inf
        down, up = self.deviations(confidence)
        deviation = math.sqrt(self.variance)
        return down * deviation, up * deviation

    def deviations(self, confidence: float, usual: float = 0.0) -> tuple[float, float]:
        """Return how many standard deviations an interval reaches down and up.

        ``usual`` is the skewness of batch means that is accounted for otherwise.
        """
        t = t_quantile((1 + confidence) / 2, self.degrees)
        if self.batches < _FEWEST_FOR_SKEWNESS:
            return t, t
        lean = (self.skewness - usual) / (6 * math.sqrt(self.batches))
        return abs(_unskewed(t, lean)), abs(_unskewed(-t, lean))


UNKNOWN = Spread(
    variance=math.inf, degrees=0.0, lag1=0.0, skewness=0.0, batches=0, correlated=False
)


def spread(values: Values, parts: Sequence[int] = ()) -> Spread:
    """Estimate the variance of the mean of ``values``, n numbers in the order of the stream.

    ``parts`` are the indices at which the stream began anew, the first of them 0; of four on they
    are what the estimate rests on.
    """
    count = len(values)
    if len(parts) >= LEAST_PARTS:
        return _of_parts(values, parts)
    if count < 2:  # noqa: PLR2004 - one value has no spread
        return UNKNOWN
    size = math.ceil(count / MOST_BATCHES)
    means = batched(values, size)
    while (found := lag1(means)) > TOLERATED and len(means) // 2 >= LEAST_BATCHES:
        size *= 2
        means = batched(values, size)
    batches = len(means)
    left = min(max(found, _LIMITS[0]), _LIMITS[1])
    skewness, excess = _shape(means)
    return Spread(
        variance=float(means.var(ddof=1)) / batches * (1 + left) / (1 - left),
        degrees=max(1.0, round(2 * (batches - 1) / (6 + max(excess, 0.0)), 1)),
        lag1=found,
        skewness=skewness,
        batches=batches,
        correlated=batches >= LEAST_BATCHES and found > max(TOLERATED, 2 / math.sqrt(batches)),
    )


def _of_parts(values: Values, parts: Sequence[int]) -> Spread:
    """Estimate the variance of a mean by that of the parts' sums: a ratio, for parts differ."""
    count, many = len(values), len(parts)
    apart = np.add.reduceat(values.astype(np.float64) - values.mean(), parts)
    found = lag1(apart)
    return Spread(
        variance=float(apart @ apart) * many / (many - 1) / count**2,
        degrees=many - 1.0,
        lag1=found,
        skewness=_shape(apart)[0],
        batches=many,
        correlated=found > max(TOLERATED, 2 / math.sqrt(many)),
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


def _shape(means: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return skewness and excess kurtosis."""
    count, apart = len(means), means - means.mean()
    variance = float((apart**2).mean())
    if not variance or count < 3:  # noqa: PLR2004 - two values lean to no side
        return 0.0, 0.0
    skewness = float((apart**3).mean()) / (variance * math.sqrt(variance))
    correction = math.sqrt(count * (count - 1)) / (count - 2)
    return skewness * correction, float((apart**4).mean()) / variance**2 - 3


def _unskewed(t: float, lean: float) -> float:
    """Return what Student's ``t`` is where the mean's own distribution leans to one side."""
    if abs(lean) < _SLIGHT:
        return t
    return (float(np.cbrt(1 + 6 * lean * (t - lean))) - 1) / (2 * lean)
