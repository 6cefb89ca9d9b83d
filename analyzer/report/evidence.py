"""What a report rests on: the rows of one run, ranked under one goal. Pure.

Ranks once, so that the page, the CSV files and the summary cannot disagree. Does not own the
order itself (``ranking``) or any word (``verdict``, ``tables``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analyzer.errors import NothingMeasured
from analyzer.metrics import BY_TAG, Direction
from analyzer.ranking import rank
from analyzer.ranking.frontier import Frontier, frontier
from analyzer.ranking.goal import Goal, log_ratio
from analyzer.ranking.goodput import Verified, verified
from analyzer.ranking.rank import Gain, Refuted, Standing
from analyzer.record.row import Phase, Row, RunHead
from analyzer.stages import Skipped, untried

THROUGHPUT, P99 = "perf_throughput", "perf_latency_p99"


@dataclass(frozen=True, slots=True, kw_only=True)
class Omissions:
    """What is not among the rows: unreadable lines of the journal, and what was not tried."""

    torn: int = 0
    skipped: tuple[Skipped, ...] = ()


COMPLETE = Omissions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The rows of one run and their order under a goal.

    ``standings`` holds every variant that was measured, the best first. ``chosen`` is the one
    to serve. ``contender`` is the best that is not the default, and ``gain`` compares the two
    (None: nothing to compare); ``front`` is the Pareto set in p99 latency and throughput by value,
    ``frontier`` that in all that configurations give and cost, with confidence, and its knee;
    ``goodput`` are the searches for the highest rate that keeps the limit;
    ``omitted`` is what the rows do not show, and ``refuted`` what of them the verification did not
    confirm.
    """

    head: RunHead
    rows: tuple[Row, ...]
    goal: Goal
    omitted: Omissions
    refuted: tuple[Refuted, ...]
    standings: tuple[Standing, ...]
    chosen: Standing | None
    contender: Standing | None
    gain: Gain | None
    front: tuple[Row, ...]
    frontier: Frontier
    goodput: tuple[Verified, ...]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.head.model

    @property
    def leader(self) -> Standing | None:
        """Whom the page is about: a feasible contender, or else the first in rank."""
        if self.contender is not None and self.contender.satisfies:
            return self.contender
        return self.standings[0] if self.standings else None

    @property
    def default(self) -> Standing | None:
        """The default configuration, if it was measured."""
        return next((each for each in self.standings if each.is_default), None)

    @property
    def reference(self) -> Row | None:
        """The row that several objectives are weighed against."""
        return rank.reference(self.rows)

    def violation(self, row: Row) -> float:
        """Return by what share a row, or its verification, breaks the constraints; 0 for none."""
        known = (each.violation for each in self.refuted if each.row.number == row.number)
        return next(known, self.goal.violation(row.metrics))

    def judged(self, standing: Standing) -> Mapping[str, float]:
        """Return what a variant's constraints are judged by: its best row, or what refuted it."""
        for each in self.refuted:
            if each.row.number == standing.best.number:
                return {**standing.best.metrics, **each.metrics}
        return standing.best.metrics

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that could not be measured."""
        return rank.failures(self.rows)

    @property
    def measured(self) -> tuple[Row, ...]:
        """The rows that have metrics."""
        return tuple(row for row in self.rows if row.failure is None)

    @property
    def untried(self) -> tuple[Skipped, ...]:
        """The settings that were not measured, each once for every reason."""
        return untried(self.omitted.skipped)

    def typical(self, standing: Standing) -> Mapping[str, float]:
        """Return a variant's metrics at its best load: the verification's means, if it was in it.

        They are fairer than the best measurement of a search, which was partly lucky, and they
        agree with the gain.
        """
        pairs = self.pairs()
        rows = [next((row for row in pair if of(standing, row)), standing.best) for pair in pairs]
        if len(rows) < 2:  # noqa: PLR2004 - as ``gain`` has it
            return standing.best.metrics
        tags = set.intersection(*(set(row.metrics) for row in rows))
        return {tag: fmean(row.metrics[tag] for row in rows) for tag in tags}

    def pairs(self) -> tuple[tuple[Row, Row], ...]:
        """Return the verification's pairs of the leader and the default, by repetition.

        Only those at the loads at which the two are compared.
        """
        if self.leader is None or self.default is None or self.leader is self.default:
            return ()
        sides = [
            {
                row.trial.repetition: row
                for row in self.measured
                if row.trial.phase is Phase.VERIFY
                and of(side, row)
                and row.load.same == side.best.load.same
            }
            for side in (self.leader, self.default)
        ]
        return tuple(
            (sides[0][number], sides[1][number]) for number in sorted(sides[0].keys() & sides[1])
        )


def gather(
    head: RunHead, rows: Sequence[Row], goal: Goal, omitted: Omissions = COMPLETE
) -> Evidence:
    """Rank the rows under the goal.

    Raises:
        NothingMeasured: there is no row at all, not even a failed one.
    """
    if not rows:
        raise NothingMeasured(
            f"no measurement of {head.model} in run {head.run}; run `analyze profile` first"
        )
    rows = [goal.seen(row) for row in rows]
    found = rank.judge(rows, goal)
    return Evidence(
        head=head,
        rows=tuple(rows),
        goal=goal,
        omitted=omitted,
        refuted=rank.refuted(rows, goal),
        standings=found.standings,
        chosen=found.recommended,
        contender=found.contender,
        gain=found.gain,
        front=rank.pareto(rows, P99, THROUGHPUT),
        frontier=frontier(rows, goal),
        goodput=verified(rows, goal),
    )


def of(standing: Standing | None, row: Row) -> bool:
    """Whether a row is of this variant: equal digests are one, whatever they are called."""
    if standing is None:
        return False
    return (row.digest or row.variant) == (standing.digest or standing.variant)


def advantage(goal: Goal, row: Row, reference: Row) -> float | None:
    """Return by how many percent ``row`` is better than ``reference``, as ``Gain`` counts.

    None where an objective was not measured in one of them.
    """
    if any(tag not in each.metrics for tag, _ in goal.objectives for each in (row, reference)):
        return None
    total = sum(
        weight * BY_TAG[tag].direction.value * log_ratio(row.metrics[tag], reference.metrics[tag])
        for tag, weight in goal.objectives
    )
    single = goal.objectives[0][0] if len(goal.objectives) == 1 else None
    if single is not None and BY_TAG[single].direction is Direction.LESS:
        return -100.0 * math.expm1(-total)
    return 100.0 * math.expm1(total)


def by_merit(evidence: Evidence, standing: Standing) -> tuple[Row, ...]:
    """Order a variant's rows: those that keep the constraints first, the best first."""
    origin = {} if evidence.reference is None else evidence.reference.metrics

    def key(row: Row) -> tuple[float, float, int]:
        score = evidence.goal.score(row.metrics, origin)
        return evidence.violation(row), -(-math.inf if score is None else score), row.number

    return tuple(sorted(standing.rows, key=key))
