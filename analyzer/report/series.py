"""The numbers behind the report's charts. Pure.

Owns which values are drawn, and what a pointer over them says. Does not own how they are
drawn (``charts``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from analyzer.metrics import BY_TAG
from analyzer.ranking.derived import bounds as bounds_of
from analyzer.ranking.frontier import Option
from analyzer.ranking.rank import Standing
from analyzer.record.doubt import doubt
from analyzer.record.row import Phase, Row
from analyzer.report import wording
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, of
from analyzer.report.tables import role

#: the parts of a request's latency, in the order in which it passes them
PARTS: tuple[tuple[str, str], ...] = (
    ("perf_network", "Network and front end"),
    ("perf_server_queue", "Queue"),
    ("perf_server_compute_input", "Compute input"),
    ("perf_server_compute_infer", "Compute infer"),
    ("perf_server_compute_output", "Compute output"),
)
USES = ("cpu_utilization", "cpu_used_ram", "gpu_utilization", "gpu_used_memory", "gpu_power_usage")
#: so many configurations are told apart in a bar chart; the default is always among them
MOST_BARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement in the plane of p99 latency (ms) and throughput (inferences a second)."""

    latency: float
    throughput: float
    role: str
    hover: str
    stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One configuration at one level of load: means over its measurements.

    ``low`` and ``high`` bound the throughput: its interval, or the slowest and fastest window; the
    latency's bounds are None where no interval is known.
    """

    level: float
    throughput: float
    low: float
    high: float
    latency: float | None
    latency_low: float | None = None
    latency_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where p99 latency (ms) and throughput (inferences a second) keep the constraints.

    None: there is no such bound.
    """

    latency_low: float | None
    latency_high: float | None
    throughput_low: float | None
    throughput_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one configuration does as its load grows: of an open loop the rate, else concurrency."""

    label: str
    is_open: bool
    role: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One configuration at its best load, and its values by metric tag."""

    label: str
    role: str
    hover: str
    values: Mapping[str, float]


def points(evidence: Evidence) -> tuple[Point, ...]:
    """Return every measurement that has a p99 latency and a throughput."""
    return tuple(point(evidence, row) for row in evidence.measured if _plottable(row))


def point(evidence: Evidence, row: Row) -> Point:
    """Return one measurement as a point."""
    said = wording.short(row.variant, evidence.model)
    if row.trial.phase is Phase.GOODPUT:
        said += ", highest rate within the limit"
    if row.trial.phase is Phase.ABREAST:
        said += ", to see whether measurements disturb each other"
    if row.trial.phase is Phase.VERIFY:
        said += f", verification {row.trial.repetition + 1}"
    lines = [
        said,
        wording.setup(row.settings),
        wording.load(row),
        (
            f"{wording.measured(THROUGHPUT, row.metrics[THROUGHPUT])}, "
            f"p99 {wording.measured(P99, row.metrics[P99])}"
        ),
    ]
    if not evidence.goal.satisfied(row.metrics):
        lines.append("breaks a constraint")
    if said := doubt(row):
        lines.append(said)
    return Point(
        latency=row.metrics[P99],
        throughput=row.metrics[THROUGHPUT],
        role=role(evidence, row),
        hover="\n".join(lines),
        stable=row.stable,
    )


def option(evidence: Evidence, found: Option) -> Point:
    """Return one of the Pareto set as a point: its means."""
    metrics = {THROUGHPUT: found.values[0].middle, P99: found.values[1].middle}
    return point(evidence, replace(found.row, metrics={**found.row.metrics, **metrics}))


def curves(evidence: Evidence) -> tuple[Curve, ...]:
    """Return the load curves of the best and of the default: those with two loads or more."""
    found = []
    sides = [evidence.leader]
    if evidence.default is not evidence.leader:
        sides.append(evidence.default)
    for standing in sides:
        if standing is None:
            continue
        curve = Curve(
            label=wording.short(standing.variant, evidence.model),
            is_open=standing.best.load.is_open,
            role="default" if standing.is_default else "best",
            steps=_steps(evidence, standing),
        )
        if len(curve.steps) > 1:
            found.append(curve)
    return tuple(found)


