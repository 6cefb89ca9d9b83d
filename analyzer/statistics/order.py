"""A percentile and its interval, by order statistics. Pure.

Which two of n values hold a percentile between them depends on n alone, not on how the values
are distributed: so many of them lie below it as a binomial variable says. Values that depend on one
another count as fewer. How many fewer is estimated where it matters: from whether they lie below
the percentile (latencies of a whole stream may depend on one another more, or less, than their tail
does). Korn and Graubard's correction (1998) takes in that this is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import LEAST_PARTS, batched, spread
from analyzer.statistics.distributions import at_least, normal_quantile, root
from analyzer.statistics.estimate import Estimate

Values = npt.NDArray[np.int64]

#: a percentile is certified where this confidence is reached with not one value above it
CERTAINTY = 0.99
#: batches of three lengths that tell whether values depend on one another at all
_COUNTS = (1024, 256, 64)
_UNLIKELY = 2.5
#: a share above a percentile that is too small to show how values depend on one another
_RARE = 0.07
#: however skewed, a bound is at least so many standard deviations away
_LEAST = 0.5
#: where ranks are looked for, in standard deviations, and how exactly
_FAR = 12.0
_ROUNDING = 1e-4


def certifying(percentile: float, certainty: float = CERTAINTY) -> int:
    """Return how many independent values it takes to be sure that the greatest lies above.

    459 for the 99th at a certainty of 99 %, as MLPerf has it.
    """
    return math.ceil(math.log1p(-certainty) / math.log(percentile / 100))


def nearest(count: int, percentile: float) -> int:
    """Return the index of a percentile among ``count`` sorted values, as perf_analyzer has it."""
    return int(percentile / 100 * (count - 1) + 0.5)


def percentile_of(
    values: Values,
    ordered: Values,
    percentile: float,
    confidence: float,
    parts: Sequence[int] = (),
) -> Estimate:
    """Estimate a percentile of n ``values``, which are in the order of the stream.

    ``ordered`` holds the same, sorted; ``parts`` as in ``batch_means.spread``.

    Raises:
        ValueError: it is not above 0 and below 100, or there are no values.
    """
    if not 0 < percentile < 100:  # noqa: PLR2004 - what a percentile is
        raise ValueError(f"a percentile is above 0 and below 100, not {percentile:g}")
    count, share = len(values), percentile / 100
    if not count:
        raise ValueError("no values, so no percentile")
    value = ordered[nearest(count, percentile)]
    worth = _worth(values, ordered, percentile, confidence, parts)
    low = _rank(worth.low, share, confidence, upper=False)
    high = _rank(worth.high, share, confidence, upper=True)
    least = min(_between(ordered, low, worth.low, otherwise=0.0), float(value))
    most = max(_between(ordered, high, worth.high, otherwise=math.inf), float(value))
    return Estimate(
        value=float(value),
        low=least,
        high=most,
        confidence=confidence,
        n=count,
        effective_n=worth.effective,
        certified=worth.effective >= certifying(percentile) and most < math.inf,
    )


@dataclass(frozen=True, slots=True)
class _Worth:
    """How many independent values say as much, and how many to rely on for either bound.

    The latter to three digits, which are plenty, and make for few different questions.
    """

    effective: float
    low: float
    high: float

    @classmethod
    def of(cls, effective: float, low: float, high: float) -> _Worth:
        return cls(effective, *(max(1.0, float(f"{each:.3g}")) for each in (low, high)))


def _worth(
    values: Values, ordered: Values, percentile: float, confidence: float, parts: Sequence[int]
) -> _Worth:
    """Say what n values are worth where one of their percentiles is asked for.

    Batches of so many values, of which so few lie above, are skewed anyway, and binomial ranks
    know that; only what they are skewed beyond that moves the bounds.
    """
    count, share = len(values), 1 - percentile / 100
    above = values > ordered[nearest(count, percentile)]
    found = spread(above, parts)
    apart = len(parts) >= LEAST_PARTS
    if not found.degrees or (not apart and _independent(above, share)):
        return _Worth.of(count, count, count)
    times = found.variance * count / (share * (1 - share))
    if share <= _RARE:
        # Few are above, and those come in fewer clusters, so luck makes them look independent. Of
        # five times as many more is known, and they depend on one another much as these do.
        more = 1 - 5 * share
        often = spread(values > ordered[nearest(count, 100 * more)], parts)
        times = (times + often.variance * count / (more * (1 - more))) / 2
    effective = count / max(1.0, times)
    usual = (1 - 2 * share) / math.sqrt(share * (1 - share) * effective / found.batches)
    down, up = found.deviations(confidence, usual)
    normal = normal_quantile((1 + confidence) / 2)
    low, high = (min(effective * (normal / max(each, _LEAST)) ** 2, count) for each in (down, up))
    return _Worth.of(effective, low, high)


def _independent(above: npt.NDArray[np.bool_], share: float) -> bool:
    """Whether batches of three lengths vary no more than those of independent values would."""
    if len(above) < 2 * _COUNTS[-1]:
        return False
    for batches in _COUNTS:
        size = len(above) // batches
        if size > 1:
            ratio = batched(above, size).var(ddof=1) * size / (share * (1 - share))
            if ratio > 1 + _UNLIKELY * math.sqrt(2 / batches):
                return False
    return True


@lru_cache(maxsize=4096)
def _rank(count: float, share: float, confidence: float, *, upper: bool) -> float:
    """Return the rank, of 1 to ``count``, that bounds a quantile; NaN if it would be beyond.

    Ranks lie between whole ones, so that the interval is not wider than asked for.
    """
    error = (1 - confidence) / 2
    wanted = error if upper else 1 - error
    middle, deviation = count * share, math.sqrt(count * share * (1 - share))
    rank = root(
        lambda rank: at_least(rank, count, share) > wanted,
        max(0.0, middle - _FAR * deviation - 1),
        min(count + 1, middle + _FAR * deviation + 1),
        tolerance=_ROUNDING * (1 + deviation),
    )
    return rank if 1 <= rank <= count else math.nan


def _between(ordered: Values, rank: float, of: float, *, otherwise: float) -> float:
    """Return what stands at a rank of ``of``, where more values, or fewer, are there."""
    if math.isnan(rank):
        return otherwise
    place = min(max((len(ordered) + 1) * rank / (of + 1) - 1, 0.0), len(ordered) - 1.0)
    first = int(place)
    second = min(first + 1, len(ordered) - 1)
    return float(ordered[first] + (place - first) * float(ordered[second] - ordered[first]))
