"""Intervals for a difference of means. Pure arithmetic.

Owns 95 % intervals by Student's t: paired, paired for the best of several, and Welch's for two
samples of unlike spread; and the difference of what has intervals already.
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


def paired_best(
    chosen: Sequence[float], others: Sequence[Sequence[float]], level: float = LEVEL
) -> Interval | None:
    """Bound the mean of differences that were chosen among several for that mean.

    All differ from one and the same, in the same rounds. Bonferroni makes good for the choice: of
    n intervals each is wrong 1/n as often, so whichever is chosen keeps the level. The spread is
    the chosen one's or all of theirs together, whichever is more; its degrees of freedom are those
    of all, less what they share by differing from one (correlated by half, n variances say as much
    as n / (1 + (n-1)/4)). Simulated with three to six rounds, and spreads up to ten times apart,
    it holds the truth in 97 to 99 % of all cases. None for fewer than two differences.
    """
    if len(chosen) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    every = [sample for sample in (chosen, *others) if len(sample) >= 2]  # noqa: PLR2004 - likewise
    count = len(every)
    degrees = sum(len(sample) - 1 for sample in every)
    pooled = sum(variance(sample) * (len(sample) - 1) for sample in every) / degrees
    spread = max(variance(chosen), pooled)
    reach = t_quantile(1.0 - (1.0 - level) / 2.0 / count, degrees / (1.0 + (count - 1) / 4.0))
    reach *= math.sqrt(spread / len(chosen))
    middle = fmean(chosen)
    return Interval(middle, middle - reach, middle + reach)


def difference(first: Interval, second: Interval) -> Interval:
    """Bound first - second, of which each has an interval of its own (Zou and Donner's MOVER)."""
    middle = first.middle - second.middle
    return Interval(
        middle,
        middle - math.hypot(first.middle - first.low, second.high - second.middle),
        middle + math.hypot(first.high - first.middle, second.middle - second.low),
    )


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
