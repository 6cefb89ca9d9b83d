"""From candidates to numbers, for any space: what is near what. Pure.

Rules:

1. Whole numbers are on a scale of octaves: 1 and 2 are as far from each other as 32 and 64. A
   number below 0 is "off", which is a feature of its own.
2. Everything else is a category: any two values are equally far.
3. What cannot matter is left out: a batch no larger than 1 or without dynamic batching is 1, and a
   largest batch counts only as far as the requests in flight can fill it. Memory does not care for
   the load: ``raw`` keeps what ``acting`` leaves out.
4. How much load there is for each place in a batch is a feature as well: an optimum moves along it.
5. The default configuration lies where its settings are, be it beside the grid.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer import variant
from analyzer.search.gp import Points
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Candidate,
    Dimension,
    Space,
    Value,
    joined,
    split,
)
from engine.modelconfig.schema import ModelConfig

#: so many octaves are one unit
_OCTAVES = 2.0
#: a load of so many octaves more or less than there are places is as good as any
_FILLED = 4.0
#: so many lists of points are remembered
_RECENT = 8
#: categories of a feature are so far apart
_APART = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How one dimension becomes a number, and whether it does."""

    name: str
    numbers: Mapping[Value, float]
    step: float = 1.0

    @staticmethod
    def of(dimension: Dimension) -> Scale | None:
        """Make the scale of a dimension, or None of one whose values are no numbers."""
        numbers = {value: number_of(value) for value in dimension.values}
        known = {value: number for value, number in numbers.items() if number is not None}
        if len(known) < len(numbers):
            return None
        above = [number for number in known.values() if number > 0]
        return Scale(dimension.name, known, min(above, default=1.0))

    def at(self, number: float) -> tuple[float, float]:
        """Return whether it is off, and where it is."""
        if number < 0:
            return 1.0, 0.0
        return 0.0, math.log2(1.0 + number / self.step) / _OCTAVES


def number_of(value: Value) -> float | None:
    """Return the number that a value is or spells, None of any other."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        found = json.loads(value)
    except ValueError:
        return None
    good = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if good else None


class Embedding:
    """The features of one space's candidates, and of its default configuration."""

    def __init__(self, space: Space, base: ModelConfig | None = None, cores: int = 0) -> None:
        self._space = space
        self._names = [each.name for each in space.dimensions]
        found = [Scale.of(each) for each in space.dimensions]
        self._scales = [scale for scale in found if scale is not None]
        self._categories = [
            each for each, scale in zip(space.dimensions, found, strict=True) if scale is None
        ]
        self._default = _default(space, base, cores)
        self._keys: dict[Candidate, tuple[tuple[str, Value], ...]] = {}
        self._recent: list[tuple[str, list[Candidate], Points]] = []

    @property
    def categories(self) -> tuple[Dimension, ...]:
        """The dimensions without an order that have something to choose."""
        return tuple(each for each in self._categories if len(each.values) > 1)

    def place(self, candidate: Candidate) -> dict[str, Value]:
        """Return a value for each dimension: the default's own where a candidate has none."""
        return {**self._default, **dict(candidate.items)}

    def raw(self, candidates: Sequence[Candidate]) -> Points:
        """Return features in which every setting counts."""
        return self._remembered("raw", candidates)

    def acting(self, candidates: Sequence[Candidate]) -> Points:
        """Return features in which only that counts which can change how requests fare."""
        return self._remembered("acting", candidates)

    def _remembered(self, kind: str, candidates: Sequence[Candidate]) -> Points:
        """Return the points of candidates, which are mostly those of a moment ago."""
        wanted = list(candidates)
        for name, before, points in self._recent:
            if name == kind and len(before) == len(wanted) and before == wanted:
                return points
        points = (
            self._acting(wanted)
            if kind == "acting"
            else self._points([self.place(each) for each in wanted])
        )
        self._recent = [(kind, wanted, points), *self._recent[: _RECENT - 1]]
        return points

    def _acting(self, candidates: Sequence[Candidate]) -> Points:
        places = [acting(self.place(each)) for each in candidates]
        points = self._points(places)
        own = {split(name)[1] for name in self._names}
        if not places or not {CONCURRENCY, MAX_BATCH_SIZE} & own:
            return points
        fill = [[_fill(each)] for each in places]
        return Points(np.hstack([points.features, np.array(fill)]), points.codes)

    def key(self, candidate: Candidate) -> tuple[tuple[str, Value], ...]:
        """Return what candidates share that cannot differ in how requests fare."""
        if candidate not in self._keys:
            self._keys[candidate] = tuple(sorted(acting(self.place(candidate)).items()))
        return self._keys[candidate]

    def category(self, candidate: Candidate) -> tuple[Value, ...]:
        """Return the values of the dimensions without an order."""
        place = self.place(candidate)
        return tuple(place[each.name] for each in self._categories)

    def _points(self, places: Sequence[Mapping[str, Value]]) -> Points:
        rows = [
            [
                part
                for scale in self._scales
                for part in scale.at(number_of(each[scale.name]) or 0.0)
            ]
            for each in places
        ]
        codes = [
            [_code(each.values, place[each.name]) for each in self._categories] for place in places
        ]
        hot = [
            [
                _APART * (place[each.name] == value)
                for each in self._categories
                for value in each.values
            ]
            for place in places
        ]
        shape = (len(places), -1)
        return Points(
            np.hstack(
                [np.array(rows, float).reshape(shape), np.array(hot, float).reshape(shape)]
                if places
                else [np.zeros((0, 2 * len(self._scales)))]
            ),
            np.array(codes, np.int64).reshape((len(places), len(self._categories))),
        )


