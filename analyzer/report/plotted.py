"""The numbers of the plots: Model Analyzer's, those that a file asks for, and one of ours. Pure.

Owns which configurations and measurements a plot shows: the best configurations and the default,
a line for each, a point for each load, in the order of its x axis. A plot that is ``monotonic``
leaves out what comes later and is not higher, as Model Analyzer does. Does not own how plots are
drawn (``plots``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyzer.metrics import BY_TAG
from analyzer.ranking.rank import Standing
from analyzer.record.row import Row
from analyzer.report import series, wording
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.tables import role

#: axes that are no metric: how much load there was
_LOADS: Mapping[str, str] = {
    "concurrency": "Concurrency",
    "concurrency_range": "Concurrency",
    "request_rate": "Request rate (1/s)",
    "request_rate_range": "Request rate (1/s)",
    "batch_size": "Batch size",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot: its file's name, its title, and what its axes are: tags, or kinds of load."""

    name: str
    title: str
    x: str
    y: str
    monotonic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlottedLine:
    """One configuration's points, (x, y) with the ends of the interval of y; role as in tables."""

    label: str
    role: str
    points: tuple[tuple[float, float], ...]
    ends: tuple[tuple[float, float], ...]


def of_file(given: Mapping[str, Mapping[str, Any]]) -> tuple[Plot, ...]:
    """Return the plots that a file describes, in Model Analyzer's form (``config.forms``)."""
    return tuple(
        Plot(
            name=name,
            title=str(one["title"]),
            x=str(one["x_axis"]),
            y=str(one["y_axis"]),
            monotonic=bool(one.get("monotonic")),
        )
        for name, one in given.items()
    )


def usual(evidence: Evidence) -> tuple[Plot, ...]:
    """Return Model Analyzer's plots of a summary, and throughput against the load."""
    rows = [row for each in evidence.standings for row in each.rows]
    found = [
        Plot(name="throughput_v_latency", title="Throughput vs. Latency", x=P99, y=THROUGHPUT,
             monotonic=True),
    ]  # fmt: skip
    if any("gpu_used_memory" in row.metrics for row in rows):
        found.append(
            Plot(name="gpu_mem_v_latency", title="GPU Memory vs. Latency", x=P99,
                 y="gpu_used_memory")
        )  # fmt: skip
    if any("cpu_used_ram" in row.metrics for row in rows):
        found.append(
            Plot(name="cpu_mem_v_latency", title="RAM Usage vs. Latency", x=P99, y="cpu_used_ram")
        )
    load = "request_rate" if any(row.load.is_open for row in rows) else "concurrency"
    found.append(Plot(name="throughput_v_load", title="Throughput vs. Load", x=load, y=THROUGHPUT))
    if len({row.load.batch_size for row in rows}) > 1:
        # Model Analyzer spells it so.
        found.append(
            Plot(name="through_v_batch_size", title="Throughput vs. Batch Size", x="batch_size",
                 y=THROUGHPUT)
        )  # fmt: skip
    return tuple(found)


def shown(evidence: Evidence, top: int) -> tuple[Standing, ...]:
    """Return the ``top`` best configurations, and the default."""
    return tuple(
        each for place, each in enumerate(evidence.standings) if place < top or each.is_default
    )


def lines(evidence: Evidence, plot: Plot, top: int) -> tuple[PlottedLine, ...]:
    """Return a line for each configuration that has both of a plot's values somewhere."""
    return tuple(
        line
        for each in shown(evidence, top)
        if (line := _line(evidence, each, plot)).points
    )  # fmt: skip


def axis(name: str) -> str:
    """Return what an axis says of itself."""
    if name in _LOADS:
        return _LOADS[name]
    return f"{wording.heading(name)} ({BY_TAG[name].unit})"


def limits(evidence: Evidence, name: str) -> tuple[tuple[float, str], ...]:
    """Return the constraints on an axis: each limit, and what it says."""
    return () if name in _LOADS else series.bounds(evidence, BY_TAG[name].tag)


def parts(standing: Standing) -> tuple[tuple[str, Mapping[str, float]], ...]:
    """Return where a request's time goes at each load of a configuration, the least load first."""
    rows = [row for row in standing.rows if any(tag in row.metrics for tag, _ in series.PARTS)]
    return tuple((_load(row), row.metrics) for row in rows)


def _load(row: Row) -> str:
    level = f"{row.load.level:g}" + "/s" * row.load.is_open
    return level if row.load.batch_size == 1 else f"{level} x {row.load.batch_size}"


def _line(evidence: Evidence, standing: Standing, plot: Plot) -> PlottedLine:
    found = [
        (x, y, row)
        for row in standing.rows
        if (x := _value(row, plot.x)) is not None and (y := _value(row, plot.y)) is not None
    ]
    found.sort(key=lambda each: (each[0], each[1]))
    kept = _rising(found) if plot.monotonic else found
    return PlottedLine(
        label=wording.short(standing.variant, evidence.model),
        role=role(evidence, standing.best),
        points=tuple((x, y) for x, y, _ in kept),
        ends=tuple(_ends(row, plot.y, y) for _, y, row in kept),
    )


def _rising(found: Sequence[tuple[float, float, Row]]) -> list[tuple[float, float, Row]]:
    kept: list[tuple[float, float, Row]] = []
    for each in found:
        if not kept or each[1] > kept[-1][1]:
            kept.append(each)
    return kept


def _value(row: Row, name: str) -> float | None:
    """Return a row's place on an axis; None where it has none."""
    if name == "batch_size":
        return float(row.load.batch_size)
    if name in _LOADS:
        return row.load.level if row.load.is_open is name.startswith("request_rate") else None
    return row.metrics.get(BY_TAG[name].tag)


def _ends(row: Row, name: str, value: float) -> tuple[float, float]:
    """Return the ends of a value's interval; the value itself where it has none."""
    estimate = None if name in _LOADS else row.estimates.get(BY_TAG[name].tag)
    if estimate is None:
        return value, value
    # One without an upper end is drawn as far as it is known.
    high = max(value, estimate.high) if estimate.high != float("inf") else value
    return min(value, estimate.low), high
