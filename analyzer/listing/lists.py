"""The tables that ``analyze results`` shows: which records each has, and its usual columns. Pure.

Does not own the columns (``report.flat``), what is picked of them (``query``) or how they are shown
(``shown``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from analyzer.listing.query import Query, columns_of, pick
from analyzer.record.row import Row
from analyzer.report import wording
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.flat import (
    DOCUMENTS,
    Column,
    Kind,
    Record,
    Value,
    columns,
    pareto_rows,
    records,
)


class Name(Enum):
    """A table."""

    BEST = "best"
    PARETO = "pareto"
    MEASUREMENTS = "measurements"
    FAILURES = "failures"


#: those shown where nobody says which
USUAL = (Name.BEST, Name.PARETO, Name.FAILURES)
TITLES: Mapping[Name, str] = {
    Name.BEST: "Configurations, each at its best load",
    Name.PARETO: "The Pareto set: what nothing measured beats",
    Name.MEASUREMENTS: "Measurements",
    Name.FAILURES: "Failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One table: its records, the columns to show, and how many records there were to pick from.

    ``fixed``: somebody named the columns, so none may be left out.
    """

    name: Name
    columns: tuple[Column, ...]
    records: tuple[Record, ...]
    whole: int
    fixed: bool


def listed(evidence: Evidence, name: Name, query: Query, *, brief: bool) -> Listed:
    """Make a table. ``brief``: with the columns that a terminal has room for, else with all.

    Columns that no record has a value for are left out, unless they were named.

    Raises:
        UsageError: the query names what is no column.
    """
    rows = _ROWS[name](evidence)
    known = (*columns(evidence.rows), *_SHORT)
    every = records(evidence, rows, known)
    picked = pick(every, known, query)
    if query.columns is not None:
        shown = columns_of(query.columns, known)
    else:
        wanted = _usual(evidence, name) if brief else _plain(known)
        shown = tuple(
            each for each in columns_of(wanted, known)
            if any(record[each.name] is not None for record in every)
        )  # fmt: skip
    return Listed(
        name=name, columns=shown, records=picked, whole=len(every), fixed=query.columns is not None
    )


def _plain(known: Sequence[Column]) -> list[str]:
    """Name the columns that hold one value each."""
    left_out = {*DOCUMENTS, *(each.name for each in _SHORT)}
    return [each.name for each in known if each.name not in left_out]


def _usual(evidence: Evidence, name: Name) -> list[str]:
    """Name the columns of a table on a terminal, what matters most first."""
    goal = evidence.goal
    wanted = dict.fromkeys([THROUGHPUT, P99, *goal.wanted])
    settings = ("instance_group", "max_batch_size", "batching", "intra_op_thread_count")
    kept = ["satisfies"] if goal.constraints else []
    match name:
        case Name.BEST:
            return ["variant", *wanted, "percent", "load", *kept, *settings]
        case Name.PARETO:
            tags = dict.fromkeys(evidence.frontier.tags)
            return ["variant", "load", *tags, "knee", *kept]
        case Name.MEASUREMENTS:
            return ["number", "variant", "phase", "load", *wanted, "stable", "perf_latency_avg"]
        case Name.FAILURES:
            return ["number", "variant", "load", "failure_stage", "failure_message"]


def _best(evidence: Evidence) -> Sequence[Row]:
    return [each.best for each in evidence.standings]


_ROWS: Mapping[Name, Callable[[Evidence], Sequence[Row]]] = {
    Name.BEST: _best,
    Name.PARETO: pareto_rows,
    Name.MEASUREMENTS: lambda evidence: evidence.measured,
    Name.FAILURES: lambda evidence: evidence.failed,
}


def _load(_: Evidence, row: Row) -> Value:
    level = f"{row.load.level:g}" + "/s" * row.load.is_open
    return level if row.load.batch_size == 1 else f"{level} x {row.load.batch_size}"


def _batching(_: Evidence, row: Row) -> Value:
    return wording.batching(row.settings) if row.settings else None


#: columns that say in one what takes two or three otherwise
_SHORT = (
    Column("load", Kind.TEXT, "Load", _load),
    Column("batching", Kind.TEXT, "Batching", _batching),
)
