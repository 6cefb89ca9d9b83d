"""What of the measured is worth measuring again: whoever may be the best after all. Pure.

Of many measurements the greatest is a lucky one, and what broke a limit by little may keep it the
next time. Rules:

1. A measurement's noise is what its own interval says, 10 % at most, and what starts of a server
   differ by.
2. Another measurement is worth what it is expected to add to the best by the means of all
   repetitions: that a rival overtakes, that the best falls behind the second, or that a rival which
   broke a limit turns out to keep it (the knowledge gradient).
3. Nothing is measured more than three times: the verification does that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from analyzer.record.outcome import Outcome
from analyzer.search.gp import Floats
from analyzer.search.prior import in_flight
from analyzer.search.quantities import Sheet
from analyzer.space import Candidate

_NORMAL = NormalDist()
#: starts of a server differ by this, in logarithms; intervals of few requests say little, and are
#: taken for no wider than machines are noisy
_STARTS, _NOISIEST = 0.01, 0.1
_MOST = 3


@dataclass(frozen=True, slots=True)
class Repeat:
    """What to measure again, how often it was, and the improvement expected of it (logarithm)."""

    candidate: Candidate
    times: int
    gain: float


def times(outcome: Outcome) -> int:
    """Return how often a candidate was measured."""
    return 0 if outcome.row is None else 1 + outcome.row.trial.repetition


def propose(sheet: Sheet, outcomes: Sequence[Outcome]) -> Repeat | None:
    """Return what is worth most to be measured again; None where nothing can be."""
    known = [each for each in outcomes if each.score is not None and each.row is not None]
    entries = [entry for each in known if (entry := _Entry.of(sheet, each)) is not None]
    good = [each for each in entries if each.feasible]
    if not good or len(entries) < 2:  # noqa: PLR2004 - nobody to be told from
        return None
    best = max(good, key=lambda each: each.utility)
    second = max((each.utility for each in good if each is not best), default=-math.inf)
    found = [
        Repeat(each.outcome.candidate, each.times, each.gain(best, second))
        for each in entries
        if each.times < _MOST
    ]
    return max(found, key=lambda each: each.gain, default=None)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An outcome with its utility, and how far one more measurement may move it."""

    outcome: Outcome
    times: int
    utility: float
    moves: float
    violation: float
    limit_moves: float

    @staticmethod
    def of(sheet: Sheet, outcome: Outcome) -> _Entry | None:
        """Make one; None where a quantity was not measured."""
        values = sheet.values(outcome)
        assert outcome.row is not None
        if values.keys() < set(sheet.tags):
            return None
        here = np.log([in_flight(outcome.candidate, outcome.row.load)])
        logs: dict[str, Floats] = {tag: np.array([each.value]) for tag, each in values.items()}
        noises = {tag: each.noise for tag, each in values.items()}
        number = times(outcome)
        moves = 1.0 / math.sqrt(number * (number + 1))
        tails = [noise for tag, noise in noises.items() if sheet.is_tail(tag)]
        others = [noise for tag, noise in noises.items() if not sheet.is_tail(tag)]
        tail = min(max(tails, default=0.0), _NOISIEST)
        whole = math.hypot(min(max(others, default=0.0), _NOISIEST), _STARTS)
        return _Entry(
            outcome,
            number,
            float(sheet.utility(logs, here)[0]),
            whole * moves,
            math.log1p(outcome.violation),
            math.hypot(whole, tail) * moves,
        )

    @property
    def feasible(self) -> bool:
        return self.outcome.feasible

    def gain(self, best: _Entry, second: float) -> float:
        ahead = (second if self is best else self.utility) - best.utility
        chance = 1.0 if self.feasible else _NORMAL.cdf(-self.violation / self.limit_moves)
        return chance * _beyond(ahead, self.moves)


def _beyond(middle: float, sd: float) -> float:
    """Return the mean of what a normal variable is above 0, 0 where it is below."""
    if middle == -math.inf:
        return 0.0
    far = middle / sd
    return middle * _NORMAL.cdf(far) + sd * _NORMAL.pdf(far)
