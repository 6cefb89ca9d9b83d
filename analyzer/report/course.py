"""How the search went: what each measurement came to, and what led behind it. Pure.

Owns which of the rows led when. Does not own the table of it (``tables``) nor its drawing
(``course_charts``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from analyzer.record.row import Row
from analyzer.report import wording
from analyzer.report.columns import PHASES
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.statistics.order import nearest

#: of what a prediction may be drawn: what a search says of a measurement before it is taken
FORESEEN = (THROUGHPUT, P99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One measurement of the course: its number, what it was for, what it came to.

    ``value`` is the objective's, None where it was not measured; ``best`` that of whatever led
    behind it. ``keeps`` says whether it keeps the constraints.
    """

    number: int
    phase: str
    value: float | None
    keeps: bool
    best: float | None
    hover: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What was foreseen of a measurement, and what came of it, in the metric's unit."""

    foreseen: float
    measured: float
    hover: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """All that was foreseen of one metric.

    ``half`` and ``most`` are shares of the measured value: half of all predictions were off by no
    more than the one, nine in ten by no more than the other.
    """

    tag: str
    guesses: tuple[Guess, ...]
    half: float
    most: float


def leaders(evidence: Evidence) -> tuple[Row | None, ...]:
    """Return, for each row, the one that led the search behind it; None while nothing could."""
    goal, against = evidence.goal, evidence.reference
    origin = {} if against is None else goal.seen(against).metrics
    found: list[Row | None] = []
    best = (math.inf, 0.0)
    leader: Row | None = None
    for row in evidence.rows:
        metrics = goal.seen(row).metrics
        ranks = row.failure is None and row.trial.phase.ranks and row.describes
        score = goal.score(metrics, origin) if ranks else None
        if score is not None and (goal.violation(metrics), -score) < best:
            best, leader = (goal.violation(metrics), -score), row
        found.append(leader)
    return tuple(found)


def objective(evidence: Evidence) -> str:
    """Return the tag of the goal's weightiest objective, which the course is drawn in."""
    return max(evidence.goal.objectives, key=lambda each: each[1])[0]


def course(evidence: Evidence) -> tuple[Step, ...]:
    """Return the steps in their order; () of fewer than two."""
    tag = objective(evidence)
    steps = tuple(
        Step(
            number=row.number,
            phase=PHASES[row.trial.phase],
            value=row.metrics.get(tag),
            keeps=row.failure is None and evidence.goal.satisfied(row.metrics),
            best=None if led is None else led.metrics.get(tag),
            hover=_said(evidence, row),
        )
        for row, led in zip(evidence.rows, leaders(evidence), strict=True)
    )
    return steps if len(steps) > 1 else ()


def foresight(evidence: Evidence) -> tuple[Foresight, ...]:
    """Return what was foreseen of each metric, where two predictions at least were made."""
    found = []
    for tag in FORESEEN:
        guesses = [
            Guess(
                foreseen=foreseen,
                measured=row.metrics[tag],
                hover=_place(evidence, row),
            )
            for row in evidence.measured
            if row.trial.why is not None
            and (foreseen := row.trial.why.predicted.get(tag)) is not None
            and foreseen > 0
            and row.metrics.get(tag, 0.0) > 0
        ]
        if len(guesses) > 1:
            errors = sorted(abs(one.foreseen / one.measured - 1.0) for one in guesses)
            found.append(
                Foresight(
                    tag=tag,
                    guesses=tuple(guesses),
                    half=median(errors),
                    most=errors[nearest(len(errors), 90)],
                )
            )
    return tuple(found)


def _place(evidence: Evidence, row: Row) -> str:
    return f"no. {row.number}: {wording.short(row.variant, evidence.model)}, {wording.load(row)}"


def _said(evidence: Evidence, row: Row) -> str:
    lines = [_place(evidence, row)]
    if row.failure is not None:
        lines.append(f"failed at {row.failure.stage}")
    if row.trial.why is not None and row.trial.why.text:
        lines.append(row.trial.why.text)
    return "\n".join(lines)
