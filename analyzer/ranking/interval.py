"""Student's t, and the intervals that are made with it. Pure arithmetic.

Owns the quantiles (exact to rounding, any real degrees of freedom, no table) and two 95 %
intervals for a difference of means: paired, and Welch's for two samples of unlike spread.
Does not own what is compared: callers pass logarithms where a ratio is meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds that hold it with the level asked for."""

    middle: float
    low: float
    high: float


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Evaluate the incomplete beta function's continued fraction by the modified Lentz method.

    The form is that of DLMF 8.17.22: even and odd coefficients by turns.
    """
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10_000):
        change = 1.0
        for coefficient in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + coefficient * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + coefficient / c
            c = c if abs(c) > tiny else tiny
            change = c * d
            value *= change
        if abs(change - 1.0) < 1e-15:  # noqa: PLR2004 - about one unit in the last place
            break
    return value


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for 0 <= x <= 1 and a, b > 0."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    # The fraction converges fast below the mean; above it the symmetry I_x(a,b) =
    # 1 - I_{1-x}(b,a) takes over.
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    log_front = (
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )
    return math.exp(log_front) / a * _continued_fraction(x, a, b)


def t_tail(t: float, degrees: float) -> float:
    """Return the probability that Student's t is above ``t`` >= 0."""
    return 0.5 * incomplete_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5)


def t_quantile(probability: float, degrees: float) -> float:
    """Return the value that Student's t stays below with this probability.

    Raises:
        ValueError: the probability is not between 0 and 1, or ``degrees`` is not positive.
    """
    if not 0.0 < probability < 1.0 or not degrees > 0.0:
        message = f"no t quantile for probability {probability} and {degrees} degrees of freedom"
        raise ValueError(message)
    tail = min(probability, 1.0 - probability)
    if probability == 0.5:  # noqa: PLR2004 - the middle, by symmetry
        return 0.0
    low, high = 0.0, 1.0
    while t_tail(high, degrees) > tail:
        low, high = high, high * 2.0
    # Bisection to the last bit: the tail falls steadily, so nothing can go wrong.
    while low < (middle := (low + high) / 2.0) < high:
        low, high = (middle, high) if t_tail(middle, degrees) > tail else (low, middle)
    return math.copysign(high, probability - 0.5)


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
