"""Every measurement as one flat record of typed columns. Pure.

Owns the columns' names, kinds and order, which the Parquet file, data frames and
``analyze results`` share. A metric's column is named by its tag, the ends of its 95 % interval
``TAG_low`` and ``TAG_high``. What is not known is None, never 0; so is the upper end of an interval
that has none.
Does not own how records are written or shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from analyzer.metrics import BY_TAG, METRICS
from analyzer.record import accuracy
from analyzer.record.row import Row
from analyzer.report.evidence import Evidence, advantage, of

Value = str | int | float | bool | None
Record = Mapping[str, Value]
Fill = Callable[[Evidence, Row], Value]


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    TRUTH = "truth"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what it holds, its heading and unit, and how a row fills it."""

    name: str
    kind: Kind
    title: str
    fill: Fill
    unit: str = ""


#: metrics that have intervals
BOUNDED = (
    "perf_throughput", "perf_latency_avg", "perf_latency_p50", "perf_latency_p90",
    "perf_latency_p95", "perf_latency_p99",
)  # fmt: skip


def columns(rows: Iterable[Row]) -> tuple[Column, ...]:
    """Return every column: all metrics that there are, and what these rows have besides.

    Of models that were loaded at the same time each has its own metrics, ``MODEL::tag``.
    """
    rows = tuple(rows)
    own = dict.fromkeys(tag for row in rows for tag in row.metrics if tag not in _TAGS)
    bounded = dict.fromkeys([*BOUNDED, *(tag for row in rows for tag in row.estimates)])
    return (
        *_DESCRIBING,
        *(_metric(tag) for tag in (*_TAGS, *own)),
        *(end for tag in bounded for end in _ends(tag)),
        *_WHOLE,
    )


def records(evidence: Evidence, rows: Sequence[Row], shown: Sequence[Column]) -> tuple[Record, ...]:
    """Fill the columns, row by row."""
    return tuple({each.name: each.fill(evidence, row) for each in shown} for row in rows)


def pareto_rows(evidence: Evidence) -> tuple[Row, ...]:
    """Return the Pareto set as rows: the first of each option, with the option's own values.

    Of the metrics that options are compared by, these are means over all measurements of it.
    """
    found = evidence.frontier
    return tuple(
        replace(
            each.row,
            metrics={
                **each.row.metrics,
                **{tag: one.middle for tag, one in zip(found.tags, each.values, strict=True)},
            },
            estimates={
                tag: replace(estimate, value=one.middle, low=one.low, high=one.high)
                for tag, one in zip(found.tags, each.values, strict=True)
                if (estimate := each.row.estimates.get(tag)) is not None
            },
        )
        for each in found.options
    )


def _setting(name: str, kind: Kind, title: str) -> Column:
    def fill(_: Evidence, row: Row) -> Value:
        found = row.settings.get(name)
        if found is None:
            return None
        try:
            plain: Value = _AS[kind](found)
        except ValueError:
            # Written by something else; the settings have it as it is.
            return None
        return plain

    return Column(name, kind, title, fill)


_AS: Mapping[Kind, Callable[[object], Value]] = {
    Kind.TEXT: lambda found: str(found) or None,
    Kind.WHOLE: lambda found: int(float(str(found))),
    Kind.NUMBER: lambda found: float(str(found)),
    Kind.TRUTH: bool,
}


def _metric(tag: str) -> Column:
    found = BY_TAG[tag]

    def fill(_: Evidence, row: Row) -> Value:
        return _finite(row.metrics.get(tag))

    return Column(tag, Kind.NUMBER, found.title, fill, found.unit)


def _ends(tag: str) -> tuple[Column, Column]:
    """Return the columns of an interval."""
    found = BY_TAG[tag]

    def end(name: str) -> Column:
        def fill(_: Evidence, row: Row) -> Value:
            estimate = row.estimates.get(tag)
            return None if estimate is None else _finite(getattr(estimate, name))

        return Column(f"{tag}_{name}", Kind.NUMBER, f"{found.title} {name}", fill, found.unit)

    return end("low"), end("high")


def _document(name: str, title: str, found: Callable[[Row], object]) -> Column:
    """Return a column of JSON; None where there is nothing."""

    def fill(_: Evidence, row: Row) -> Value:
        plain = found(row)
        return json.dumps(plain, sort_keys=True) if plain else None

    return Column(name, Kind.TEXT, title, fill)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _percent(evidence: Evidence, row: Row) -> Value:
    """Say by how many per cent a row is better than the default's best one."""
    default = evidence.default
    if default is None or row.failure is not None:
        return None
    return advantage(evidence.goal, row, default.best)


def _satisfies(evidence: Evidence, row: Row) -> Value:
    return None if row.failure is not None else not evidence.violation(row)


