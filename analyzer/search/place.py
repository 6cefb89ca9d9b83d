"""Where the search of a pipeline stands: a value for each dimension, how busy stations are. Pure.

Owns what a row stands for in a space (the default's row has values that may not be in it), and what
differs from there in some respects. Does not own what is worth trying (``bottleneck``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzer import assembly
from analyzer.record.row import Row
from analyzer.search.stations import Station
from analyzer.space import (
    CONCURRENCY,
    QUEUE_DELAY,
    Candidate,
    Dimension,
    Space,
    Value,
    joined,
    split,
)

#: under closed load, so many requests for each instance keep all of them at work
QUEUED = 2
#: from this per cent on, the machine's processors have nothing left to give
CROWDED = 95.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the search stands: the dimensions, a value for each, and how busy stations are."""

    dimensions: Mapping[str, Dimension]
    values: Mapping[str, Value]
    seen: tuple[Station, ...]
    rate: float
    crowded: bool

    @classmethod
    def of(cls, space: Space, row: Row, seen: tuple[Station, ...]) -> Place:
        """Find the values that a row stands for; the default's are nearest to what it has."""
        given = dict(row.trial.candidate.items)
        values = {
            each.name: given.get(each.name, _nearest(each, _shown(row, each.name)))
            for each in space.dimensions
        }
        named = {each.name: each for each in space.dimensions}
        crowded = row.metrics.get("cpu_machine_utilization", 0.0) >= CROWDED
        return cls(named, values, seen, row.metrics["perf_throughput"], crowded)

    @property
    def load(self) -> int:
        """How many requests are in flight; 0 where that is not what varies."""
        return int(self.values.get(CONCURRENCY, 0))

    def among(self, station: Station, name: str) -> tuple[Value, ...]:
        """Return what a station's setting may be; () where it is not to be varied."""
        found = self.dimensions.get(joined(station.model, name))
        return () if found is None else found.values

    def value(self, station: Station, name: str) -> int:
        """Return what a station's setting is here."""
        return int(self.values[joined(station.model, name)])

    def moved(self, changes: Mapping[str, Value]) -> Candidate:
        """Return the candidate that differs from here in ``changes``."""
        return Candidate.of(**{**self.values, **changes})

    def loaded(self, changes: Mapping[str, Value], instances: int) -> Candidate:
        """As ``moved``, under as much load as keeps so many instances at work."""
        changes = dict(changes)
        loads = self.dimensions.get(CONCURRENCY)
        if loads is not None and self.load < QUEUED * instances:
            enough = [each for each in loads.values if int(each) >= QUEUED * instances]
            changes[CONCURRENCY] = enough[0] if enough else loads.values[-1]
        return self.moved(changes)


def above(dimension: Dimension | None, value: int) -> tuple[Value, ...]:
    """Return the numbers among a dimension's values that are greater, in order."""
    return tuple(each for each in _numbers(dimension) if int(each) > value)


def below(dimension: Dimension | None, value: int) -> tuple[Value, ...]:
    """Return the numbers among a dimension's values that are less, in order."""
    return tuple(each for each in _numbers(dimension) if int(each) < value)


def _numbers(dimension: Dimension | None) -> tuple[Value, ...]:
    values = () if dimension is None else dimension.values
    return tuple(sorted((each for each in values if not isinstance(each, str)), key=float))


def _shown(row: Row, name: str) -> object:
    """Return what a row shows of a setting or load, by the dimension's name."""
    model, own = split(name)
    if name == CONCURRENCY:
        return row.load.concurrency
    shown = assembly.shown(row.settings).get(model or row.model, row.settings)
    if own == QUEUE_DELAY and not shown.get("dynamic_batching"):
        return -1
    return shown.get(own)


def _nearest(dimension: Dimension, shown: object) -> Value:
    """Return the value of a dimension that is nearest to what a row shows; else its first."""
    if shown in dimension.values:
        return next(each for each in dimension.values if each == shown)
    if not isinstance(shown, int | float) or any(
        isinstance(each, str) for each in dimension.values
    ):
        return dimension.values[0]
    return min(dimension.values, key=lambda each: abs(float(each) - float(shown)))
