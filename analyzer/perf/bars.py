"""A histogram of latencies for the terminal: block characters over a logarithmic axis. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.statistics.order import nearest

if TYPE_CHECKING:
    import numpy.typing as npt

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ASCII = "#"
#: rows at most, and steps between two powers of ten that make round labels
MOST_ROWS = 14
#: latencies in fewer rows than this say little: the axis is then cut into so many of its own
FEWEST_ROWS, ROWS_WHERE_FINE = 6, 10
_STEPS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0)
_MARKS = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: latencies above the last row's ``up_to_ns`` and not above its own."""

    up_to_ns: float
    count: int
    marks: tuple[str, ...]


def bars_of(latency_ns: npt.NDArray[np.int64]) -> tuple[Bar, ...]:
    """Count latencies in rows whose bounds lie evenly on a logarithmic axis.

    A row is marked with the percentiles that fall into it, and with the largest of all.
    """
    if not len(latency_ns):
        return ()
    ordered = np.sort(latency_ns)
    edges = _edges(max(1, int(ordered[0])), max(1, int(ordered[-1])))
    ends = np.searchsorted(ordered, edges, side="right")
    counts = np.diff(np.concatenate([[0], ends]))
    marked = [(f"p{each}", float(ordered[nearest(len(ordered), each)])) for each in _MARKS]
    marked.append(("max", float(ordered[-1])))
    rows = []
    below = -1.0
    for edge, count in zip(edges, counts, strict=True):
        marks = tuple(name for name, value in marked if below < value <= edge)
        rows.append(Bar(float(edge), int(count), marks))
        below = edge
    return tuple(rows)


def drawn(rows: tuple[Bar, ...], width: int, *, unicode: bool = True) -> list[str]:
    """Draw rows into lines of at most ``width`` cells; a count above 0 is never drawn as none."""
    total = sum(row.count for row in rows)
    most = max((row.count for row in rows), default=0)
    if not most:
        return []
    labels = [spelt_ns(row.up_to_ns) for row in rows]
    label = max(map(len, labels))
    number = len(f"{most:,}")
    notes = [", ".join(row.marks) for row in rows]
    room = max(8, width - label - number - 11 - max(map(len, notes)))
    lines = []
    for row, text, note in zip(rows, labels, notes, strict=True):
        bar, count, share = "", "", ""
        if row.count:
            bar = _bar(row.count / most * room, unicode=unicode)
            count, share = f"{row.count:,}", f"{100 * row.count / total:.1f}%"
        line = f"{text:>{label}} {bar:<{room}} {count:>{number}} {share:>6}  {note}"
        lines.append(line.rstrip())
    return lines


def spelt_ns(ns: float) -> str:
    """Spell a time in the unit that keeps it short: ``640 us``, ``1.25 ms``, ``2 s``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size * 0.9995:
            return f"{float(f'{ns / size:.3g}'):g} {unit}"
    return f"{ns / 1e3:.2g} us"


def _edges(least: int, most: int) -> npt.NDArray[np.float64]:
    """Return round numbers, evenly apart on a logarithmic axis, from ``least`` past ``most``."""
    decades = range(int(np.floor(np.log10(least))), int(np.log10(most)) + 2)
    every = np.array([step * 10.0**decade for decade in decades for step in _STEPS])
    first = int(np.searchsorted(every, least, side="left"))
    last = int(np.searchsorted(every, most, side="left"))
    if last - first < FEWEST_ROWS:
        return _fine(least, most)
    stride = -(-(last - first + 1) // MOST_ROWS)
    picked = every[last::-stride][::-1]
    return picked[picked >= least]


def _fine(least: int, most: int) -> npt.NDArray[np.float64]:
    """Return bounds of equal ratios between two values close together, to three digits."""
    wanted = np.geomspace(least, most, ROWS_WHERE_FINE + 1)[1:]
    digit = 10.0 ** (np.floor(np.log10(wanted)) - 2)
    return np.unique(np.ceil(wanted / digit - 1e-9) * digit)


def _bar(length: float, *, unicode: bool) -> str:
    if not unicode:
        return _ASCII * max(1, round(length))
    eighths = max(1, round(length * 8))
    whole, rest = divmod(eighths, 8)
    return _EIGHTHS[8] * whole + (_EIGHTHS[rest] if rest else "")