def _is_knee(evidence: Evidence, row: Row) -> Value:
    knee = evidence.frontier.knee
    return knee is not None and knee.row.number == row.number


def _level(row: Row, *, is_open: bool) -> float | None:
    return row.load.level if row.load.is_open is is_open else None


def _concurrency(_: Evidence, row: Row) -> Value:
    level = _level(row, is_open=False)
    return None if level is None else int(level)


def _beside(row: Row) -> int | None:
    """Return how many were measured at a time, where it was not alone."""
    return row.trial.beside if row.trial.beside > 1 else None


def _stage(_: Evidence, row: Row) -> Value:
    return None if row.failure is None else row.failure.stage


def _message(_: Evidence, row: Row) -> Value:
    return None if row.failure is None else row.failure.message


_TAGS = tuple(metric.tag for metric in METRICS)
#: what a measurement is of, and how it was taken
_DESCRIBING = (
    Column("number", Kind.WHOLE, "No.", lambda _, row: row.number),
    Column("model", Kind.TEXT, "Model", lambda _, row: row.model),
    Column("variant", Kind.TEXT, "Configuration", lambda _, row: row.variant),
    Column("digest", Kind.TEXT, "Digest", lambda _, row: row.digest),
    Column("is_default", Kind.TRUTH, "Default", lambda evidence, row: of(evidence.default, row)),
    Column("chosen", Kind.TRUTH, "Chosen", lambda evidence, row: of(evidence.chosen, row)),
    Column("satisfies", Kind.TRUTH, "Satisfies", _satisfies),
    Column("knee", Kind.TRUTH, "Knee", _is_knee),
    Column("percent", Kind.NUMBER, "vs default", _percent, "%"),
    Column("phase", Kind.TEXT, "For", lambda _, row: row.trial.phase.value),
    Column("repetition", Kind.WHOLE, "Repetition", lambda _, row: row.trial.repetition),
    Column("gpu", Kind.TEXT, "GPU", lambda _, row: row.gpu or None),
    Column("beside", Kind.WHOLE, "At a time", lambda _, row: _beside(row)),
    Column("taken_at", Kind.TEXT, "Taken at", lambda _, row: row.taken_at),
    Column("seconds", Kind.NUMBER, "Took", lambda _, row: row.seconds, "s"),
    Column("concurrency", Kind.WHOLE, "Concurrency", _concurrency),
    Column(
        "request_rate", Kind.NUMBER, "Request rate", lambda _, row: _level(row, is_open=True), "1/s"
    ),
    Column("batch_size", Kind.WHOLE, "Batch", lambda _, row: row.load.batch_size),
    Column("protocol", Kind.TEXT, "Protocol", lambda _, row: row.load.protocol),
    _setting("backend", Kind.TEXT, "Backend"),
    _setting("precision", Kind.TEXT, "Precision"),
    _setting("accelerator", Kind.TEXT, "Accelerator"),
    _setting("instance_group", Kind.TEXT, "Instances"),
    _setting("max_batch_size", Kind.WHOLE, "Max batch"),
    _setting("dynamic_batching", Kind.TRUTH, "Dynamic batching"),
    _setting("max_queue_delay_microseconds", Kind.WHOLE, "Queue delay (us)"),
    _setting("intra_op_thread_count", Kind.WHOLE, "Threads"),
    Column("stable", Kind.TRUTH, "Stable", lambda _, row: row.stable),
    Column("requests", Kind.WHOLE, "Requests", lambda _, row: row.requests),
    Column("failure_stage", Kind.TEXT, "Stage", _stage),
    Column("failure_message", Kind.TEXT, "Reason", _message),
)
#: what a column cannot hold otherwise
_WHOLE = (
    Column("config", Kind.TEXT, "config.pbtxt", lambda _, row: row.config or None),
    _document("composing", "Composing models' config.pbtxt", lambda row: dict(row.composing)),
    _document("settings", "Settings", lambda row: dict(row.settings)),
    _document("candidate", "Candidate", lambda row: dict(row.trial.candidate.items)),
    _document("gpus", "GPUs", lambda row: {name: dict(own) for name, own in row.gpus.items()}),
    _document("absent", "Not measured", lambda row: dict(row.absent)),
    _document("remarks", "Remarks", lambda row: list(row.remarks)),
    _document(
        "predicted",
        "Predicted",
        lambda row: {} if row.trial.why is None else dict(row.trial.why.predicted),
    ),
    _document(
        "accuracy",
        "Accuracy",
        lambda row: None if row.accuracy is None else accuracy.plain(row.accuracy),
    ),
)
#: columns that hold a file, or JSON
DOCUMENTS = tuple(each.name for each in _WHOLE)
