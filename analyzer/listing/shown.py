"""Tables on a terminal, as JSON, and as CSV.

Owns how a record's values are spelt there. On a terminal a table is as wide as that: columns that
have no room are left out, the last first, and it says so; elsewhere lines are as long as they are.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzer.listing.lists import TITLES, Listed, Name
from analyzer.metrics import BY_TAG
from analyzer.report import wording
from analyzer.report.evidence import Evidence
from analyzer.report.flat import Column, Kind, Record
from analyzer.report.verdict import judge

CHOSEN, UNSURE = "*", "?"
#: columns between the cells of two columns
_GAP = 1
#: what a long text may be broken to
_NARROWEST = 24
_REASON = "failure_message"


def as_text(console: Console, evidence: Evidence, every: Sequence[Listed]) -> None:
    """Print the verdict, and the tables below it; a table without records is left out."""
    verdict = judge(evidence)
    console.print(Text(f"{evidence.model}: {verdict.headline}", style="bold"))
    console.print(Text(verdict.sentence))
    goal = ", ".join([wording.aim(evidence.goal), *wording.limits(evidence.goal)])
    console.print(Text(f"Goal: {goal}", style="dim"))
    for each in every:
        if each.records:
            _print(console, evidence, each)
        elif each.whole:
            console.print(Text(f"\n{TITLES[each.name]}: none of {each.whole} is as asked for"))


def as_json(evidence: Evidence, every: Sequence[Listed]) -> str:
    """Return the tables by name, each a list of records."""
    plain: dict[str, Any] = {
        "model": evidence.model,
        "run": evidence.head.run,
        "goal": evidence.goal.describe(),
    }
    for each in every:
        plain[each.name.value] = [
            {column.name: record[column.name] for column in each.columns} for record in each.records
        ]
    return json.dumps(plain, indent=2)


def as_csv(table: Listed) -> str:
    """Return one table, headed by the names of its columns."""
    sink = StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([each.name for each in table.columns])
    for record in table.records:
        values = [record[each.name] for each in table.columns]
        writer.writerow(["" if value is None else value for value in values])
    return sink.getvalue()


def _print(console: Console, evidence: Evidence, table: Listed) -> None:
    cells = {each.name: _cells(evidence, table, each) for each in table.columns}
    shown = list(table.columns)
    narrow = console.is_terminal and not table.fixed
    while narrow and len(shown) > 1 and _total(_least(shown, cells)) > console.width:
        shown.pop()
    widths = _whole(shown, cells)
    if narrow:
        widths = _fitted(_least(shown, cells), widths, console.width)
    title = TITLES[table.name]
    if len(table.records) < table.whole:
        title += f" ({len(table.records)} of {table.whole})"
    console.print()
    console.print(Text(title, style="bold"))
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False)
    if _total(widths) > console.width:
        # Lines are as long as they are: whoever reads them elsewhere breaks none.
        grid.width = _total(widths)
    for each, width in zip(shown, widths, strict=True):
        justify: Literal["left", "right"] = "right" if _is_number(each) else "left"
        grid.add_column(Text(_title(each)), justify=justify, width=width, overflow="fold")
    for at, record in enumerate(table.records):
        style = "green" if record["chosen"] else "dim" if record["is_default"] else ""
        grid.add_row(*(Text(cells[each.name][at]) for each in shown), style=style)
    console.print(grid, crop=False, soft_wrap=False)
    _notes(console, table, [each.title for each in table.columns[len(shown) :]])


def _notes(console: Console, table: Listed, left_out: Sequence[str]) -> None:
    if table.name is Name.BEST and any(record["chosen"] for record in table.records):
        console.print(Text(f"{CHOSEN} the configuration to serve", style="dim"))
    if any(map(_is_unsure, table.records)):
        console.print(Text(f"{UNSURE} less precise than was asked for", style="dim"))
    if left_out:
        text = f"Not shown for want of room: {', '.join(left_out)}; name columns by --columns."
        console.print(Text(text, style="dim"))


def _total(widths: Sequence[int]) -> int:
    """Return how wide a table of columns is."""
    return sum(widths) + (_GAP + 1) * (len(widths) - 1)


def _whole(shown: Sequence[Column], cells: Mapping[str, Sequence[str]]) -> list[int]:
    """Return the widths in which nothing is broken."""
    return [max(map(len, (_title(each), *cells[each.name]))) for each in shown]


def _least(shown: Sequence[Column], cells: Mapping[str, Sequence[str]]) -> list[int]:
    """Return how narrow columns may be: a heading may be broken, and a reason; no other value."""
    found = []
    for each in shown:
        longest = max(map(len, cells[each.name]), default=0)
        if each.name == _REASON:
            longest = min(longest, _NARROWEST)
        found.append(max(longest, *(len(word) for word in _title(each).split())))
    return found


def _fitted(least: Sequence[int], whole: Sequence[int], room: int) -> list[int]:
    """Give columns what they want, the first ones first, as far as there is room."""
    spare, found = max(0, room - _total(least)), []
    for low, high in zip(least, whole, strict=True):
        more = min(spare, high - low)
        found.append(low + more)
        spare -= more
    return found


def _title(column: Column) -> str:
    if column.name in BY_TAG:
        return f"{wording.heading(column.name)} ({column.unit})"
    return f"{column.title} ({column.unit})" if column.unit and column.unit != "%" else column.title


def _is_number(column: Column) -> bool:
    return column.kind in {Kind.WHOLE, Kind.NUMBER} or column.name == "load"


def _cells(evidence: Evidence, table: Listed, column: Column) -> list[str]:
    """Spell a column's values."""
    values = [record[column.name] for record in table.records]
    if column.name == "percent":
        return [_percent(record) for record in table.records]
    if column.name == "variant":
        return [_name(evidence, table, record) for record in table.records]
    if column.kind is Kind.NUMBER:
        numbers = [None if value is None else float(value) for value in values]
        places = wording.decimals(value for value in numbers if value is not None)
        return [wording.number(value, places) for value in numbers]
    if column.kind is Kind.TRUTH:
        return [wording.NONE if value is None else "yes" if value else "no" for value in values]
    if column.kind is Kind.WHOLE:
        return [wording.NONE if value is None else f"{value:,}" for value in values]
    return [wording.NONE if value is None else str(value) for value in values]


def _percent(record: Record) -> str:
    value = record["percent"]
    return wording.NONE if value is None else wording.percent(float(value), signed=True)


def _name(evidence: Evidence, table: Listed, record: Record) -> str:
    name = wording.short(str(record["variant"]), evidence.model)
    if table.name is Name.BEST and record["chosen"]:
        name += f" {CHOSEN}"
    return f"{name} {UNSURE}" if _is_unsure(record) else name


def _is_unsure(record: Record) -> bool:
    return record["failure_stage"] is None and not record["stable"]
