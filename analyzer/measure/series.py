"""What was seen over time, in few points, as a row of the journal keeps it. Pure.

The form, plain JSON; every list is as long as ``t``, and null stands where nothing was seen::

    t        seconds since the first glimpse, the middle of each point
    window   [from, to], the seconds that count in the measurement
    cpu      cores that the server kept busy
    others   cores that others kept busy
    ram      MB that the server's processes used
    gpus     {uuid: {utilization (%), memory (MB), power (W), temperature, sm_clock (MHz)}}

A list that has nothing but nulls is left out. Longer runs are cut into ``MOST`` pieces of equal
length; a point is the mean of its piece, of memory the greatest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from analyzer.measure.glimpse import Glimpse, Seen
from engine.nvml import GpuLook

MOST = 200
_DIGITS = 4

Value = float | None
Fold = Callable[[list[float]], float]


def series(seen: Seen, started_ns: int, ended_ns: int) -> Mapping[str, Any]:
    """Say what was seen over time; {} of fewer than two glimpses."""
    glimpses = seen.glimpses
    if len(glimpses) < 2:  # noqa: PLR2004 - there is no time without two
        return {}
    first, last = glimpses[0].at_ns, glimpses[-1].at_ns
    pieces = _pieces(glimpses, first, last)
    plain: dict[str, Any] = {
        "t": [_seconds(sum(one.at_ns - first for one in piece) / len(piece)) for piece in pieces],
        "window": [_seconds(at - first) for at in (started_ns, ended_ns)],
    }
    rates = _rates(glimpses, lambda glimpse: glimpse.cpu_seconds)
    others = _rates(glimpses, lambda glimpse: glimpse.others_seconds)
    columns: dict[str, list[Value]] = {
        "cpu": _column(pieces, lambda one: rates.get(one.at_ns), _mean),
        "others": _column(pieces, lambda one: others.get(one.at_ns), _mean),
        "ram": _column(pieces, lambda one: _mb(one.ram_bytes), max),
    }
    plain |= _known(columns)
    gpus = {gpu.uuid: _gpu(pieces, gpu.uuid) for gpu in seen.gpus}
    if any(gpus.values()):
        plain["gpus"] = {uuid: columns for uuid, columns in gpus.items() if columns}
    return plain


def _gpu(pieces: Sequence[Sequence[Glimpse]], uuid: str) -> dict[str, list[Value]]:
    def column(read: Callable[[GpuLook], Value], fold: Fold) -> list[Value]:
        def of(glimpse: Glimpse) -> Value:
            return next((read(look) for look in glimpse.gpus if look.uuid == uuid), None)

        return _column(pieces, of, fold)

    return _known({
        "utilization": column(lambda look: _times(look.utilization, 100), _mean),
        "memory": column(lambda look: _mb(look.used_bytes), max),
        "power": column(lambda look: look.power_watts, _mean),
        "temperature": column(lambda look: look.temperature_c, max),
        "sm_clock": column(lambda look: look.sm_mhz, _mean),
    })  # fmt: skip


def _pieces(glimpses: Sequence[Glimpse], first: int, last: int) -> list[list[Glimpse]]:
    """Cut them into at most ``MOST`` pieces of equal length, without those that are empty."""
    if len(glimpses) <= MOST:
        return [[one] for one in glimpses]
    pieces: list[list[Glimpse]] = [[] for _ in range(MOST)]
    for one in glimpses:
        place = (one.at_ns - first) * MOST // max(1, last - first)
        pieces[min(MOST - 1, place)].append(one)
    return [piece for piece in pieces if piece]


def _rates(glimpses: Sequence[Glimpse], counter: Callable[[Glimpse], Value]) -> dict[int, float]:
    """How fast a counter grew up to each glimpse, by its moment."""
    known = [(one.at_ns, value) for one in glimpses if (value := counter(one)) is not None]
    return {
        at: max(0.0, value - before) / ((at - earlier) / 1e9)
        for (earlier, before), (at, value) in pairwise(known)
        if at > earlier
    }


def _column(
    pieces: Sequence[Sequence[Glimpse]], read: Callable[[Glimpse], Value], fold: Fold
) -> list[Value]:
    column: list[Value] = []
    for piece in pieces:
        known = [value for one in piece if (value := read(one)) is not None]
        column.append(_digits(fold(known)) if known else None)
    return column


def _known(columns: Mapping[str, list[Value]]) -> dict[str, list[Value]]:
    return {
        name: column
        for name, column in columns.items()
        if any(value is not None for value in column)
    }


def _seconds(ns: float) -> float:
    return round(ns / 1e9, 3)


def _digits(value: float) -> float:
    """Keep as many digits as a chart can show."""
    if not value or not math.isfinite(value):
        return 0.0
    return round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def _mb(size: int | None) -> Value:
    return None if size is None else size / 1e6


def _times(value: Value, factor: float) -> Value:
    return None if value is None else value * factor


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
