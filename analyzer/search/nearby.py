"""What is a step away from the best, and what it is worth when beliefs are doubted. Pure.

Beliefs that are surer than they are right leave the best's own neighbours unmeasured, and a search
that listens to them alone may end beside the top of the hill. Rules:

1. A step is one value up or down in one dimension; in a dimension without an order, any other
   value.
2. Whatever has come close to the best counts as best: one measurement cannot tell them apart.
3. There beliefs are taken for less sure than they say, by as much as they have been seen to be off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzer.record.outcome import Outcome
from analyzer.search.acquire import worth
from analyzer.search.believe import doubted
from analyzer.search.features import Embedding, number_of
from analyzer.search.gp import Floats
from analyzer.search.thinking import Thought
from analyzer.space import Candidate, Space

#: so close to the best in score, and so many of them, count as best
_CLOSE, _BEST = 0.03, 3


def around(space: Space, embedding: Embedding, outcomes: Sequence[Outcome]) -> set[Candidate]:
    """Return what is a step away from the best that keep the constraints; nothing before one."""
    return {step for each in _leaders(outcomes) for step in _steps(space, embedding, each)}


def improvement(thought: Thought, places: Sequence[int]) -> Floats:
    """Return the improvement that is expected at some places, in logarithms, by doubted beliefs."""
    total = np.zeros(len(places))
    in_flight = thought.in_flight[list(places)]
    for each in thought.opinions:
        belief = doubted(each.belief, thought.sheet, places)
        total += each.say * worth(belief, thought.sheet, in_flight, each.best).improvement
    return total


def _leaders(outcomes: Sequence[Outcome]) -> list[Candidate]:
    """Return the best, the first first (rule 2)."""
    good = [each for each in outcomes if each.score is not None and each.feasible]
    ranked = sorted(good, key=_score, reverse=True)
    least = _score(ranked[0]) - _CLOSE * abs(_score(ranked[0])) if ranked else 0.0
    return [each.candidate for each in ranked[:_BEST] if _score(each) >= least]


def _score(outcome: Outcome) -> float:
    assert outcome.score is not None
    return outcome.score


def _steps(space: Space, embedding: Embedding, candidate: Candidate) -> list[Candidate]:
    """Return what differs from a candidate by a step, wherever its own value is one of the grid."""
    place = embedding.place(candidate)
    here = Candidate.of(**place)
    found = []
    for each in space.dimensions:
        own, values = place[each.name], each.values
        if own not in values:
            continue
        numbers = [number_of(value) for value in values]
        if None not in numbers:
            ordered = sorted(values, key=lambda value: number_of(value) or 0.0)
            at = ordered.index(own)
            values = tuple(ordered[max(0, at - 1) : at + 2])
        found += [here.replaced(**{each.name: value}) for value in values if value != own]
    return [each for each in found if each in space]
