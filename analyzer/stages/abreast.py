"""Whether measurements may run side by side, each on a GPU of its own: the check. Pure.

Rules:

1. The default is measured by itself, at the load that kept it busiest, with all the machine's
   cores; then on every GPU at once, each with its share of the cores. Nothing hurries.
2. Throughput and mean latency of each must agree with those by itself within their intervals:
   their difference is no more than chance, 19 times of 20 for all of them together (Bonferroni).
3. Where they do not, where one failed, or where the intervals are so wide that a quarter more or
   less would not show, measurements are taken one at a time, and the check says why.
4. It is not made where the time left for the search is too short to win back what it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from analyzer import variant
from analyzer.metrics import BY_TAG, OF_MACHINE
from analyzer.ranking.goal import Goal
from analyzer.record.row import Phase, Row, Trial, Why
from analyzer.space import SEPARATOR, Candidate
from analyzer.stages.plan import Plan
from analyzer.stages.told import Told
from analyzer.statistics.estimate import Estimate

THROUGHPUT = "perf_throughput"
_COMPARED = (THROUGHPUT, "perf_latency_avg")
#: how often agreement is missed by chance, and the half of a 95 % interval, in standard deviations
_ALPHA, _HALF = 0.05, NormalDist().inv_cdf(0.975)
#: the difference that has to show, as a share
_TELLING = 0.25
#: by itself, and all at once
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Check:
    """What is still to be measured, all at the same time; else how many may run at a time.

    ``said`` says what came of it; "" where there was nothing to check.
    """

    trials: tuple[Trial, ...] = ()
    width: int = 1
    said: str = ""


def check(told: Told, plan: Plan, goal: Goal, left: float | None, each: float) -> Check:
    """Say how the check stands, once the default has been measured.

    ``left`` are the seconds that the search had when it had been (None: as many as it likes), and
    ``each`` about those that one measurement takes with its start.
    """
    if plan.abreast <= 1:
        return Check()
    busiest = _busiest(told, plan)
    if (reason := _why_not(plan, goal, left, _ROUNDS * each)) or busiest is None:
        return _one(reason or "the default configuration could not be measured")
    alone = _row(told, busiest, 1, 0)
    if alone is None:
        return Check((_trial(busiest, 1, 0),))
    if alone.failure is not None:
        return _one(f"measured by itself the default failed: {alone.failure.message}")
    places = range(1, plan.abreast + 1)
    rows = {place: _row(told, busiest, plan.abreast, place) for place in places}
    missing = (_trial(busiest, plan.abreast, place) for place, row in rows.items() if row is None)
    return (
        Check(trials)
        if (trials := tuple(missing))
        else _judged(alone, [row for row in rows.values() if row is not None])
    )


def _why_not(plan: Plan, goal: Goal, left: float | None, takes: float) -> str:
    """Say why there is no point in a check that takes so many seconds; "" where there is."""
    if left is not None and (left - takes) * plan.abreast <= left:
        return (
            f"the check of whether several disturb each other would take about {takes:.2g} s of "
            f"the {max(0.0, left):.2g} s that the search has left"
        )
    of_machine = [tag for tag in goal.wanted if tag.rpartition(SEPARATOR)[2] in OF_MACHINE]
    if of_machine:
        return f"the goal names {of_machine[0]}, which is told of the whole machine"
    reason = variant.why_alone(Candidate(()), plan.means)
    return f"of the default, {reason}" if reason else ""


def _judged(alone: Row, beside: Sequence[Row]) -> Check:
    width = len(beside)
    if reason := next(filter(None, (_differs(alone, row, width) for row in beside)), ""):
        return _one(reason)
    rates = ", ".join(f"{row.metrics[THROUGHPUT]:.4g}" for row in beside)
    return Check(
        (),
        width,
        f"{width} measurements at a time, each on a GPU of its own, do not disturb each other: the "
        f"default's throughput was {alone.metrics[THROUGHPUT]:.4g} infer/sec by itself and {rates} "
        "all at once, which is the same within their intervals",
    )


def _one(reason: str) -> Check:
    return Check((), 1, f"measured one at a time: {reason}")


def _busiest(told: Told, plan: Plan) -> Candidate | None:
    """Return the default at the load at which it answered most."""
    rows = [row for each in plan.default if (row := told.searched(each)) is not None]
    rows = [row for row in rows if row.failure is None and row.metrics.get(THROUGHPUT)]
    best = max(rows, key=lambda row: row.metrics[THROUGHPUT], default=None)
    return None if best is None else best.trial.candidate


def _trial(candidate: Candidate, width: int, place: int) -> Trial:
    text = "to see whether measurements side by side disturb each other: "
    text += "the default by itself" if width == 1 else f"the default, {width} times at once"
    return Trial(
        candidate=candidate,
        phase=Phase.ABREAST,
        repetition=place,
        beside=width,
        why=Why(text),
        pending=max(0, place - 1),
    )


def _row(told: Told, candidate: Candidate, width: int, place: int) -> Row | None:
    """Return the row of one of these trials, the latest; rows of another width are others."""
    wanted = _trial(candidate, width, place)
    rows: Sequence[Row] = told.of(Phase.ABREAST)
    return next((row for row in reversed(rows) if row.trial == wanted), None)


def _differs(alone: Row, beside: Row, width: int) -> str:
    """Say how a measurement among others differs from the one by itself; "" where it does not."""
    where = f" on {beside.gpu}" if beside.gpu else ""
    if beside.failure is not None:
        return f"side by side the default failed{where}: {beside.failure.message}"
    if beside.short_of_cores:
        return (
            f"side by side the default{where} kept {beside.cores_used:.1f} of the {beside.cores} "
            "cores of its own busy, too many for its figures to be those that it has by itself"
        )
    # So many comparisons share one error.
    level = 1.0 - _ALPHA / (2 * len(_COMPARED) * width)
    wider = NormalDist().inv_cdf(level) / _HALF
    for tag in _COMPARED:
        one, other = alone.estimates.get(tag), beside.estimates.get(tag)
        if one is None or other is None or not _bounded(one, other):
            return f"the measurements have no interval of {BY_TAG[tag].title} to compare by"
        most = wider * math.hypot(one.half_width, other.half_width)
        metric = BY_TAG[tag]
        seen = (
            f"the default's {metric.title} was {one.value:.4g} {metric.unit} by itself and "
            f"{other.value:.4g} {metric.unit}{where} beside the others, where chance explains a "
            f"difference of {most:.2g}"
        )
        if most > _TELLING * one.value:
            return f"too little can be seen to tell whether measurements disturb each other: {seen}"
        if abs(one.value - other.value) > most:
            return f"measurements side by side disturb each other: {seen}"
    return ""


def _bounded(*every: Estimate) -> bool:
    return all(math.isfinite(each.half_width) for each in every)
