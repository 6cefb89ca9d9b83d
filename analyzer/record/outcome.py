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
