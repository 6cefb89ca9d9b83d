"""Brute force: every setting at every load, with Model Analyzer's two early exits.

Owns the order and the exits. For each setting the load rises (its dimension's values in order)
until it no longer pays, and for each combination of the other settings the maximum batch size
grows until that no longer pays. Does not own what a score means.

Rules:

1. The load ends when, of the last four points, the best is at most 5 % better than the first of
   them.
2. The batch size ends when one is not better than all smaller ones.
3. Where values were listed (``concurrency`` or ``request_rate``; ``model_config_parameters``),
   all of them are measured, unless ``early_exit_enable`` is set.
4. A point that failed is no evidence: it ends neither, unless four in a row did. (Model Analyzer
   ends at the first error.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import product

from analyzer.loads import main_load
from analyzer.record.outcome import Outcome, better
from analyzer.space import MAX_BATCH_SIZE, Axis, Candidate, Dimension
from analyzer.strategy import Problem, Script, Scripted
from analyzer.sweep import pays

_TRIES = 4


def make(problem: Problem) -> Scripted:
    """Make the strategy. It has no randomness: the seed changes nothing."""
    return Scripted(_search(problem))


def _search(problem: Problem) -> Script:
    given = problem.options
    early = bool(given.get("early_exit_enable"))
    exits = early or not (given.get("concurrency") or given.get("request_rate"))
    grows = early or not given.get("model_config_parameters")
    dimensions = problem.space.dimensions
    loads = [each for each in dimensions if each.axis is Axis.LOAD]
    innermost = main_load(problem.space) or (loads[-1] if loads else None)
    other_loads = [each for each in loads if each is not innermost]
    batches = [each for each in dimensions if each.name == MAX_BATCH_SIZE]
    others = [each for each in dimensions if each not in (*loads, *batches)]
    for setting in _every(others, Candidate(())):
        best: Outcome | None = None
        for sized in _every(batches, setting):
            best_here: Outcome | None = None
            for load in _every(other_loads, sized):
                best_here = better(best_here, (yield from _along(innermost, load, exits=exits)))
            if (
                grows
                and best_here is not None
                and best is not None
                and (better(best, best_here) is best)
            ):
                break
            best = better(best, best_here)
    if exits or grows:
        return "every setting was tried, as far as larger loads and batch sizes paid"
    return "everything that was listed was measured"


def _along(
    load: Dimension | None, at: Candidate, *, exits: bool
) -> Generator[Candidate, Outcome, Outcome | None]:
    """Go up the load axis until it no longer pays; return the best outcome, None if all failed."""
    best: Outcome | None = None
    scores: list[float | None] = []
    for candidate in _every([load] if load else [], at):
        outcome = yield candidate
        scores.append(outcome.score)
        best = better(best, outcome)
        if exits and len(scores) >= _TRIES and not pays(scores[-_TRIES:]):
            break
    return best


def _every(dimensions: list[Dimension], at: Candidate) -> Iterator[Candidate]:
    """Yield ``at`` with every combination of these dimensions, the last varying fastest."""
    names = [each.name for each in dimensions]
    for values in product(*(each.values for each in dimensions)):
        yield at.replaced(**dict(zip(names, values, strict=True)))
