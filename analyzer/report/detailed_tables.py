"""A configuration's measurements, its failures, and how sure each is, as tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analyzer import together
from analyzer.metrics import BY_TAG
from analyzer.record.doubt import mark
from analyzer.record.row import Row
from analyzer.report import columns, wording
from analyzer.report.columns import EMPTY, Cell, Column, Strip, Table
from analyzer.report.evidence import P99, THROUGHPUT
from analyzer.report.levels import reach

_LATENCIES = ("perf_latency_avg", "perf_latency_p50", "perf_latency_p90", "perf_latency_p95")
_PARTS = (
    "perf_client_response_wait",
    "perf_server_queue",
    "perf_server_compute_input",
    "perf_server_compute_infer",
    "perf_server_compute_output",
    "server_batch_size",
)
_USES = (
    "cpu_utilization",
    "cpu_used_ram",
    "gpu_utilization",
    "gpu_used_memory",
    "gpu_power_usage",
    "energy_per_inference",
)


def loads(rows: Sequence[Row], best: Row | None) -> Table:
    """Return every measurement, the slowest answers first, as Model Analyzer orders them."""
    ordered = sorted(rows, key=lambda row: (-row.metrics.get(P99, 0.0), row.number))
    first = None if best is None else best.number
    numbers = [Cell(str(row.number), row.number) for row in ordered]
    taken = [
        Cell(
            columns.PHASES[row.trial.phase],
            columns.PHASES[row.trial.phase],
            ("best",) * (row.number == first) + _marks(row),
        )
        for row in ordered
    ]
    strips: list[Strip] = [
        (Column("No.", numeric=True), numbers),
        columns.loads(ordered),
        (Column("For"), taken),
        *columns.metrics(ordered, [P99]),
        _interval(ordered, P99),
        *columns.metrics(ordered, [THROUGHPUT]),
        _interval(ordered, THROUGHPUT),
        *columns.metrics(ordered, [*_LATENCIES, *_PARTS, *_USES]),
        (
            Column("Requests", numeric=True),
            [Cell(f"{row.requests:,}", row.requests) for row in ordered],
        ),
    ]
    return columns.table(strips, ["best" if row.number == first else "other" for row in ordered])


def models(rows: Sequence[Row]) -> Table:
    """Return what each of several models did that were loaded at the same time; false of others."""
    pairs = [(row, own) for row in rows for own in together.rows(row)]
    owns = [own for _, own in pairs]
    strips: list[Strip] = [
        (Column("No.", numeric=True), [Cell(str(row.number), row.number) for row, _ in pairs]),
        (Column("Model"), [Cell(own.model, own.model) for own in owns]),
        columns.loads(owns),
        *columns.metrics(owns, [P99]),
        _interval(owns, P99),
        *columns.metrics(owns, [THROUGHPUT]),
        _interval(owns, THROUGHPUT),
        *columns.metrics(owns, [*_LATENCIES, *_PARTS]),
    ]
    return columns.table(strips, ["other"] * len(pairs))


def _marks(row: Row) -> tuple[str, ...]:
    said = mark(row)
    return (said,) if said else ()


def _interval(rows: Sequence[Row], tag: str) -> Strip:
    """Return a column with a metric's 95 % interval, sorted by its width."""
    cells = []
    for row in rows:
        ends = reach(row, tag)
        if ends is None:
            cells.append(EMPTY)
            continue
        places = wording.decimals(end for end in ends if end)
        text = f"{wording.number(ends[0], places)} to {wording.number(ends[1], places)}"
        cells.append(Cell(text, ends[1] - ends[0]))
    name = wording.heading(tag).removesuffix(" latency")
    return Column(f"{name}, 95% interval", BY_TAG[tag].unit, numeric=True), cells


def failures(rows: Sequence[Row]) -> Table:
    """Return what could not be measured, and why."""
    failed = [row for row in rows if row.failure is not None]
    reasons = [row.failure for row in failed if row.failure is not None]
    strips: list[Strip] = [
        (Column("No.", numeric=True), [Cell(str(row.number), row.number) for row in failed]),
        columns.loads(failed),
        (Column("Stage"), [Cell(reason.stage, reason.stage) for reason in reasons]),
        (Column("Reason", long=True), [Cell(reason.message) for reason in reasons]),
    ]
    return columns.table(strips, ["other"] * len(failed))


def estimates(row: Row) -> Table:
    """Return what is known to be how sure, metric by metric."""
    found = [(tag, one) for tag, one in row.estimates.items()]
    strips: list[Strip] = [
        (Column("Metric"), [Cell(name := _title(tag), name) for tag, _ in found]),
        (
            Column("Value", numeric=True),
            [Cell(wording.measured(tag, one.value), one.value) for tag, one in found],
        ),
        (
            Column("95% interval", numeric=True),
            [Cell(f"{wording.number(one.low)} to {_end(one.high)}", one.half_width)
             for _, one in found],
        ),
        (Column("Of values", numeric=True), [Cell(f"{one.n:,}", one.n) for _, one in found]),
        (
            Column("Worth independent ones", numeric=True),
            [Cell(f"{one.effective_n:,.0f}", one.effective_n) for _, one in found],
        ),
        (
            Column("Enough of them"),
            [Cell("yes" if one.certified else "no", float(one.certified)) for _, one in found],
        ),
    ]  # fmt: skip
    return columns.table(strips, ["other"] * len(found))


def _title(tag: str) -> str:
    return wording.heading(tag) if tag in BY_TAG or "::" in tag else tag


def _end(high: float) -> str:
    return "no upper end" if math.isinf(high) else wording.number(high)
