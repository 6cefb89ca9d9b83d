"""What a strategy learns of a candidate. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.record.row import Row
    from analyzer.space import Candidate


@dataclass(frozen=True, slots=True)
class Outcome:
    """How good a candidate is, and what was seen of it.

    ``score`` is better when higher; None: it could not be measured. ``feasible`` is False
    when a constraint is broken, and ``violation`` says by how much, relative, 0 when it holds.
    ``row`` is the measurement behind it, with all metrics and their intervals; None where there
    was none (it is known to fail), so a strategy has to do without.
    """

    candidate: Candidate
    score: float | None
    feasible: bool = True
    violation: float = 0.0
    row: Row | None = None


def standing(outcome: Outcome) -> tuple[bool, bool, float, float]:
    """Return what outcomes are ordered by, the best the greatest.

    Whatever was measured comes before what failed; then what keeps the constraints; then what
    breaks them less; then the score.
    """
    score = outcome.score
    known = score is not None
    return known, outcome.feasible, -outcome.violation, 0.0 if score is None else score


def better(old: Outcome | None, new: Outcome | None) -> Outcome | None:
    """Return the better of two: ``old`` if they are equal, or if ``new`` failed."""
    if new is None or new.score is None:
        return old
    if old is None or old.score is None:
        return new
    return new if standing(new) > standing(old) else old
