"""Model Analyzer's three CSV files, column for column, and one of our own. Pure.

Owns headers, order and rounding, as its golden files have them: variants from best to worst;
within one the measurements that keep the constraints before those that do not, each from best
to worst; one decimal; a blank line at the end; a metric that no row has is no column; a table
without rows is no file. Repetitions of the verification are not in them: Model Analyzer has
one line for each configuration and load. ``summary`` has those as well.

Our own has the Pareto set, the quickest first, with the bounds of each value.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from analyzer import together
from analyzer.metrics import BY_TAG, COST
from analyzer.record.row import Row
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, by_merit
from analyzer.space import ACCELERATOR, BACKEND, PRECISION
from analyzer.variant import run_by

INFERENCE = "metrics-model-inference.csv"
GPU = "metrics-model-gpu.csv"
SERVER_ONLY = "metrics-server-only.csv"
PARETO = "metrics-pareto.csv"
#: the key of ``RunHead.machine`` with each GPU's metrics while the server holds no model
IDLE = "server_only"

_INFERENCE_TAGS = (THROUGHPUT, P99)
_GPU_TAGS = ("gpu_used_memory", "gpu_utilization", "gpu_power_usage")
_SERVER = "triton-server"
_CONCURRENCY, _RATE = "Concurrency", "Request Rate"
#: columns of ours, where rows differ in them
_RUN_BY = (BACKEND, PRECISION, ACCELERATOR)


def csv_files(evidence: Evidence) -> dict[str, str]:
    """Return the text of every file that has rows, by file name."""
    tables = {
        INFERENCE: _inference(evidence),
        GPU: _gpus(evidence),
        SERVER_ONLY: _server_only(evidence),
        PARETO: _pareto(evidence),
    }
    return {name: text for name, text in tables.items() if text}


def instance_group(row: Row) -> str:
    """Return Model Analyzer's cell, total count and kind: ``2:CPU``, ``4:GPU + 1:CPU``.

    A kind that the configuration leaves to the server is the one that was used.
    """
    kind = "GPU" if row.gpus else "CPU"
    cell = str(row.settings.get("instance_group") or "1:AUTO")
    return cell.replace("AUTO", kind).replace("MODEL", kind)


def _inference(evidence: Evidence) -> str:
    loads = _loads(evidence)
    head = (
        "Model",
        "Batch",
        *loads,
        "Model Config Path",
        "Instance Group",
        "Max Batch Size",
        "Satisfies Constraints",
    )
    ordered = list(_ordered(evidence))
    # Model Analyzer has no such columns, so they are there only where they tell rows apart.
    by = len({run_by(row.settings) for _, row, _ in ordered}) > 1
    rows: list[tuple[list[Any], Mapping[str, float]]] = []
    for variant, row, satisfies in _each(ordered):
        cells = [row.model, row.load.batch_size, *_levels(row, loads), variant]
        cells += [instance_group(row), row.settings.get("max_batch_size", ""), satisfies]
        cells += [row.settings.get(name) or "" for name in _RUN_BY] if by else []
        rows.append((cells, row.metrics))
    price = (COST,) if evidence.goal.cost_per_hour is not None else ()
    by_head = [name.title() for name in _RUN_BY] if by else []
    return _text((*head, *by_head), rows, (*_INFERENCE_TAGS, *price))


def _gpus(evidence: Evidence) -> str:
    loads = _loads(evidence)
    head = (
        "Model",
        "GPU UUID",
        "Batch",
        *loads,
        "Model Config Path",
        "Instance Group",
        "Satisfies Constraints",
    )
    rows: list[tuple[list[Any], Mapping[str, float]]] = []
    for variant, row, satisfies in _ordered(evidence):
        if "GPU" not in instance_group(row):
            continue
        for uuid, metrics in row.gpus.items():
            cells = [row.model, uuid, row.load.batch_size, *_levels(row, loads), variant]
            rows.append(([*cells, instance_group(row), satisfies], metrics))
    return _text(head, rows, _GPU_TAGS)


def _server_only(evidence: Evidence) -> str:
    idle = evidence.head.machine.get(IDLE) or {}
    rows = [([_SERVER, uuid], metrics) for uuid, metrics in idle.items()]
    return _text(("Model", "GPU UUID"), rows, _GPU_TAGS)


def _pareto(evidence: Evidence) -> str:
    found, loads = evidence.frontier, _loads(evidence)
    if not found.options:
        return ""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    headers = (BY_TAG[tag].header for tag in found.tags)
    writer.writerow([
        *("Model", "Batch", *loads, "Model Config Path", "Instance Group", "Max Batch Size"),
        *("Satisfies Constraints", "Knee"),
        *(name for header in headers for name in (header, f"{header} low", f"{header} high")),
    ])  # fmt: skip
    for each in found.options:
        row = each.row
        cells = [row.model, row.load.batch_size, *_levels(row, loads), row.variant]
        cells += [instance_group(row), row.settings.get("max_batch_size", "")]
        cells += ["Yes" if each.satisfies else "No", "Yes" if each is found.knee else "No"]
        cells += [
            round(bound, 3)
            for value in each.values
            for bound in (value.middle, value.low, value.high)
        ]
        writer.writerow(cells)
    return buffer.getvalue() + "\n"


def _loads(evidence: Evidence) -> tuple[str, ...]:
    """Name the columns of the load: Model Analyzer's runs have one of the two."""
    kinds = {row.load.is_open for each in evidence.standings for row in each.rows}
    columns = ((_CONCURRENCY, False), (_RATE, True))
    return tuple(name for name, is_open in columns if is_open in kinds)


def _levels(row: Row, columns: Sequence[str]) -> list[Any]:
    """Return a row's cells in the columns of the load."""
    rate = int(row.load.level) if row.load.level.is_integer() else row.load.level
    mine = _RATE if row.load.is_open else _CONCURRENCY
    return [rate if name == mine else "" for name in columns]


def _ordered(evidence: Evidence) -> Iterator[tuple[str, Row, str]]:
    """Yield each row with its variant's name and whether it keeps the constraints."""
    for standing in evidence.standings:
        for row in by_merit(evidence, standing):
            yield standing.variant, row, "No" if evidence.violation(row) else "Yes"


def _each(ordered: Sequence[tuple[str, Row, str]]) -> Iterator[tuple[str, Row, str]]:
    """Yield a line of several models at once, and then one for each of them."""
    for variant, row, satisfies in ordered:
        yield variant, row, satisfies
        yield from ((own.variant, own, satisfies) for own in together.rows(row))


def _text(
    head: Sequence[str],
    rows: Sequence[tuple[Sequence[Any], Mapping[str, float]]],
    tags: Sequence[str],
) -> str:
    """Spell a table; "" where it has no rows."""
    if not rows:
        return ""
    known = [tag for tag in tags if any(tag in metrics for _, metrics in rows)]
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*head, *(BY_TAG[tag].header for tag in known)])
    for cells, metrics in rows:
        values = [_rounded(tag, metrics[tag]) if tag in metrics else "" for tag in known]
        writer.writerow([*cells, *values])
    return buffer.getvalue() + "\n"


def _rounded(tag: str, value: float) -> float:
    """Round as Model Analyzer does; a price, which it does not know, may be less than a tenth."""
    return float(f"{value:.4g}") if tag == COST else round(value, 1)
