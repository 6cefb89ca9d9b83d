"""Model Analyzer's three CSV files, column for column, and one of our own. Pure.

Owns headers, order and rounding, as its golden files have them: variants from best to worst;
within one the measurements that keep the constraints before those that do not, each from best
to worst; one decimal; a blank line at the end; a metric that no row has is no column; a table
without rows is no file. Repetitions of the verification are not in them: Model Analyzer has
one line for each configuration and load. ``summary`` has those as well. Several runs are in one
table one after another, as Model Analyzer has several models.

Our own has the Pareto set, the quickest first, with the bounds of each value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from analyzer import together
from analyzer.assembly import shown
from analyzer.errors import UsageError
from analyzer.metrics import BY_TAG, COST, is_of_requests
from analyzer.record.row import Row
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, by_merit
from analyzer.space import ACCELERATOR, BACKEND, PRECISION
from analyzer.variant import run_by
from engine.modelconfig import convert

INFERENCE = "metrics-model-inference.csv"
GPU = "metrics-model-gpu.csv"
SERVER_ONLY = "metrics-server-only.csv"
PARETO = "metrics-pareto.csv"
TABLES = (INFERENCE, GPU, SERVER_ONLY, PARETO)
#: the key of ``RunHead.machine`` with each GPU's metrics while the server holds no model
IDLE = "server_only"

_GPU_TAGS = ("gpu_used_memory", "gpu_utilization", "gpu_power_usage")
_SERVER = "triton-server"
_CONCURRENCY, _RATE = "concurrency", "request_rate"
#: columns of ours, where rows differ in them
_RUN_BY = (BACKEND, PRECISION, ACCELERATOR)
#: what a model's own ``parameters`` are named by: ``backend_parameter/KEY``
_PARAMETER = "backend_parameter/"
#: what models at the same time have in common
_OF_ALL = ("gpu_uuid", "satisfies_constraints")
_PLACE = ("model_name", "batch_size")
_SETUP = ("model_config_path", "instance_group", "max_batch_size", "satisfies_constraints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The columns of Model Analyzer's files by its keys; None: those that it has by default."""

    inference: tuple[str, ...] | None = None
    gpu: tuple[str, ...] | None = None
    server: tuple[str, ...] | None = None

    def check(self) -> None:
        """Check that each is a column of something.

        Raises:
            UsageError: one is not.
        """
        for name in ("inference", "gpu", "server"):
            for field in getattr(self, name) or ():
                if not (field in BY_TAG or field in _COLUMNS or field.startswith(_PARAMETER)):
                    raise UsageError(
                        f"{name}_output_fields: no column named {field!r}; there are: "
                        f"{', '.join(_COLUMNS)}, {_PARAMETER}KEY, and the tags of metrics"
                    )


