"""What each configuration used over time, and its batches: one measurement of each. Pure.

Owns which measurement stands for a configuration, and how much of its series is kept. Does not own
how it is drawn (``timeline_charts``), nor a series' form (``measure.series``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from analyzer.ranking.rank import Standing
from analyzer.record.row import Row
from analyzer.report import wording
from analyzer.report.evidence import Evidence, of

#: so many configurations may be chosen among, and the default with them
MOST = 150
#: so many points of a series are kept
_POINTS = 60

Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity over time: its name in a series, its title and unit, and how GPUs add up."""

    name: str
    title: str
    unit: str
    adds: bool = False


#: the server's own first, then those of the GPUs
OWN = (Channel("cpu", "Processor", "cores"), Channel("ram", "Memory", "MB"))
GPU = (
    Channel("utilization", "GPU use", "%"),
    Channel("memory", "GPU memory", "MB", adds=True),
    Channel("power", "GPU power", "W", adds=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One measurement over time.

    ``at`` are seconds from where it begins to count, ``until`` where it ends; ``values`` are by a
    channel's name, each as long as ``at``, None where nothing was seen. ``batches`` has, for each
    model that batches, which share of its inferences ran in batches of each size.
    """

    label: str
    title: str
    is_default: bool
    at: tuple[float, ...]
    until: float
    values: Mapping[str, Values]
    batches: Mapping[str, Mapping[int, float]]


def timelines(evidence: Evidence) -> tuple[Timeline, ...]:
    """Return each configuration's, the chosen one's first, then the best."""
    ordered = sorted(evidence.standings, key=lambda each: not of(evidence.chosen, each.best))
    every = ordered[:MOST]
    every += [each for each in ordered[MOST:] if each.is_default]
    return tuple(_timeline(evidence, each) for each in every)


def batches(server: Mapping[str, Any], model: str) -> dict[str, dict[int, float]]:
    """Return, of a row's counters, which share of each model's inferences ran in which batches.

    By model, those that an ensemble passes on to as well, then by rising batch size.
    """
    found = {model: _shares(server.get("batches") or ())}
    for name, own in (server.get("composing") or {}).items():
        found |= batches(own, name)
    return {name: shares for name, shares in found.items() if shares}


def _shares(every: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    ran: dict[int, float] = {}
    for one in every:
        size = int(one["batch_size"])
        ran[size] = ran.get(size, 0.0) + size * float(one["executions"])
    whole = sum(ran.values())
    return {size: ran[size] / whole for size in sorted(ran)} if whole else {}


def _timeline(evidence: Evidence, standing: Standing) -> Timeline:
    row = _seen(standing)
    name = wording.short(standing.variant, evidence.model)
    return of_row(
        row,
        label=f"{name} (chosen)" if of(evidence.chosen, row) else name,
        title=f"{name}, {wording.load(row)}",
        is_default=standing.is_default,
    )


def of_row(row: Row, *, label: str, title: str, is_default: bool) -> Timeline:
    """Return what was seen in one measurement, which is called so."""
    seconds = row.series.get("t") or ()
    begin, end = row.series.get("window") or (0.0, 0.0)
    width = -(-len(seconds) // _POINTS) or 1
    columns: dict[str, Sequence[float | None]] = {
        **{channel.name: row.series.get(channel.name) or () for channel in OWN},
        **{channel.name: tuple(_of_gpus(row, channel)) for channel in GPU},
    }
    thinned = {channel: _thinned(column, width) for channel, column in columns.items()}
    return Timeline(
        label=label,
        title=title,
        is_default=is_default,
        at=tuple(round(at - begin, 3) for at in _thinned(seconds, width) if at is not None),
        until=round(end - begin, 3),
        values={
            channel: column
            for channel, column in thinned.items()
            if any(value is not None for value in column)
        },
        batches=_batches(row),
    )


def _seen(standing: Standing) -> Row:
    """Return the measurement to look at: the best, unless only others were watched."""
    watched = (row for row in (standing.best, *reversed(standing.rows)) if row.series.get("t"))
    return next(watched, standing.best)


def _batches(row: Row) -> dict[str, dict[int, float]]:
    found = batches(row.server, row.model)
    for name, own in row.of_models.items():
        found |= batches(own.get("server") or {}, name)
    return found


def _of_gpus(row: Row, channel: Channel) -> Iterator[float | None]:
    """Put the GPUs together, point by point: what adds up is added, else the mean counts."""
    every = [own.get(channel.name) or () for own in (row.series.get("gpus") or {}).values()]
    for point in zip(*(column for column in every if column), strict=False):
        known = [value for value in point if value is not None]
        yield None if not known else sum(known) if channel.adds else fmean(known)


def _thinned(column: Sequence[float | None], width: int) -> Values:
    """Return the means of each ``width`` values."""
    pieces = (column[start : start + width] for start in range(0, len(column), width))
    return tuple(_mean(piece) for piece in pieces)


def _mean(piece: Sequence[float | None]) -> float | None:
    known = [value for value in piece if value is not None]
    return float(f"{fmean(known):.4g}") if known else None
