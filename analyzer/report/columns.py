"""What tables are made of: cells, columns, and the columns that several tables share. Pure.

A cell carries its text and what it sorts by; a column that no line has a value for is left out, so
a machine without a GPU has no empty GPU columns. Does not own what any one table holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.metrics import BY_TAG
from analyzer.record.row import LoadSpec, Phase, Row
from analyzer.report import wording

PHASES = {
    Phase.SEARCH: "search",
    Phase.ABREAST: "check of GPUs",
    Phase.CURVE: "load curve",
    Phase.VERIFY: "verification",
    Phase.GOODPUT: "goodput",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, what it sorts by (None: nothing known, always last), and marks beside it."""

    text: str
    order: float | str | None = None
    marks: tuple[str, ...] = ()

    @property
    def key(self) -> float | str | None:
        """What it sorts by where the text does not say it; None: the text does."""
        if isinstance(self.order, str):
            return self.order if self.marks or self.order != self.text else None
        plain = not self.marks and _is_number(self.text.replace(",", ""))
        return None if plain else self.order


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, its unit, whether it holds numbers, and whether texts that may be broken."""

    title: str
    unit: str = ""
    numeric: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Cells in the order of the columns; ``role`` is best, default or other."""

    cells: tuple[Cell, ...]
    role: str


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and lines; false where it has no line."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]

    def __bool__(self) -> bool:
        return bool(self.lines)


Strip = tuple[Column, list[Cell]]
EMPTY = Cell(wording.NONE)


def loads(rows: Sequence[Row]) -> Strip:
    """Return the column of the loads: concurrency or request rate, and rows a request if any."""
    wide = any(row.load.batch_size != 1 for row in rows)
    kinds = {row.load.is_open for row in rows}
    title = "Load" if len(kinds) > 1 else "Request rate" if True in kinds else "Concurrency"

    def said(load: LoadSpec) -> str:
        level = wording.level(load) if len(kinds) > 1 else f"{load.level:,g}"
        return f"{level} x {load.batch_size}" if wide else level

    return (
        Column(f"{title} x batch" if wide else title, "1/s" * (kinds == {True}), numeric=True),
        [Cell(said(row.load), row.load.level * row.load.batch_size) for row in rows],
    )


def metrics(rows: Sequence[Row], tags: Sequence[str]) -> list[Strip]:
    """Return a column for each metric."""
    strips = []
    for tag in tags:
        values = [row.metrics.get(tag) for row in rows]
        places = wording.decimals(value for value in values if value is not None)
        metric = BY_TAG[tag]
        strips.append(
            (
                Column(metric.title, metric.unit, numeric=True),
                [Cell(wording.number(value, places), value) for value in values],
            )
        )
    return strips


def percent(value: float | None) -> Cell:
    """Return a cell of a change in per cent."""
    return EMPTY if value is None else Cell(wording.percent(value, signed=True), value)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()


def table(strips: Sequence[Strip], roles: Sequence[str]) -> Table:
    """Turn columns into lines, without the columns that say nothing."""
    kept = [(column, cells) for column, cells in strips if any(cell != EMPTY for cell in cells)]
    lines = zip(*(cells for _, cells in kept), strict=True)
    return Table(
        tuple(column for column, _ in kept),
        tuple(Line(cells, role) for cells, role in zip(lines, roles, strict=bool(kept))),
    )