USUAL = Fields()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a table: what its columns are filled from.

    Of models at the same time ``parts`` has one for each: their cells are lists, as Model Analyzer
    has them, and a metric of requests is the whole's and then each model's.
    """

    model: str
    metrics: Mapping[str, float]
    variant: str = ""
    row: Row | None = None
    satisfies: str = ""
    uuid: str = ""
    parts: tuple[_Line, ...] = ()


def csv_files(*every: Evidence, fields: Fields = USUAL) -> dict[str, str]:
    """Return the text of every file that has rows, by file name.

    Raises:
        UsageError: ``fields`` names what is no column.
    """
    fields.check()
    tables = {
        INFERENCE: _inference(every, fields.inference),
        GPU: _gpus(every, fields.gpu),
        SERVER_ONLY: _server_only(every, fields.server),
        PARETO: _pareto(every),
    }
    return {name: text for name, text in tables.items() if text}


def instance_group(row: Row) -> str:
    """Return Model Analyzer's cell, total count and kind: ``2:CPU``, ``4:GPU + 1:CPU``.

    A kind that the configuration leaves to the server is the one that was used.
    """
    kind = "GPU" if row.gpus else "CPU"
    cell = str(row.settings.get("instance_group") or "1:AUTO")
    return cell.replace("AUTO", kind).replace("MODEL", kind)


def _inference(every: Sequence[Evidence], fields: Sequence[str] | None) -> str:
    lines = [each for evidence in every for each in _each(evidence)]
    if fields is None:
        # Model Analyzer has no such columns, so they are there only where they tell rows apart.
        by = _RUN_BY if any(map(_differ, every)) else ()
        priced = any(each.goal.cost_per_hour is not None for each in every)
        price = (COST,) if priced else ()
        fields = (*_PLACE, *_loads(every), *_SETUP, *by, THROUGHPUT, P99, *price)
    return _text(lines, fields)


def _differ(evidence: Evidence) -> bool:
    """Whether what was measured was run by more than one thing."""
    return len({run_by(row.settings) for _, row, _ in _ordered(evidence)}) > 1


def _gpus(every: Sequence[Evidence], fields: Sequence[str] | None) -> str:
    if fields is None:
        setup = (name for name in _SETUP if name != "max_batch_size")
        fields = ("model_name", "gpu_uuid", "batch_size", *_loads(every), *setup, *_GPU_TAGS)
    lines = [
        _Line(
            model=row.model, variant=variant, row=row, satisfies=satisfies, uuid=uuid,
            metrics=metrics, parts=_parts(row),
        )
        for evidence in every
        for variant, row, satisfies in _ordered(evidence)
        if "GPU" in instance_group(row)
        for uuid, metrics in row.gpus.items()
    ]  # fmt: skip
    return _text(lines, fields)


def _server_only(every: Sequence[Evidence], fields: Sequence[str] | None) -> str:
    # Of one machine: what several runs saw of it before their models were there is the same.
    idle = {
        uuid: metrics
        for evidence in every
        for uuid, metrics in (evidence.head.machine.get(IDLE) or {}).items()
    }
    lines = [_Line(model=_SERVER, uuid=uuid, metrics=metrics) for uuid, metrics in idle.items()]
    return _text(lines, fields or ("model_name", "gpu_uuid", *_GPU_TAGS))


def _pareto(every: Sequence[Evidence]) -> str:
    found_in = [each for each in every if each.frontier.options]
    loads = _loads(found_in)
    tags = list(dict.fromkeys(tag for each in found_in for tag in each.frontier.tags))
    if not found_in:
        return ""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    headers = [BY_TAG[tag].header for tag in tags]
    writer.writerow([
        *(_COLUMNS[name][0] for name in (*_PLACE, *loads, *_SETUP)),
        "Knee",
        *(name for header in headers for name in (header, f"{header} low", f"{header} high")),
    ])  # fmt: skip
    for evidence in found_in:
        found = evidence.frontier
        for each in found.options:
            row = each.row
            line = _Line(
                model=row.model, variant=row.variant, row=row, metrics={},
                satisfies="Yes" if each.satisfies else "No", parts=_parts(row),
            )  # fmt: skip
            values = dict(zip(found.tags, each.values, strict=True))
            known = [values.get(tag) for tag in tags]
            writer.writerow([
                *(_cell(line, name) for name in (*_PLACE, *loads, *_SETUP)),
                "Yes" if each is found.knee else "No",
                *(
                    cell
                    for value in known
                    for cell in (
                        ("", "", "")
                        if value is None
                        else (round(end, 3) for end in (value.middle, value.low, value.high))
                    )
                ),
            ])  # fmt: skip
    return buffer.getvalue() + "\n"


def _loads(every: Sequence[Evidence]) -> tuple[str, ...]:
    """Name the columns of the load: Model Analyzer's runs have one of the two."""
    kinds = {
        row.load.is_open
        for evidence in every
        for standing in evidence.standings
        for row in standing.rows
    }
    return tuple(
        name for name, is_open in ((_CONCURRENCY, False), (_RATE, True)) if is_open in kinds
    )


def _ordered(evidence: Evidence) -> Iterator[tuple[str, Row, str]]:
    """Yield each row with its variant's name and whether it keeps the constraints."""
    for standing in evidence.standings:
        for row in by_merit(evidence, standing):
            yield standing.variant, row, "No" if evidence.violation(row) else "Yes"


