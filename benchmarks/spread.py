"""Repetitions and what is said of them: the median, and the least and greatest. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure, measured several times, in the order in which it was measured."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Collect repetitions."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def text(self, form: str = ".0f") -> str:
        """Write ``median (least-greatest)``."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:{form}} ({low:{form}}-{high:{form}})"