def acting(place: Mapping[str, Value]) -> dict[str, Value]:
    """Return a candidate's values with those made equal that make no difference (rule 3)."""
    found = dict(place)
    for name in place:
        model, own = split(name)
        if own == MAX_BATCH_SIZE:
            _settle(found, model)
    return found


def _settle(found: dict[str, Value], model: str) -> None:
    """Make one model's values equal that make no difference, in place."""
    size, wait = joined(model, MAX_BATCH_SIZE), joined(model, QUEUE_DELAY)
    largest, delay = found[size], found.get(wait)
    if not isinstance(largest, int):
        return
    if delay == variant.NO_BATCHING or largest <= 1:
        found[size] = 1
        if wait in found:
            found[wait] = variant.NO_BATCHING
        return
    load, rows = found.get(CONCURRENCY), found.get(BATCH_SIZE, 1)
    if isinstance(load, int) and isinstance(rows, int):
        # With a delay a batch that nobody can fill waits; how much too large it is, is all one.
        waits = isinstance(delay, int) and delay > 0
        found[size] = min(largest, load * rows * (2 if waits else 1))


def _fill(place: Mapping[str, Value]) -> float:
    """Say how many octaves the requests in flight are above the places in batches (rule 4).

    Of several models, the one counts that has the most places.
    """
    models = {split(name)[0] for name in place}
    places = [
        math.prod(_number(place, joined(model, own)) for own in (INSTANCE_COUNT, MAX_BATCH_SIZE))
        for model in models
    ]
    flight = _number(place, CONCURRENCY) * _number(place, BATCH_SIZE)
    octaves = math.log2(max(flight, 1.0) / max(1.0, *places, 1.0))
    return min(max(octaves, -_FILLED), _FILLED) / _OCTAVES


def _number(place: Mapping[str, Value], name: str) -> float:
    value = place.get(name, 1)
    return float(value) if isinstance(value, int | float) else 1.0


def _code(values: tuple[Value, ...], value: Value) -> int:
    return values.index(value) if value in values else len(values)


def _default(space: Space, base: ModelConfig | None, cores: int) -> dict[str, Value]:
    """Return where the default configuration lies: by its settings, else at first values."""
    first = {each.name: each.values[0] for each in space.dimensions}
    if base is None:
        return first
    found = variant.settings(base)
    known: dict[str, Value] = {
        INSTANCE_COUNT: found[INSTANCE_COUNT] or 1,
        MAX_BATCH_SIZE: max(1, base.max_batch_size),
        QUEUE_DELAY: variant.NO_BATCHING if found[QUEUE_DELAY] is None else found[QUEUE_DELAY],
        INTRA_OP_THREADS: found[INTRA_OP_THREADS] or max(1, cores // (found[INSTANCE_COUNT] or 1)),
        "backend": base.backend or base.platform,
    }
    return {name: known.get(name, value) for name, value in first.items()}
