"""Model Analyzer's quick search: a hill climb over instances and batch sizes, then load sweeps.

Owns the walk (``neighborhood`` has the decisions) and the load at which a setting is judged. Does
not own what a score is made of.

Rules:

1. Every setting that has a choice is a coordinate, from the least values upwards. It is judged at
   a load of twice its batch size times its instances, or the nearest there is; of several models,
   each at its own; and a pipeline at that of its largest stage. For a request rate there is no
   such rule: the highest shows most.
2. The climb goes from home to home (``neighborhood``). A home that fails, or breaks the constraints
   where an earlier one kept them, is stepped back from: to whoever is closest to the best, and
   slowly from there on.
3. It ends where home stays home, where it would come to a home for the third time, or where
   nothing is left to measure around it.
4. The climb is made with the least of the client's batch sizes. Then the load is swept for the best
   settings, with each of them (``loads.swept``). The default's sweep is the
   campaign's.

Put right: the first home is measured, where Model Analyzer gives it the default configuration's
figures; a first home that fails does not end the search; and the sweep sees its own measurements,
so that it goes on as long as that pays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping

from analyzer import loads
from analyzer.neighborhood import Coordinate, around
from analyzer.record.outcome import Outcome, standing
from analyzer.record.row import Why
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    REQUEST_RATE,
    SEPARATOR,
    Axis,
    Candidate,
    Dimension,
    Value,
)
from analyzer.strategy import Asked, Problem, Script, Scripted

#: how often a home may be come to, and how many failures in a row are enough at the start
_MOST_VISITS, _HOPELESS = 2, 6

Walk = Generator[Asked, Outcome, str]


def make(problem: Problem) -> Scripted:
    """Make the strategy. It has no randomness: the seed changes nothing."""
    return Scripted(_search(problem))


def _search(problem: Problem) -> Script:
    climb = _Climb(problem)
    ended = yield from climb.walk()
    count = yield from loads.swept(problem, climb.outcomes, every_batch=True)
    return loads.said(ended, count)


class _Climb:
    """One climb. ``outcomes`` is what was seen, by candidate."""

    def __init__(self, problem: Problem) -> None:
        dimensions = problem.space.dimensions
        settings = [each for each in dimensions if each.axis is Axis.SETTING]
        self._axes = [each for each in settings if len(each.values) > 1]
        self._fixed = {each.name: each.values[0] for each in settings if len(each.values) == 1}
        self._loads = [each for each in dimensions if each.axis is Axis.LOAD]
        self._sizes = tuple(len(each.values) for each in self._axes)
        self._base = problem.base
        self._seen: dict[Coordinate, Outcome] = {}
        self.outcomes: dict[Candidate, Outcome] = {}

    def walk(self) -> Walk:
        """Climb until there is nowhere to go; return why."""
        home = (0,) * len(self._sizes)
        area = around(home, self._sizes)
        visits, passed = Counter([home]), False
        text = "where the climb starts: the least of everything"
        at: Coordinate | None = home
        while at is not None and not self._hopeless():
            yield from self._measured(at, text)
            outcome = self._seen[home]
            passed |= outcome.score is not None and outcome.feasible
            astray = outcome.score is None or (passed and not outcome.feasible)
            at = area.unmeasured(self._seen)
            if astray and (best := self._best()) is not None:
                new, text = area.nearest(best), "a step back, towards the best so far"
            elif not astray and (at is None or area.enough(self._seen)):
                new, text = area.step(self._seen), "a step to where its neighbours point"
            else:
                text = f"a neighbour of {_words(self._setting(home))}, to see which way is up"
                continue
            if new == home or visits[new] == _MOST_VISITS:
                return f"the climb came to rest at {_words(self._setting(home))}"
            visits[new] += 1
            home = at = new
            area = around(home, self._sizes, forced=astray)
        return "the climb found nothing that can be measured"

    def _hopeless(self) -> bool:
        """Whether measuring has brought nothing but failures."""
        tried = [each for each in self._seen.values() if each.row is not None]
        return len(tried) >= _HOPELESS and all(each.score is None for each in tried)

    def _best(self) -> Coordinate | None:
        known = {at: each for at, each in self._seen.items() if each.score is not None}
        return max(known, key=lambda at: standing(known[at]), default=None)

    def _measured(self, at: Coordinate, text: str) -> Generator[Asked, Outcome, None]:
        if at in self._seen:
            return
        setting = self._setting(at)
        loads_ = {each.name: self._load(each, setting) for each in self._loads}
        candidate = Candidate.of(**setting, **loads_)
        self._seen[at] = self.outcomes[candidate] = yield Asked(candidate, Why(text))

    def _setting(self, at: Coordinate) -> dict[str, Value]:
        chosen = zip(self._axes, at, strict=True)
        return {**self._fixed, **{each.name: each.values[index] for each, index in chosen}}

    def _load(self, load: Dimension, setting: Mapping[str, Value]) -> Value:
        """Return the load of a setting, by rule 1."""
        model, _, name = load.name.rpartition(SEPARATOR)
        if name == REQUEST_RATE:
            return load.values[-1]
        if name != CONCURRENCY:
            return load.values[0]
        owners = {model} if model else {each.rpartition(SEPARATOR)[0] for each in setting} | {""}
        aim = max(2 * self._batch(each, setting) * _own(each, INSTANCE_COUNT, setting, 1)
                  for each in owners)  # fmt: skip
        return min(load.values, key=lambda value: (abs(math.log(float(value) / aim)), value))

    def _batch(self, model: str, setting: Mapping[str, Value]) -> float:
        base = self._base
        usual = max(base.max_batch_size, 1) if base is not None and not model else 1
        return max(_own(model, MAX_BATCH_SIZE, setting, usual), 1)


def _own(model: str, name: str, setting: Mapping[str, Value], usual: float) -> float:
    """Return a model's own value of a dimension."""
    return float(setting.get(f"{model}{SEPARATOR}{name}" if model else name, usual))


def _words(setting: Mapping[str, Value]) -> str:
    return str(Candidate.of(**setting))
