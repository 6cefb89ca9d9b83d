"""The decisions of Model Analyzer's quick search: where to look, and where to go. Pure.

Owns the geometry of its hill climb: a home, what lies within a radius of three steps around it,
whom of these to measure, and the step to the next home. Coordinates are positions in the lists of
values, 0 the least. Does not own the loop (``strategies.quick``) or what a score is.

Rules (Model Analyzer's):

1. Fast: once three neighbours are known, a step is taken. Each neighbour pulls or pushes along
   every dimension in which it differs from home, by its relative gain; or, where home breaks the
   constraints, by how much less it breaks them. The pull on a dimension, per step of distance, is
   0, 1, 2 or 3 steps (above 0.09, 0.3, 1.0).
2. Slow: where home keeps the constraints and a neighbour breaks them, or the reverse, or where the
   search stepped back, slopes mislead. Then all that are one step away are measured, and the step
   goes to the best that keeps the constraints.
3. Whom to measure next: fast, whoever brings the most values that no known neighbour has; slow, the
   first that is one step away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analyzer.record.outcome import Outcome, better

Coordinate = tuple[int, ...]

RADIUS, FEWEST = 3, 3
#: with more dimensions than this a ball of that radius has too many members; two steps are enough
_MANY, _NEAR = 6, 2
#: a pull above these is a step of 1, 2 and 3
STEPS = (0.09, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """What lies around a home: ``members`` are within the radius and the bounds, home included."""

    home: Coordinate
    sizes: Coordinate
    members: tuple[Coordinate, ...]
    forced: bool = False

    def known(self, seen: Mapping[Coordinate, Outcome]) -> tuple[Coordinate, ...]:
        """List the neighbours that were measured, and did not fail."""
        return tuple(
            each
            for each in self.members
            if each != self.home and each in seen and seen[each].score is not None
        )

    def slow(self, seen: Mapping[Coordinate, Outcome]) -> bool:
        """Whether rule 2 holds."""
        if self.forced:
            return True
        home = seen.get(self.home)
        if home is None or home.score is None:
            return False
        return any(seen[each].feasible != home.feasible for each in self.known(seen))

    def enough(self, seen: Mapping[Coordinate, Outcome]) -> bool:
        """Whether enough neighbours are known for a step."""
        if self.slow(seen):
            return all(each in seen for each in self._beside())
        return len(self.known(seen)) >= FEWEST

    def unmeasured(self, seen: Mapping[Coordinate, Outcome]) -> Coordinate | None:
        """Return whom to measure next, or None where all are known."""
        if self.slow(seen):
            return next((each for each in self._beside() if each not in seen), None)
        left = [each for each in self.members if each not in seen]
        known = [each for each in self.members if each in seen]
        covered = [{each[axis] for each in known} for axis in range(len(self.home))]
        return max(
            left,
            key=lambda each: sum(at not in seen for at, seen in zip(each, covered, strict=True)),
            default=None,
        )

    def step(self, seen: Mapping[Coordinate, Outcome]) -> Coordinate:
        """Return the next home; the same one where nothing leads away."""
        if self.slow(seen):
            return self._best(seen)
        moved = (at + _steps(self._pull(axis, seen)) for axis, at in enumerate(self.home))
        return tuple(min(max(at, 0), size - 1) for at, size in zip(moved, self.sizes, strict=True))

    def nearest(self, to: Coordinate) -> Coordinate:
        """Return the member that is closest to a coordinate."""
        return min(self.members, key=lambda each: math.dist(each, to))

    def _beside(self) -> tuple[Coordinate, ...]:
        return tuple(each for each in self.members if math.dist(each, self.home) == 1.0)

    def _best(self, seen: Mapping[Coordinate, Outcome]) -> Coordinate:
        best = seen.get(self.home)
        at = self.home
        for each in self.known(seen):
            if seen[each].feasible and better(best, seen[each]) is not best:
                best, at = seen[each], each
        return at

    def _pull(self, axis: int, seen: Mapping[Coordinate, Outcome]) -> float:
        """Return the mean gain for a step along one dimension."""
        pull = distance = 0.0
        for each in self.known(seen):
            offset = each[axis] - self.home[axis]
            if offset:
                pull += math.copysign(1.0, offset) * gain(seen[self.home], seen[each])
                distance += abs(offset)
        return pull / distance if distance else 0.0


def around(home: Coordinate, sizes: Coordinate, *, forced: bool = False) -> Neighborhood:
    """Return what is around a home; ``sizes`` are how many values each dimension has."""
    radius = RADIUS if len(home) <= _MANY else _NEAR
    return Neighborhood(home, sizes, tuple(_ball(home, sizes, radius**2)), forced)


def _ball(home: Coordinate, sizes: Coordinate, left: int) -> Iterator[Coordinate]:
    """Yield what is within the bounds and within a distance, given as its square."""
    if not home:
        yield ()
        return
    reach = math.isqrt(left)
    for at in range(max(0, home[0] - reach), min(sizes[0] - 1, home[0] + reach) + 1):
        for rest in _ball(home[1:], sizes[1:], left - (at - home[0]) ** 2):
            yield (at, *rest)


def gain(home: Outcome, other: Outcome) -> float:
    """Return how much better another is than home, as a share; above 0 is better."""
    if not home.feasible:
        return home.violation - other.violation
    if home.score is None or other.score is None:
        return 0.0
    mean = (abs(home.score) + abs(other.score)) / 2
    return (other.score - home.score) / mean if mean else 0.0


def _steps(pull: float) -> int:
    return int(math.copysign(sum(abs(pull) > bound for bound in STEPS), pull))
