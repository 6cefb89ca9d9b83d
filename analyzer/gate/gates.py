"""How gates are spelled, both ways. Pure.

``perf_throughput:-5%``
    relative to the baseline: it may fall by 5 %. ``:0%`` bears nothing.
``perf_latency_p99<=15ms@rate=400``
    absolute, at a request rate; ``@concurrency=8`` at so many in flight; without either, under the
    check's own load. A number without a unit is in the metric's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from analyzer.errors import UsageError
from analyzer.gate.quantities import quantity
from analyzer.gate.values import Gate, Kind, Quantity
from analyzer.metrics import Direction

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RELATIVE = re.compile(rf"\s*(?P<name>[^\s:<>=@]+(?:::[^\s:<>=@]+)?)\s*:\s*(?P<n>{_NUMBER})\s*%\s*")
_BOUND = re.compile(
    rf"\s*(?P<name>[^\s:<>=@]+(?:::[^\s:<>=@]+)?)\s*(?P<op><=|>=)\s*(?P<n>{_NUMBER})\s*"
    r"(?P<unit>[A-Za-z%/]*)\s*(?:@\s*(?P<load>rate|concurrency)\s*=\s*"
    rf"(?P<level>{_NUMBER})\s*(?P<per>/s)?\s*)?"
)
#: what a number with this unit is in the metric's: by the metric's unit
_SCALES: Mapping[str, Mapping[str, float]] = {
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "MB": {"B": 1e-6, "KB": 1e-3, "MB": 1.0, "GB": 1e3, "MiB": 1.048576, "GiB": 1073.741824},
    "infer/sec": {"infer/sec": 1.0, "/s": 1.0},
    "bytes": {"B": 1.0, "bytes": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9},
}


def parse(text: str) -> Gate:
    """Read one gate.

    Raises:
        UsageError: it is none, in words that say what one looks like.
    """
    if found := _RELATIVE.fullmatch(text):
        return Gate(quantity=quantity(found["name"]), change=float(found["n"]) / 100)
    if found := _BOUND.fullmatch(text):
        of = quantity(found["name"])
        _facing(of, found["op"])
        level = None if found["level"] is None else float(found["level"])
        at_rate = found["load"] == "rate"
        if level is not None and not at_rate and (level < 1 or level % 1):
            raise UsageError(f"gate {text!r}: a concurrency is a whole number from 1 on")
        gate = Gate(
            quantity=of,
            bound=float(found["n"]) * _scale(of, found["unit"]),
            rate=level if at_rate else None,
            concurrency=None if level is None or at_rate else int(level),
        )
        if gate.kind is Kind.SLO and of.percentile is None:
            raise UsageError(
                f"gate {text!r}: at a rate, a limit is one of a percentile of latency, such as "
                "perf_latency_p99<=15ms@rate=400"
            )
        return gate
    raise UsageError(
        f"{text!r} is no gate: write metric:change, such as perf_throughput:-5%, or metric and "
        "limit, such as perf_latency_p99<=15ms@rate=400"
    )


def spelled(gate: Gate) -> str:
    """Write a gate so that ``parse`` reads the same."""
    tag, unit = gate.quantity.tag, gate.quantity.unit
    if gate.change is not None:
        return f"{tag}:{gate.change * 100:+.12g}%"
    assert gate.bound is not None
    op = ">=" if gate.quantity.direction is Direction.MORE else "<="
    known = unit if unit in _SCALES or unit == "%" else ""
    load = ""
    if gate.rate is not None:
        load = f"@rate={gate.rate!r}"
    elif gate.concurrency is not None:
        load = f"@concurrency={gate.concurrency}"
    return f"{tag}{op}{gate.bound!r}{known}{load}"


def _facing(of: Quantity, op: str) -> None:
    wanted = ">=" if of.direction is Direction.MORE else "<="
    if op != wanted:
        better = "more" if of.direction is Direction.MORE else "less"
        raise UsageError(
            f"a gate bounds {of.tag} from its worse side, and {better} of it is better: write "
            f"{of.tag}{wanted}..."
        )


def _scale(of: Quantity, unit: str) -> float:
    scales = _SCALES.get(of.unit, {of.unit: 1.0})
    if not unit:
        return 1.0
    if unit not in scales:
        raise UsageError(f"{of.tag} is in {of.unit}: a limit of it has no unit {unit!r}")
    return scales[unit]
