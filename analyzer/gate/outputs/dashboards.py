"""The candidate's figures in the forms of dashboards that people have already. Pure.

Bencher's metric format (``bencher run --adapter json``), and the two custom forms of
github-action-benchmark, where smaller is better and where bigger is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from analyzer.gate.gates import spelled
from analyzer.gate.outputs.told import Told, finite, interval, percent
from analyzer.gate.values import Finding
from analyzer.metrics import Direction
from analyzer.statistics.estimate import Estimate

#: the files of github-action-benchmark, by which way is better
ACTION_FILES = {Direction.LESS: "smaller-is-better.json", Direction.MORE: "bigger-is-better.json"}


def bencher(told: Told) -> str:
    """Return Bencher's file: a benchmark for each check, a measure for each metric."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for each, one in _measured(told):
        ends = {"lower_value": finite(one.low), "upper_value": finite(one.high)}
        known = {name: end for name, end in ends.items() if end is not None}
        figures = {"value": one.value, **known}
        found.setdefault(each.check, {})[each.metric.replace("_", "-").replace("::", "-")] = figures
    return _spelled(found)


def action_benchmark(told: Told, better: Direction) -> str:
    """Return github-action-benchmark's file of the metrics of which ``better`` is better."""
    found: list[dict[str, Any]] = []
    for each, one in _measured(told):
        if each.direction is not better:
            continue
        entry: dict[str, Any] = {
            "name": f"{each.check}/{each.metric}", "unit": each.unit, "value": one.value,
            "extra": f"{percent(each.change)} {interval(each)}, gate {spelled(each.gate)}",
        }  # fmt: skip
        if (half := finite(one.half_width)) is not None:
            entry["range"] = f"\N{PLUS-MINUS SIGN} {half:.4g}"
        found.append(entry)
    return _spelled(found)


def _measured(told: Told) -> Iterator[tuple[Finding, Estimate]]:
    """Yield each metric of each check once, with the candidate's figures."""
    seen: set[tuple[str, str]] = set()
    for each in told.report.findings:
        key = (each.check, each.metric)
        if each.candidate is not None and finite(each.candidate.value) is not None:
            if key not in seen:
                yield each, each.candidate
            seen.add(key)


def _spelled(found: object) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
