"""Brute force: every setting, with Model Analyzer's two early exits.

Owns the order and the exits. For each setting the load doubles (its dimension's values in
order) until it no longer pays, and for each combination of the other settings the maximum
batch size grows until that no longer pays. Does not own what a score means.

Rules:

1. The load axis ends when, of the last four points, the best is at most 5 % better than the
   first of them. (Model Analyzer's ``_step_parameter`` rule, 4 tries and 5 %.)
2. The batch axis ends when a size is not better than all smaller ones.
3. A point that failed is no evidence: it ends neither axis, unless four in a row did.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product

from analyzer.record.outcome import Outcome
from analyzer.space import CONCURRENCY, MAX_BATCH_SIZE, Axis, Candidate, Dimension, Space
from analyzer.strategy import Problem, Script, Scripted

_TRIES = 4
_LEAST_GAIN = 0.05


def make(problem: Problem) -> Scripted:
    """Make the strategy. It has no randomness: the seed changes nothing."""
    return Scripted(_search(problem.space))


def _search(space: Space) -> Script:
    loads = [each for each in space.dimensions if each.axis is Axis.LOAD]
    innermost = next((each for each in loads if each.name == CONCURRENCY), None)
    if innermost is None:
        innermost = loads[-1] if loads else None
    other_loads = [each for each in loads if each is not innermost]
    batches = [each for each in space.dimensions if each.name == MAX_BATCH_SIZE]
    others = [each for each in space.dimensions if each not in (*loads, *batches)]
    for setting in _every(others, Candidate(())):
        best: Outcome | None = None
        for sized in _every(batches, setting):
            best_here: Outcome | None = None
            for load in _every(other_loads, sized):
                best_here = better(best_here, (yield from _along(innermost, load)))
            if best_here is None or best is None:
                best = better(best, best_here)
            elif better(best, best_here) is best:
                break
            else:
                best = best_here
    return "every combination was tried, as far as it went on paying"


def _along(load: Dimension | None, at: Candidate) -> Generator[Candidate, Outcome, Outcome | None]:
    """Go up the load axis until it no longer pays; return the best outcome, None if all failed."""
    best: Outcome | None = None
    scores: list[float | None] = []
    for candidate in _every([load] if load else [], at):
        outcome = yield candidate
        scores.append(outcome.score)
        best = better(best, outcome)
        if len(scores) >= _TRIES and not _pays(scores[-_TRIES:]):
            break
    return best


def _pays(last: list[float | None]) -> bool:
    """Whether the best of these is more than 5 % better than the first."""
    known = [score for score in last if score is not None]
    first = last[0]
    if first is None or not known:
        return bool(known)
    return max(known) - first > _LEAST_GAIN * abs(first)


def better(old: Outcome | None, new: Outcome | None) -> Outcome | None:
    """Return the better of two: what keeps the constraints first; ``old`` if they are equal."""
    if new is None or new.score is None:
        return old
    if old is None or old.score is None:
        return new
    return new if _rank(new, new.score) > _rank(old, old.score) else old


def _rank(outcome: Outcome, score: float) -> tuple[bool, float, float]:
    return outcome.feasible, -outcome.violation, score


def _every(dimensions: list[Dimension], at: Candidate) -> Iterator[Candidate]:
    """Yield ``at`` with every combination of these dimensions, the last varying fastest."""
    names = [each.name for each in dimensions]
    for values in product(*(each.values for each in dimensions)):
        yield at.replaced(**dict(zip(names, values, strict=True)))
