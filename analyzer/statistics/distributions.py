"""The distributions that intervals are made of: normal, Student's t, beta, binomial. Pure.

Exact to rounding, for any real parameters, without tables. Everything comes from the regularised
incomplete beta function and from bisection on what rises or falls steadily.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist


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


@lru_cache(maxsize=4096)
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


def normal_quantile(probability: float) -> float:
    """Return the value that a standard normal variable stays below with this probability.

    Raises:
        ValueError: the probability is not between 0 and 1.
    """
    return NormalDist().inv_cdf(probability)


def at_least(successes: float, trials: float, probability: float) -> float:
    """Return P[Binomial(trials, probability) >= successes].

    Real numbers go in as well: between whole ones it runs smoothly, which effective sample sizes
    and ranks between two values need.
    """
    if successes <= 0:
        return 1.0
    if successes > trials:
        return 0.0
    return incomplete_beta(probability, successes, trials - successes + 1)


def proportion_low(successes: float, trials: float, error: float) -> float:
    """Return Clopper and Pearson's lower bound of a probability, which fails with ``error``."""
    if successes <= 0:
        return 0.0
    return root(lambda p: at_least(successes, trials, p) < error, 0.0, 1.0)


def proportion_high(successes: float, trials: float, error: float) -> float:
    """Return Clopper and Pearson's upper bound of a probability, which fails with ``error``."""
    return 1.0 - proportion_low(trials - successes, trials, error)


def root(below: Callable[[float], bool], low: float, high: float, tolerance: float = 0.0) -> float:
    """Return where ``below`` turns from true to false, by bisection.

    To the last bit, or to an absolute ``tolerance``.
    """
    while high - low > tolerance and low < (middle := (low + high) / 2.0) < high:
        low, high = (middle, high) if below(middle) else (low, middle)
    return high