def _each(evidence: Evidence) -> Iterator[_Line]:
    for variant, row, satisfies in _ordered(evidence):
        yield _Line(
            model=row.model, variant=variant, row=row, satisfies=satisfies, metrics=row.metrics,
            parts=_parts(row),
        )  # fmt: skip


def _parts(row: Row) -> tuple[_Line, ...]:
    return tuple(
        _Line(model=own.model, variant=own.variant, row=own, metrics=own.metrics)
        for own in together.rows(row)
    )


def _text(lines: Sequence[_Line], fields: Sequence[str]) -> str:
    """Spell a table; "" where it has no rows."""
    if not lines:
        return ""
    known = [
        name for name in fields
        if name not in BY_TAG or any(BY_TAG[name].tag in each.metrics for each in lines)
    ]  # fmt: skip
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_header(name) for name in known])
    for each in lines:
        writer.writerow([_cell(each, name) for name in known])
    return buffer.getvalue() + "\n"


def _header(field: str) -> str:
    if field in _COLUMNS:
        return _COLUMNS[field][0]
    return BY_TAG[field].header if field in BY_TAG else field.removeprefix(_PARAMETER)


def _cell(line: _Line, field: str) -> object:
    if field in BY_TAG:
        return _value(line, BY_TAG[field].tag)
    if line.parts and field not in _OF_ALL:
        return ",".join(str(_cell(part, field)) for part in line.parts)
    if field in _COLUMNS:
        return _COLUMNS[field][1](line)
    return _parameters(line).get(field.removeprefix(_PARAMETER), "")


def _value(line: _Line, tag: str) -> object:
    if tag not in line.metrics:
        return ""
    whole = _rounded(tag, line.metrics[tag])
    own = [_rounded(tag, part.metrics[tag]) for part in line.parts if tag in part.metrics]
    if not own or not is_of_requests(tag):
        return whole
    return f"{whole}, [{','.join(map(str, own))}]"


def _config_path(line: _Line) -> str:
    """Name a configuration; of a pipeline also those of the models behind it."""
    every = {} if line.row is None or line.parts else shown(line.row.settings)
    behind = [str(own["variant"]) for name, own in every.items() if name != line.model]
    return f"{line.variant}: {', '.join(behind)}" if behind else line.variant


def _parameters(line: _Line) -> Mapping[str, str]:
    """Return a configuration's own parameters."""
    if line.row is None or not line.row.config:
        return {}
    return convert.loads(line.row.config, line.variant).parameters


def _of_row(found: Callable[[Row], Any]) -> Callable[[_Line], Any]:
    return lambda line: "" if line.row is None else found(line.row)


def _setting(name: str) -> Callable[[_Line], Any]:
    return _of_row(lambda row: row.settings.get(name) or "")


def _level(row: Row, *, is_open: bool) -> int | float | str:
    if row.load.is_open is not is_open:
        return ""
    return int(row.load.level) if row.load.level.is_integer() else row.load.level


#: columns that are no metric, by Model Analyzer's keys: header, and what fills them
_COLUMNS: Mapping[str, tuple[str, Callable[[_Line], Any]]] = {
    "model_name": ("Model", lambda line: line.model),
    "gpu_uuid": ("GPU UUID", lambda line: line.uuid),
    "batch_size": ("Batch", _of_row(lambda row: row.load.batch_size)),
    _CONCURRENCY: ("Concurrency", _of_row(lambda row: _level(row, is_open=False))),
    _RATE: ("Request Rate", _of_row(lambda row: _level(row, is_open=True))),
    "model_config_path": ("Model Config Path", _config_path),
    "instance_group": ("Instance Group", _of_row(instance_group)),
    "max_batch_size": (
        "Max Batch Size", _of_row(lambda row: row.settings.get("max_batch_size", "")),
    ),
    "satisfies_constraints": ("Satisfies Constraints", lambda line: line.satisfies),
    **{
        name: (name.title(), _setting(name)) for name in _RUN_BY
    },
}  # fmt: skip


def _rounded(tag: str, value: float) -> float:
    """Round as Model Analyzer does; a price, which it does not know, may be less than a tenth."""
    return float(f"{value:.4g}") if tag == COST else round(value, 1)
