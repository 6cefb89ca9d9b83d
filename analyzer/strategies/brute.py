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
5. What no exit connects may be measured at the same time: the batch sizes of one setting follow one
   another where they end by rule 2, the loads always do, so that each is one server's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import product

from analyzer.loads import main_load
from analyzer.record.outcome import Outcome, better
from analyzer.space import MAX_BATCH_SIZE, Axis, Candidate, Dimension
from analyzer.strategy import Branched, Problem, Script
from analyzer.sweep import pays

_TRIES = 4


def make(problem: Problem) -> Branched:
    """Make the strategy. It has no randomness: the seed changes nothing."""
    given = problem.options
    early = bool(given.get("early_exit_enable"))
    exits = early or not (given.get("concurrency") or given.get("request_rate"))
    grows = early or not given.get("model_config_parameters")
    ended = "everything that was listed was measured"
    if exits or grows:
        ended = "every setting was tried, as far as larger loads and batch sizes paid"
    return Branched(_scripts(problem, exits=exits, grows=grows), ended)


def _scripts(problem: Problem, *, exits: bool, grows: bool) -> Iterator[Script]:
    dimensions = problem.space.dimensions
    loads = [each for each in dimensions if each.axis is Axis.LOAD]
    innermost = main_load(problem.space) or (loads[-1] if loads else None)
    inner = _Loads(innermost, [each for each in loads if each is not innermost], exits=exits)
    batches = [each for each in dimensions if each.name == MAX_BATCH_SIZE]
    others = [each for each in dimensions if each not in (*loads, *batches)]
    for setting in _every(others, Candidate(())):
        if grows:
            yield _growing(_every(batches, setting), inner)
            continue
        for sized in _every(batches, setting):
            yield _growing(iter([sized]), inner)


@dataclass(frozen=True, slots=True)
class _Loads:
    """The loads of a setting: the one that ends by rule 1 where ``exits`` says so, and others."""

    innermost: Dimension | None
    others: list[Dimension]
    exits: bool = field(kw_only=True)


def _growing(sizes: Iterator[Candidate], loads: _Loads) -> Script:
    """Measure a setting with each batch size, until one is no better than those before."""
    best: Outcome | None = None
    for sized in sizes:
        best_here: Outcome | None = None
        for load in _every(loads.others, sized):
            found = yield from _along(loads.innermost, load, exits=loads.exits)
            best_here = better(best_here, found)
        if best_here is not None and best is not None and better(best, best_here) is best:
            break
        best = better(best, best_here)
    return ""


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
