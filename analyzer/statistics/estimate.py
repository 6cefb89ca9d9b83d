"""A number and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An estimate and the interval that holds the truth with the ``confidence`` asked for.

    The unit is the caller's. ``n`` values stand behind it; they say as much as ``effective_n``
    that have nothing to do with one another would. ``high`` is infinite (and ``low`` may be 0)
    where the values cannot bound it. ``certified`` is false where a percentile is one of so few
    values that nobody should rely on it (``binomial.certifying``).
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95
    n: int = 0
    effective_n: float = 0.0
    certified: bool = True

    @property
    def half_width(self) -> float:
        """Half of the interval; infinite where it has no end."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """The half-width as a share of the value; infinite for a value of 0."""
        width = self.half_width
        if not width:
            return 0.0
        return width / abs(self.value) if self.value else math.inf

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high

    def holds(self, truth: float) -> bool:
        """Whether the interval has this value in it."""
        return self.low <= truth <= self.high
