"""One configuration under each of its loads: the measurements there, and what they agree on. Pure.

Owns what several measurements at one load say together: their mean, and how far their intervals
reach. Does not own which rows these are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analyzer.record.row import LoadSpec, Row
from analyzer.report import wording
from analyzer.report.timelines import Timeline
from analyzer.statistics.histogram import EMPTY, Histogram

_NS = 1e6


@dataclass(frozen=True, slots=True)
class Level:
    """The measurements of one configuration at one load, in the order they were taken."""

    load: LoadSpec
    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        """The load as an axis has it: ``8``, ``62.5/s``, ``8 x 4`` (rows a request)."""
        said = f"{self.load.level:,.6g}" + "/s" * self.load.is_open
        return said if self.load.batch_size == 1 else f"{said} x {self.load.batch_size}"

    @property
    def title(self) -> str:
        """The load in words."""
        return wording.load(self.rows[0])

    def values(self, tag: str) -> list[float]:
        """Return what was measured of a metric, as far as it was."""
        return [row.metrics[tag] for row in self.rows if tag in row.metrics]

    def mean(self, tag: str) -> float | None:
        """Return the mean over the measurements; None where nobody measured it."""
        values = self.values(tag)
        return fmean(values) if values else None

    @property
    def histogram(self) -> Histogram:
        """All latencies, ns; one that the journal holds and nobody can read is left out."""
        found = [each for each in map(_histogram, self.rows) if each.count]
        return found[0].merge(*found[1:]) if found else EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A configuration to draw: its name, its role (best, default, other), its loads."""

    label: str
    role: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What is drawn: one configuration, the default beside it (None: it is that), and limits.

    ``best`` is the measurement that the configuration stands by; ``timelines`` are of those that
    were watched, it first.
    """

    own: Side
    default: Side | None
    best: Row | None
    timelines: tuple[Timeline, ...] = ()
    latency_bounds: tuple[tuple[float, str], ...] = ()
    throughput_bounds: tuple[tuple[float, str], ...] = ()


def levels(rows: Sequence[Row]) -> tuple[Level, ...]:
    """Group rows by load, the lightest first."""
    groups: dict[tuple[int, bool, float], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.load.same, []).append(row)
    return tuple(
        Level(found[0].load, tuple(sorted(found, key=lambda row: row.number)))
        for _, found in sorted(groups.items())
    )


def axis_title(every: Sequence[Level]) -> str:
    """Say what the labels of loads are."""
    wide = " x rows a request" if any(each.load.batch_size != 1 for each in every) else ""
    kinds = {each.load.is_open for each in every}
    if len(kinds) > 1:
        return f"Concurrency, or request rate (1/s){wide}"
    return f"{'Request rate (1/s)' if True in kinds else 'Concurrency'}{wide}"


def reach(row: Row, tag: str) -> tuple[float, float] | None:
    """Return a metric's 95 % interval where it has two ends; else None.

    Of rows by windows (older journals, perf_analyzer's rule) the throughput of the slowest and
    the fastest window.
    """
    estimate = row.estimates.get(tag)
    if estimate is not None and math.isfinite(estimate.high):
        return estimate.low, estimate.high
    if tag == "perf_throughput" and estimate is None and row.window_rates:
        return min(row.window_rates), max(row.window_rates)
    return None


def percentile_curve(found: Histogram, points: int = 80) -> tuple[tuple[float, float], ...]:
    """Return (x, latency in ms), x being how many nines: 1 for p90, 2 for p99, 0 for the least.

    From the least to the percentile that one request is above.
    """
    if not found.count:
        return ()
    last = math.log10(max(found.count, 2))
    every = (last * each / (points - 1) for each in range(points))
    return tuple((nines, found.quantile(1.0 - 10.0**-nines) / _NS) for nines in every)


def _histogram(row: Row) -> Histogram:
    try:
        return Histogram.from_text(row.histogram) if row.histogram else EMPTY
    except ValueError:
        return EMPTY
