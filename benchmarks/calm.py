"""Recorded surfaces as a calm machine would show them: what is luck in them, taken out and put in.

Where repetitions are 10 % apart, no search of thirty measurements can tell what is 2 % better, and
none is told from another: all that such a surface shows is its own noise. So a point's throughput,
latencies and memory are those that all repetitions and the whole grid agree on
(``analyzer.surface.truth``), and each repetition differs from them by as much as measurements of a
calm machine differ (``scripts/bench repeat``): by launch, by measurement, and p99 by more; or by so
many times that, which shows how much noise a search bears. What the servers said of themselves, and
what everything took, stays as it was recorded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median_high

from analyzer.record.row import Row
from analyzer.space import Candidate
from analyzer.statistics.estimate import Estimate
from analyzer.surface import stored
from analyzer.surface.stored import Surface
from benchmarks.simulated import LAUNCH_LUCK, LUCK, REPETITIONS, TAIL_LUCK

#: what is taken for the noise where nothing was measured twice
UNKNOWN = 0.12
_RATE, _TAIL, _MEMORY = "perf_throughput", "perf_latency_p99", "cpu_used_ram"
_LATENCIES = ("perf_latency_avg", "perf_latency_p50", "perf_latency_p90", "perf_latency_p95", _TAIL)


@cache
def calm(path: Path, times: float = 1.0) -> Surface:
    """Read a surface, and make it what a machine of so many times a calm one's noise records."""
    surface = stored.read(path)
    smooth = {tag: surface.estimates(tag, UNKNOWN).values for tag in (_RATE, *_LATENCIES, _MEMORY)}
    rows: dict[Candidate, dict[int, Row]] = {}
    for point in surface.truths:
        usual = _usual(surface.rows[point])
        truth = {tag: values[point] for tag, values in smooth.items() if point in values}
        setting = surface.grid.split(point)[0]
        rows[point] = {
            number: _taken(usual, truth, f"{surface.name} {setting} {number}", str(point), times)
            for number in range(REPETITIONS)
        }
    for point, taken in surface.rows.items():
        # What failed there fails here.
        rows.setdefault(point, dict(taken))
    launches = {
        setting: {number: median_high(known.values()) for number in range(REPETITIONS)}
        for setting, known in surface.launches.items()
    }
    return replace(surface, rows=rows, launches=launches)


def _usual(taken: Mapping[int, Row]) -> Row:
    """Return the repetition of the middle throughput: for all that is left as it was."""
    good = sorted(
        (row for row in taken.values() if row.failure is None),
        key=lambda row: row.metrics.get(_RATE, 0.0),
    )
    return good[len(good) // 2]


def _taken(usual: Row, truth: Mapping[str, float], launch: str, point: str, times: float) -> Row:
    """Return a row as one measurement of a machine with so much noise has it."""
    luck, tail_luck = times * LUCK, times * TAIL_LUCK
    speed = math.exp(
        random.Random(launch).gauss(0, times * LAUNCH_LUCK)  # noqa: S311 - no secret
        + (dice := random.Random(f"{launch} {point}")).gauss(0, luck)  # noqa: S311 - no secret
    )
    tail = math.exp(dice.gauss(0, tail_luck))
    metrics = dict(usual.metrics)
    for tag, value in truth.items():
        if tag == _RATE:
            metrics[tag] = value * speed
        elif tag in _LATENCIES:
            metrics[tag] = value / speed * (tail if tag == _TAIL else 1.0)
        else:
            metrics[tag] = value
    widths = {_RATE: luck, "perf_latency_avg": luck, _TAIL: tail_luck}
    estimates = {
        tag: Estimate(
            value=metrics[tag], low=metrics[tag] * (1 - 2 * width),
            high=metrics[tag] * (1 + 2 * width), n=usual.requests,
            effective_n=usual.requests / 2,
        )
        for tag, width in widths.items() if tag in metrics
    }  # fmt: skip
    return replace(usual, metrics=metrics, estimates=estimates)
