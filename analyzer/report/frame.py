"""Flat records as a data frame, and as a Parquet file.

Owns how a column's kind becomes a type there. The libraries are imported when they are needed:
pandas comes with servetune, pyarrow with ``servetune[report]``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analyzer.errors import UsageError
from analyzer.report.evidence import Evidence
from analyzer.report.flat import Column, Kind, Record, columns, records

if TYPE_CHECKING:
    import pandas as pd

#: of the file's own description, under the key ``servetune``
SCHEMA = 1
_PANDAS = {Kind.TEXT: "object", Kind.WHOLE: "Int64", Kind.NUMBER: "float64", Kind.TRUTH: "boolean"}


def to_pandas(evidence: Evidence) -> pd.DataFrame:
    """Return a data frame of all rows, failed ones too, in the order in which they were taken.

    Columns that no row has a value for are left out. Whole numbers and truths are of pandas'
    nullable types, so that one that is missing does not make floats of the others.
    """
    import pandas as pd  # noqa: PLC0415 - it takes half a second, and few want it

    shown = columns(evidence.rows)
    found = records(evidence, evidence.rows, shown)
    return pd.DataFrame({
        each.name: pd.Series([record[each.name] for record in found], dtype=_PANDAS[each.kind])
        for each in shown
        if any(record[each.name] is not None for record in found)
    })  # fmt: skip


def parquet(evidence: Evidence) -> bytes:
    """Return a Parquet file of all rows, failed ones too: every column, whoever has a value.

    A field's metadata has ``title`` and ``unit``; the file's has, under ``servetune``, JSON with
    the run, the goal, machine, versions and options.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise UsageError(missing("Parquet files are", "pyarrow")) from error
    shown = columns(evidence.rows)
    found = records(evidence, evidence.rows, shown)
    types = {
        Kind.TEXT: pa.string(), Kind.WHOLE: pa.int64(), Kind.NUMBER: pa.float64(),
        Kind.TRUTH: pa.bool_(),
    }  # fmt: skip
    schema = pa.schema(
        [
            pa.field(each.name, types[each.kind], metadata={"title": each.title, "unit": each.unit})
            for each in shown
        ],
        metadata={"servetune": json.dumps(_described(evidence))},
    )
    table = pa.table(_by_column(shown, found), schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def missing(what: str, package: str) -> str:
    """Say that files need an extra that is not installed."""
    return (
        f"{what} written by {package}, which is not installed: "
        "pip install 'servetune[report]', or leave that format out"
    )


def _by_column(shown: Sequence[Column], found: Sequence[Record]) -> dict[str, list[Any]]:
    return {each.name: [record[each.name] for record in found] for each in shown}


def _described(evidence: Evidence) -> dict[str, Any]:
    head = evidence.head
    return {
        "schema": SCHEMA,
        "model": head.model,
        "run": head.run,
        "started_at": head.started_at,
        "goal": evidence.goal.describe(),
        "machine": head.machine,
        "versions": head.versions,
        "options": head.options,
    }
