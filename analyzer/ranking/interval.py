"""Intervals for a difference of means. Pure arithmetic.

Owns two 95 % intervals by Student's t: paired, and Welch's for two samples of unlike spread.
Does not own what is compared: callers pass logarithms where a ratio is meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from analyzer.statistics.distributions import t_quantile

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds that hold it with the level asked for."""

    middle: float
    low: float
    high: float


def paired(differences: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Bound the mean of differences taken in pairs; None for fewer than two."""
    count = len(differences)
    if count < 2:  # noqa: PLR2004 - one value has no spread
        return None
    middle = fmean(differences)
    reach = t_quantile((1.0 + level) / 2.0, count - 1)
    reach *= math.sqrt(variance(differences, middle) / count)
    return Interval(middle, middle - reach, middle + reach)


def welch(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Bound mean(first) - mean(second); None where a sample has fewer than two values.

    Degrees of freedom by Welch and Satterthwaite, so the spreads need not be alike.
    """
    if min(len(first), len(second)) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    middle = fmean(first) - fmean(second)
    parts = [variance(sample) / len(sample) for sample in (first, second)]
    total = sum(parts)
    if not total:
        return Interval(middle, middle, middle)
    # Shares, not the parts themselves: the square of a tiny variance would be 0.
    degrees = 1.0 / sum(
        (part / total) ** 2 / (len(sample) - 1)
        for part, sample in zip(parts, (first, second), strict=True)
    )
    reach = t_quantile((1.0 + level) / 2.0, degrees) * math.sqrt(total)
    return Interval(middle, middle - reach, middle + reach)
