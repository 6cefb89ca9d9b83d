"""Verified goodput: the highest rate that keeps the goal's limit, variant by variant. Pure.

Owns which searches for a rate say something under a goal, and which are still to be done. Does not
own the search (``load.goodput``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.metrics import GOODPUT
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, is_default, rank, recommended
from analyzer.ranking.repeats import identity
from analyzer.record.row import Phase, Promise, Row, Trial, Why
from analyzer.space import LEVELS, REQUEST_RATE, Candidate

#: a search begins at so much of what its variant answered within the constraints
_START_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Verified:
    """What a variant's search for the highest rate came to: ``row`` is of the run at that rate."""

    row: Row

    @property
    def is_default(self) -> bool:
        """Whether it is the default configuration's."""
        return is_default(self.row)

    @property
    def rate(self) -> float | None:
        """Requests a second that hold; None where no rate did."""
        rate = self.row.goodput.get("rate")
        return None if rate is None else float(rate)

    @property
    def high(self) -> float | None:
        """The lowest rate that did not hold; None where none was tried."""
        high = self.row.goodput.get("high")
        return None if high is None else float(high)

    @property
    def confirmed(self) -> bool:
        """Whether a run of its own held at the rate."""
        return bool(self.row.goodput.get("confirmed"))

    @property
    def note(self) -> str:
        """What a reader should know besides; "" where nothing."""
        return str(self.row.goodput.get("note", ""))


def verified(rows: Sequence[Row], goal: Goal) -> tuple[Verified, ...]:
    """Return each variant's last search for the rate that keeps what the goal promises."""
    found = {identity(row): Verified(row) for row in _searches(rows, goal) if row.failure is None}
    return tuple(found.values())


def next_trial(rows: Sequence[Row], goal: Goal, seconds: float) -> Trial | None:
    """Return the search that is still to be done: of the recommended variant, then the default's.

    None where the goal asks for no goodput, or all is done. One that failed is not tried again.
    """
    if GOODPUT not in dict(goal.objectives) or goal.promise is None:
        return None
    default = next((each for each in rank(rows, goal) if each.is_default), None)
    done = {identity(row) for row in _searches(rows, goal)}
    for standing in (recommended(rows, goal), default):
        if standing is not None and identity(standing.best) not in done:
            return _trial(standing, goal.promise, seconds)
    return None


def _trial(standing: Standing, promise: tuple[int, float], seconds: float) -> Trial:
    best, (percentile, limit_ms) = standing.best, promise
    rate = _START_SHARE * best.metrics["perf_throughput"] / best.load.batch_size
    setting = [item for item in best.trial.candidate.items if item[0] not in LEVELS]
    return Trial(
        candidate=Candidate.of(**{**dict(setting), REQUEST_RATE: float(f"{rate:.4g}")}),
        phase=Phase.GOODPUT,
        why=Why(f"the highest rate with p{percentile} <= {limit_ms:g} ms, in an open loop"),
        promise=Promise(percentile=percentile, limit_ms=limit_ms, seconds=seconds),
    )


def _searches(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Return the searches whose promise is the goal's."""
    every = (row for row in rows if row.trial.phase is Phase.GOODPUT)
    return [row for row in every if (row.load.percentile, row.load.limit_ms) == goal.promise]
