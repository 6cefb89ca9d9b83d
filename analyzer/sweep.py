"""A variant's load: upwards while that pays, then to the edge of the constraints. Pure.

Owns which load comes next. It knows loads, scores and violations, but neither rows nor
candidates, so whoever measures (a strategy, the campaign's load curves) brings its own. Does not
own what a score is.

Rules, Model Analyzer's parameter search put right:

1. The rungs are climbed in order until, of the last ``tries`` points, the best is at most 5 %
   better than the first of them. A point that failed is no evidence; ``tries`` of them in a row
   are.
2. It ends sooner where two points running break the constraints, the second no less than the first,
   and the score is known: more load makes that only worse. (A least throughput is broken less and
   less, and is climbed towards.)
3. Where a rung that passes is followed by one that does not, the edge is between them; where none
   passes, below the first. The last such place counts. It is searched by bisection, at most
   ``steps`` times, the middle being geometric, as loads are compared by ratio; until the two
   sides are within ``width`` of each other, or nothing lies between them. Where the broken side
   has no better score than the best that passes, there is nothing to be gained at the edge, and
   none is sought.
4. A point is decided if its interval is clear of the limits. One that passes undecided is measured
   once more, and passes if it does so twice.
5. Monotonicity is guarded: a load that the bisection accepted is measured once more at the end.
   If it breaks the constraints then, the next lower load that passed takes its place.

Rules 4 and 5 hold where a load may be measured again (``again``).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass

Load = int | float

_GAIN = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """A load to measure; ``repetition`` counts from 0 how often it has been measured before."""

    load: Load
    repetition: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """What was seen at a load.

    ``score`` is better when higher, None where the measurement failed; ``violation`` is by what
    share constraints are broken, 0 where they hold. ``decided``: the intervals are clear of the
    limits.
    """

    asked: Asked
    score: float | None
    violation: float = 0.0
    decided: bool = True

    @property
    def passes(self) -> bool:
        """Whether it was measured and keeps the constraints."""
        return self.score is not None and not self.violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """What may be asked: ``rungs``, ascending, and loads between them.

    ``domain`` lists all loads there are (None: any between the rungs, whole numbers if ``whole``).
    ``exits``: rules 1 and 2 hold; otherwise every rung is measured. ``steps`` of 0 seeks no edge.
    """

    rungs: tuple[Load, ...]
    domain: tuple[Load, ...] | None = None
    whole: bool = True
    steps: int = 5
    width: float = 0.02
    tries: int = 4
    exits: bool = True
    again: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """Where the edge is: the highest load that passes, and the lowest above it that does not.

    ``passing`` is None where nothing passes, ``failing`` where nothing fails above it.
    """

    passing: Load | None
    failing: Load | None


Sweep = Generator[Asked, Point, Found]


def sweep(ladder: Ladder) -> Sweep:
    """Ask for one load after the other, and return where the edge was found."""
    points: list[Point] = []
    twice: set[Load] = set()
    for rung in ladder.rungs:
        points.append((yield from _measured(Asked(rung), ladder, twice)))
        if ladder.exits and (_stalled(points, ladder.tries) or _breaks_more(points)):
            break
    edge = _edge(points)
    if edge.failing is None or not ladder.steps or not _worth(points, edge.failing):
        return edge
    return (yield from _bisected(edge, points, ladder, twice))


def following(ladder: Ladder, points: Iterable[Point]) -> Asked | Found:
    """Return what comes after these points, in whatever order they were measured."""
    known = {point.asked: point for point in points}
    script = sweep(ladder)
    try:
        asked = next(script)
        while asked in known:
            asked = script.send(known[asked])
    except StopIteration as end:
        found: Found = end.value
        return found
    return asked


def rungs(loads: Iterable[Load]) -> tuple[Load, ...]:
    """Thin loads out to about doubling steps; first and last stay."""
    every = sorted(set(loads))
    kept = every[:1]
    while kept and kept[-1] < every[-1]:
        above = [load for load in every if load > kept[-1]]
        kept.append(max((load for load in above if load <= 2 * kept[-1]), default=above[0]))
    return tuple(kept)


def pays(scores: list[float | None]) -> bool:
    """Whether the best of these is more than 5 % better than the first.

    Where the first failed, one that did not is better; where all did, none is.
    """
    known = [score for score in scores if score is not None]
    first = scores[0]
    if first is None or not known:
        return bool(known)
    return max(known) - first > _GAIN * abs(first)


def _stalled(points: list[Point], tries: int) -> bool:
    last = [point.score for point in points[-tries:]]
    return len(last) == tries and not pays(last)


def _breaks_more(points: list[Point]) -> bool:
    last = points[-2:]
    return (
        all(point.score is not None and point.violation > 0.0 for point in last)
        and len(last) > 1
        and last[0].violation <= last[1].violation
    )


def _edge(points: list[Point]) -> Found:
    """Return the last place where a point that passes is followed by one that does not."""
    above: Load | None = None
    for point in reversed(points):
        if point.passes:
            return Found(point.asked.load, above)
        above = point.asked.load
    return Found(None, above)


def _worth(points: list[Point], failing: Load) -> bool:
    """Whether the score still grows across the edge."""
    best = max((each.score for each in points if each.passes and each.score is not None),
               default=-math.inf)  # fmt: skip
    beyond = next(each.score for each in points if each.asked.load == failing)
    return beyond is None or beyond > best


def _bisected(edge: Found, points: list[Point], ladder: Ladder, twice: set[Load]) -> Sweep:
    low, high = edge.passing or 0, edge.failing or 0
    passed = [point.asked.load for point in points if point.passes and point.asked.load <= low]
    for _ in range(ladder.steps):
        middle = _middle(low, high, ladder)
        if middle is None:
            break
        point = yield from _measured(Asked(middle), ladder, twice)
        if point.passes:
            low = middle
            passed.append(middle)
        else:
            high = middle
    while ladder.again and low and low != edge.passing and low not in twice:
        again = yield Asked(low, repetition=1)
        if again.passes:
            break
        high = passed.pop()
        low = passed[-1] if passed else 0
    return Found(low or None, high)


def _measured(asked: Asked, ladder: Ladder, twice: set[Load]) -> Generator[Asked, Point, Point]:
    """Measure a load, and once more where it passes undecided; return what counts."""
    point = yield asked
    if not ladder.again or point.decided or not point.passes:
        return point
    twice.add(asked.load)
    again = yield Asked(asked.load, repetition=1)
    return point if again.passes else again


def _middle(low: Load, high: Load, ladder: Ladder) -> Load | None:
    """Return the load to try between two, or None where they are as near as need be."""
    aim = math.sqrt(low * high) if low else high / 2
    if low and high <= low * (1.0 + ladder.width):
        return None
    if ladder.domain is not None:
        between = [load for load in ladder.domain if low < load < high]
        return min(between, key=lambda load: (abs(math.log(load / aim)), load), default=None)
    if not ladder.whole:
        # As few digits as the width calls for: a rate is read by people.
        return float(f"{aim:.4g}")
    middle = round(aim)
    middle = min(max(middle, int(low) + 1), math.ceil(high) - 1)
    return middle if low < middle < high else None
