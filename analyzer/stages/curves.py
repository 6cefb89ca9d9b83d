"""The load curves of the default and of its contender: which point is next. Pure.

Rules:

1. The load grows until throughput has failed twice in a row to grow by 5 %. Points measured
   in the search are used as they are.
2. Where the goal has constraints, the edge where they begin to break is then searched between two
   points (``sweep``), of both variants by turns.
3. Variants are ranked by the search alone, so that the curves do not change what they are drawn
   of.
4. Where the stage's time is spent, a default whose curve is not at its end, or whose edge is not
   found, is still tried at its contender's best load, or more load would pass for a better
   configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import contender, rank, reference
from analyzer.ranking.repeats import identity
from analyzer.record.row import Phase, Row, Trial, Why
from analyzer.space import CONCURRENCY, Candidate
from analyzer.stages.told import Told
from analyzer.sweep import Asked, Ladder, Point, following

_GROWTH, _STALLED = 0.05, 2


def next_trial(
    told: Told, goal: Goal, levels: Iterable[float], *, spent: bool, edge_steps: int = 0
) -> Trial | None:
    """Return the next point; None where both curves are at their end.

    ``levels`` are the loads of a whole curve, ``edge_steps`` how many more may be tried between
    them for the edge of the constraints. ``spent``: the stage's time is over.
    """
    every = sorted(set(levels))
    steps = edge_steps if goal.constraints and every else 0
    if spent:
        return _default_at_its_rivals_load(told, goal, every, steps)
    searched = told.of(Phase.SEARCH)
    best = contender(searched, goal)
    default = [each for each in rank(searched, goal) if each.is_default]
    for standing in ([] if best is None else [best]) + default:
        level = next_level(_rates(told, standing.best), every)
        if level is not None:
            text = f"the load curve of {standing.variant}"
            candidate = _loaded(standing.best.trial.candidate, level)
            return Trial(candidate=candidate, phase=Phase.CURVE, why=Why(text))
    both = ([] if best is None else [best]) + default
    # By turns: whoever has had fewer points so far, the contender first.
    for standing in sorted(both, key=lambda each: len(_rows(told, each.best, Phase.CURVE))):
        asked = _at_the_edge(told, goal, standing.best, every, steps)
        if asked is not None:
            text = f"how much load {standing.variant} takes before it breaks a constraint"
            return Trial(
                candidate=_loaded(standing.best.trial.candidate, asked.load),
                phase=Phase.CURVE,
                repetition=asked.repetition,
                why=Why(text),
            )
    return None


def _at_the_edge(told: Told, goal: Goal, of: Row, levels: list[float], steps: int) -> Asked | None:
    """Return the next load of the search for a variant's edge; None where it is over."""
    if not steps or of.trial.candidate.level is None:
        return None
    points: dict[Asked, Point] = {}
    rungs: set[float] = set()
    for row in _rows(told, of, Phase.SEARCH, Phase.CURVE):
        level, seen = _level(row), goal.outcome(row, reference(told.rows))
        asked = Asked(level, row.trial.repetition)
        sure = not goal.unsure(row)
        points.setdefault(asked, Point(asked, seen.score, seen.violation, decided=sure))
        if row.trial.phase is Phase.SEARCH or level in levels:
            rungs.add(level)
    whole = of.trial.candidate.level[0] == CONCURRENCY
    ladder = Ladder(rungs=tuple(sorted(rungs)), steps=steps, whole=whole, exits=False)
    found = following(ladder, points.values())
    return found if isinstance(found, Asked) else None


def next_level(rates: Mapping[float, float], levels: Iterable[float]) -> float | None:
    """Return the first of these levels, in their order, that a curve lacks; None at its end.

    ``rates`` is the throughput by level so far.
    """
    highest, stalled = 0.0, 0
    for level in levels:
        if level not in rates:
            return level
        grown = rates[level] > highest * (1.0 + _GROWTH)
        stalled = 0 if grown else stalled + 1
        highest = max(highest, rates[level])
        if stalled >= _STALLED:
            return None
    return None


def _rates(told: Told, of: Row) -> dict[float, float]:
    rates: dict[float, float] = {}
    for row in _rows(told, of, Phase.SEARCH, Phase.CURVE):
        rates.setdefault(_level(row), row.metrics.get("perf_throughput", 0.0))
    return rates


def _rows(told: Told, of: Row, *phases: Phase) -> list[Row]:
    """Return the rows of a variant, at whatever level, with one client batch size and loop."""
    same = (identity(of), of.load.same[:2])
    return [row for row in told.of(*phases) if (identity(row), row.load.same[:2]) == same]


def _level(row: Row) -> float:
    asked = row.trial.candidate.level
    return row.load.level if asked is None else asked[1]


def _default_at_its_rivals_load(
    told: Told, goal: Goal, levels: list[float], steps: int
) -> Trial | None:
    """Return the default at the contender's best load, if it might do better there."""
    default = next((each for each in rank(told.rows, goal) if each.is_default), None)
    best = contender(told.rows, goal)
    if default is None or best is None:
        return None
    whole_curve = next_level(_rates(told, default.best), levels) is None
    if whole_curve and _at_the_edge(told, goal, default.best, levels, steps) is None:
        return None
    level = best.best.trial.candidate.level
    if level is None:
        return None
    candidate = _loaded(default.best.trial.candidate, level[1])
    known = told.of(Phase.SEARCH, Phase.CURVE)
    if any(row.trial.candidate == candidate for row in known):
        return None
    why = Why(f"the default at the load that suits {best.variant} best")
    return Trial(candidate=candidate, phase=Phase.CURVE, why=why)


def _loaded(candidate: Candidate, level: float) -> Candidate:
    """Return a candidate under another level of the load that it has, in the level's own kind."""
    name = CONCURRENCY if candidate.level is None else candidate.level[0]
    return candidate.replaced(**{name: int(level) if name == CONCURRENCY else level})
