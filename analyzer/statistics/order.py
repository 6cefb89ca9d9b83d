"""A percentile and its interval, by order statistics. Pure.

Which two of n values hold a percentile between them depends on n alone, not on how the values
are distributed: so many of them lie below it as a binomial variable says. Values that depend on one
another count as fewer. How many fewer is estimated where it matters: from whether they lie below
the percentile (latencies of a whole stream may depend on one another more, or less, than their tail
does). Korn and Graubard's correction (1998) takes in that this is an estimate.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import Spread, spread
from analyzer.statistics.distributions import at_least, normal_quantile, root, t_quantile
from analyzer.statistics.estimate import Estimate

Values = npt.NDArray[np.int64]

#: a percentile is certified where this confidence is reached with not one value above it
CERTAINTY = 0.99


def certifying(percentile: float, certainty: float = CERTAINTY) -> int:
    """Return how many independent values it takes to be sure that the greatest lies above.

    459 for the 99th at a certainty of 99 %, as MLPerf has it.
    """
    return math.ceil(math.log1p(-certainty) / math.log(percentile / 100))


def nearest(count: int, percentile: float) -> int:
    """Return the index of a percentile among ``count`` sorted values, as perf_analyzer has it."""
    return int(percentile / 100 * (count - 1) + 0.5)


def percentile_of(
    values: Values, ordered: Values, percentile: float, confidence: float
) -> Estimate:
    """Estimate a percentile of n ``values``, which are in the order of the stream.

    ``ordered`` holds the same, sorted.

    Raises:
        ValueError: it is not above 0 and below 100, or there are no values.
    """
    if not 0 < percentile < 100:  # noqa: PLR2004 - what a percentile is
        raise ValueError(f"a percentile is above 0 and below 100, not {percentile:g}")
    count, share = len(values), percentile / 100
    if not count:
        raise ValueError("no values, so no percentile")
    value = ordered[nearest(count, percentile)]
    effective, sure = _effective(count, share, spread(values <= value), confidence)
    low, high = _ranks(round(sure, 2), share, confidence)
    return Estimate(
        value=float(value),
        low=min(_between(ordered, low, sure, otherwise=0.0), float(value)),
        high=max(_between(ordered, high, sure, otherwise=math.inf), float(value)),
        confidence=confidence,
        n=count,
        effective_n=effective,
        certified=effective >= certifying(percentile),
    )


def _effective(count: int, share: float, found: Spread, confidence: float) -> tuple[float, float]:
    """Return how many independent values say as much, and how many of these to rely on."""
    if not found.degrees:
        return float(count), float(count)
    times = max(1.0, found.variance * count / (share * (1 - share)))
    probability = (1 + confidence) / 2
    unsure = normal_quantile(probability) / t_quantile(probability, found.degrees)
    return count / times, max(1.0, count / times * unsure**2)


@lru_cache(maxsize=256)
def _ranks(count: float, share: float, confidence: float) -> tuple[float, float]:
    """Return the ranks, of 1 to ``count``, between which a quantile lies; NaN if beyond.

    Ranks lie between whole ones, so that the interval is not wider than asked for.
    """
    error = (1 - confidence) / 2
    low = root(lambda rank: at_least(rank, count, share) > 1 - error, 0.0, count)
    high = root(lambda rank: at_least(rank, count, share) > error, 0.0, count + 1)
    return low if low >= 1 else math.nan, high if high <= count else math.nan


def _between(ordered: Values, rank: float, of: float, *, otherwise: float) -> float:
    """Return what stands at a rank of ``of``, where more values, or fewer, are there."""
    if math.isnan(rank):
        return otherwise
    place = min(max((len(ordered) + 1) * rank / (of + 1) - 1, 0.0), len(ordered) - 1.0)
    first = int(place)
    second = min(first + 1, len(ordered) - 1)
    return float(ordered[first] + (place - first) * float(ordered[second] - ordered[first]))
