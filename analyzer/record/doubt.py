"""Why a row is not stable, in words: how far its intervals reach, and what was asked for. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analyzer.record.row import Row

#: what the load client says of a measurement that it ended because another is faster
STOPPED = "stopped:"


def doubt(row: Row) -> str:
    """Say it: ``throughput +-7%, wider than the 5% asked for``; "" of what is stable, or failed."""
    if row.stable or row.failure is not None:
        return ""
    if any(remark.startswith(STOPPED) for remark in row.remarks):
        return "clearly slower than the best"
    if row.load.rule == "windows":
        return f"its windows differ by more than {_percent(row.load.tolerance)}"
    return _precision(row) if row.load.rule == "precision" else "stopped before all was sent"


def _precision(row: Row) -> str:
    found = next(_wide(row), None)
    if found is None:
        return "as precise as asked for only at the end"
    name, share, asked = found
    if math.isinf(share):
        return f"{name} not bounded yet, where +-{_percent(asked)} was asked for"
    return f"{name} +-{_percent(share)}, wider than the {_percent(asked)} asked for"


def mark(row: Row) -> str:
    """Say it in a word or two, to stand beside a name."""
    if not doubt(row):
        return ""
    _, share, _ = next(_wide(row), ("", math.inf, 0.0))
    return (
        "unstable" if math.isinf(share) or row.load.rule != "precision" else f"±{_percent(share)}"
    )


def _wide(row: Row) -> Iterator[tuple[str, float, float]]:
    """Yield what is less sure than asked for: its name, half of its interval, and what was asked.

    The latter two are shares of the value.
    """
    load = row.load
    latency = ("mean latency", "perf_latency_avg")
    if load.percentile:
        latency = (f"p{load.percentile}", f"perf_latency_p{load.percentile}")
    for (name, tag), asked in (
        (("throughput", "perf_throughput"), load.throughput_precision),
        (latency, load.latency_precision),
    ):
        found = row.estimates.get(tag)
        if found is not None and found.relative > asked:
            yield name, found.relative, asked


def _percent(share: float) -> str:
    """Spell a share to two digits."""
    return f"{100 * share:.2g}%" if share < 1 else f"{100 * share:.0f}%"
