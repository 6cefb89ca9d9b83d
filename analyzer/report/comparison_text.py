"""A comparison as CSV, JSON and Markdown. Pure.

The JSON form, schema 1; what is not known is null::

    schema, goal, headline, sentence, notes [text]
    runs          [{name, model, run, started_at, hardware, chosen (the variant), settings,
                  load {concurrency, request_rate, batch_size}, metrics {tag: value},
                  gain {percent, low, high} over its own default, measurements, failures,
                  reproduce}]
    differences   [{kind: hardware|system|software|model|measurement, fact, values {run: text}}]
    changes       of the choices against the first run's: [{run, metrics [CHANGE]}]
    shared        what the first run and another both measured: [{run, variant, load,
                  metrics [CHANGE]}]

A CHANGE is {tag, unit, before, after, percent, low, high, counts, proven, good, method}: in per
cent, and its 95 % interval. The CSV has the same numbers, one line for each metric of what was
compared.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from analyzer.metrics import BY_TAG
from analyzer.record.row import LoadSpec
from analyzer.report import wording
from analyzer.report.changes import Change, at_best, reached, shared
from analyzer.report.columns import Table
from analyzer.report.comparison import Comparison, Run
from analyzer.report.comparison_tables import tags_of
from analyzer.report.evidence import P99, THROUGHPUT

SCHEMA = 1
_COLUMNS = (
    "What",
    "Run",
    "Against",
    "Model Config Path",
    "Load",
    "Metric",
    "Unit",
    "Before",
    "After",
    "Change (%)",
    "95% Low (%)",
    "95% High (%)",
    "Proven",
    "Method",
)
_SHARED = (THROUGHPUT, P99)


def as_json(page: Comparison) -> str:
    """Spell the comparison as JSON, with a line end."""
    first = page.runs[0]
    plain = {
        "schema": SCHEMA,
        "goal": page.goal,
        "headline": page.headline,
        "sentence": page.sentence,
        "notes": list(page.bullets),
        "runs": [_run(run) for run in page.runs],
        "differences": [
            {
                "kind": each.kind,
                "fact": each.fact,
                "values": dict(zip(page.names, each.values, strict=True)),
            }
            for each in page.differences
        ],
        "changes": [
            {"run": run.name, "metrics": [_change(each) for each in found]}
            for run, found in zip(page.runs[1:], page.changes, strict=True)
        ],
        "shared": [
            {
                "run": run.name,
                "variant": one.before[0].variant,
                "load": _load(one.before[0].load),
                "metrics": [
                    _change(each) for tag in _SHARED if (each := one.change(tag)) is not None
                ],
            }
            for run in _alike(page.runs)
            for one in shared(first.evidence, run.evidence)
        ],
    }
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def as_csv(page: Comparison) -> str:
    """Spell what changed as CSV: the choices first, then what both measured."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_lines(page))
    return text.getvalue()


def as_markdown(page: Comparison) -> str:
    """Spell the comparison for a pull request or a chat."""
    parts = [f"## {page.headline}", page.sentence]
    parts += ["\n".join(f"- {each}" for each in page.bullets)] * bool(page.bullets)
    parts.append(_table(page.sides))
    if page.facts:
        parts += ["### What differs besides the numbers", _table(page.facts)]
    if page.shared:
        parts += ["### What both measured", _table(page.shared)]
    commands = [f"- {name}: `{command}`" for name, command in page.commands]
    if commands:
        parts += ["### Measure again", "\n".join(commands)]
    return "\n\n".join(parts) + "\n"


def _run(run: Run) -> dict[str, Any]:
    one = run.evidence
    gain = None if one.gain is None else {
        "percent": one.gain.percent, "low": one.gain.low, "high": one.gain.high
    }  # fmt: skip
    return {
        "name": run.name,
        "model": one.model,
        "run": one.head.run,
        "started_at": one.head.started_at,
        "hardware": wording.hardware(one.head.machine),
        "chosen": None if one.chosen is None else one.chosen.variant,
        "settings": None if one.chosen is None else dict(one.chosen.best.settings),
        "load": None if one.chosen is None else _load(one.chosen.best.load),
        "metrics": {
            tag: value for tag in tags_of([one]) if (value := reached(one, tag)) is not None
        },
        "gain": gain,
        "measurements": len(one.measured),
        "failures": len(one.failed),
        "reproduce": run.reproduce,
    }


def _load(load: LoadSpec) -> dict[str, float | None]:
    return {
        "concurrency": None if load.is_open else load.concurrency,
        "request_rate": load.request_rate if load.is_open else None,
        "batch_size": load.batch_size,
    }


def _change(found: Change) -> dict[str, Any]:
    return {
        "tag": found.tag,
        "unit": BY_TAG[found.tag].unit,
        "before": found.before,
        "after": found.after,
        "percent": found.percent,
        "low": found.low,
        "high": found.high,
        "counts": list(found.counts),
        "proven": found.proven,
        "good": found.good,
        "method": found.method,
    }


def _alike(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the first one's model, without it."""
    return [run for run in runs[1:] if run.evidence.model == runs[0].evidence.model]


def _lines(page: Comparison) -> Iterator[Sequence[object]]:
    first = page.runs[0]
    for run, found in zip(page.runs[1:], page.changes, strict=True):
        chosen = at_best(run.evidence)
        for each in found:
            place = (chosen[0].variant, wording.load(chosen[0])) if chosen else ("", "")
            yield ("chosen", run.name, first.name, *place, *_values(each))
    for run in _alike(page.runs):
        for one in shared(first.evidence, run.evidence):
            row = one.before[0]
            for tag in _SHARED:
                if (changed := one.change(tag)) is not None:
                    place = (row.variant, wording.load(row))
                    yield ("same", run.name, first.name, *place, *_values(changed))


def _values(found: Change) -> tuple[object, ...]:
    return (
        found.tag,
        BY_TAG[found.tag].unit,
        f"{found.before:.6g}",
        f"{found.after:.6g}",
        f"{found.percent:.2f}",
        "" if found.low is None else f"{found.low:.2f}",
        "" if found.high is None else f"{found.high:.2f}",
        "yes" if found.proven else "no",
        found.method,
    )


def _table(table: Table) -> str:
    """Spell a table as Markdown has it; a bar in a cell must not end it."""
    heads = [f"{each.title} ({each.unit})" if each.unit else each.title for each in table.columns]
    lines = [heads, ["---:" if each.numeric else "---" for each in table.columns]]
    lines += [[cell.text for cell in line.cells] for line in table.lines]
    return "\n".join(f"| {' | '.join(map(_escaped, cells))} |" for cells in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


FORMS: Mapping[str, Callable[[Comparison], str]] = {
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