def bars(evidence: Evidence) -> tuple[Bar, ...]:
    """Return the best configurations, each at its best load, and the default with them."""
    shown = list(evidence.standings[:MOST_BARS])
    if evidence.default is not None and not any(each.is_default for each in shown):
        shown[-1] = evidence.default
    return tuple(
        Bar(
            label=f"{wording.short(each.variant, evidence.model)} @ {_level(each.best)}",
            role=role(evidence, each.best),
            hover=f"{wording.setup(each.best.settings)}\n{wording.load(each.best)}",
            values=each.best.metrics,
        )
        for each in shown
    )


def uses(found: Sequence[Bar]) -> tuple[str, ...]:
    """Name the kinds of use that were measured and are not zero throughout."""
    return tuple(tag for tag in USES if any(bar.values.get(tag) for bar in found))


def bounds(evidence: Evidence, tag: str) -> tuple[tuple[float, str], ...]:
    """Return the constraints on a metric: each limit and what it says."""
    unit = BY_TAG[tag].unit
    return tuple(
        (limit, f"{word} {limit:g} {unit}")
        for each in evidence.goal.constraints
        if each.tag == tag
        for word, limit in (("at least", each.minimum), ("at most", each.maximum))
        if limit is not None
    )


def region(evidence: Evidence) -> Region | None:
    """Return what the constraints on p99 latency and throughput leave; None without any."""
    limits = {
        tag: (
            max((each.minimum for each in own if each.minimum is not None), default=None),
            min((each.maximum for each in own if each.maximum is not None), default=None),
        )
        for tag in (P99, THROUGHPUT)
        if (own := [each for each in evidence.goal.constraints if each.tag == tag])
    }
    if not limits:
        return None
    latency, throughput = limits.get(P99, (None, None)), limits.get(THROUGHPUT, (None, None))
    return Region(
        latency_low=latency[0],
        latency_high=latency[1],
        throughput_low=throughput[0],
        throughput_high=throughput[1],
    )


def _level(row: Row) -> str:
    return f"{row.load.level:g}" + "/s" * row.load.is_open


def _plottable(row: Row) -> bool:
    return THROUGHPUT in row.metrics and P99 in row.metrics


def _bounds(row: Row) -> tuple[float, ...]:
    """Return what a row's throughput lies between: its interval, or the windows of an older one."""
    estimate = row.estimates.get(THROUGHPUT)
    if estimate is None or not math.isfinite(estimate.high):
        return row.window_rates
    return estimate.low, estimate.high


def _steps(evidence: Evidence, standing: Standing) -> tuple[Step, ...]:
    """Fold a variant's rows, verification included, by level of load, as its best one has it."""
    groups: dict[float, list[Row]] = {}
    for row in evidence.measured:
        if (
            of(standing, row)
            and row.load.same[:2] == standing.best.load.same[:2]
            and THROUGHPUT in row.metrics
        ):
            groups.setdefault(row.load.level, []).append(row)
    steps = []
    for level, rows in sorted(groups.items()):
        rates = [row.metrics[THROUGHPUT] for row in rows]
        spread = [bound for row in rows for bound in _bounds(row)] or rates
        latencies = [row.metrics[P99] for row in rows if P99 in row.metrics]
        reach = [end for row in rows for end in bounds_of(row, P99) or () if math.isfinite(end)]
        mean = fmean(rates)
        steps.append(
            Step(
                level=level,
                throughput=mean,
                low=min(mean, *spread),
                high=max(mean, *spread),
                latency=fmean(latencies) if latencies else None,
                latency_low=min([*reach, *latencies]) if reach else None,
                latency_high=max([*reach, *latencies]) if reach else None,
            )
        )
    return tuple(steps)
