"""How many violations a percentile bears: MLPerf's early stopping, exact, both ways. Pure.

That the 99th percentile is at most a limit means that a request is over it with a probability of at
most 1 %. MLPerf's loadgen passes a run as soon as so few violations would be unlikely otherwise;
the same test the other way round fails it. Numbers may be real: of values that depend on one
another, fewer count.
"""

from __future__ import annotations

from analyzer.statistics.distributions import at_least

CERTAINTY = 0.99


def holds(count: float, violations: float, percentile: float, certainty: float = CERTAINTY) -> bool:
    """Whether so few of ``count`` requests over a limit show that the percentile is below it."""
    share = 1 - percentile / 100
    return 1 - at_least(violations + 1, count, share) <= 1 - certainty


def breaks(
    count: float, violations: float, percentile: float, certainty: float = CERTAINTY
) -> bool:
    """Whether so many of ``count`` requests over a limit show that the percentile is above it."""
    return at_least(violations, count, 1 - percentile / 100) <= 1 - certainty


def needed(violations: int, percentile: float, certainty: float = CERTAINTY) -> int:
    """Return how many requests it takes in all so that this many violations still pass.

    For the 99th percentile at a certainty of 99 %: 459 for none, 662 for one, 1307 for five.
    """
    low, high = violations, violations + 1
    while not holds(high, violations, percentile, certainty):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if holds(middle, violations, percentile, certainty) else (middle, high)
        )
    return high
