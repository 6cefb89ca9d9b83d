"""Made rows with what only a configuration's own page and the comparison of runs show.

``full_rows`` gives the rows of ``rows`` what reports rank and draw; here come all latencies,
remarks, reasons, and another speed. Everything is a function of its arguments.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.record.row import LoadSpec, Phase, Row, RunHead
from analyzer.statistics.histogram import Histogram
from support import full_rows
from support import rows as made

REMARK = "other programs used 0.6 of 2 cores meanwhile: the numbers are worse than on an idle one"
REASON = "this machine shows no energy counters of its processors"


def sweep(*, gpu: bool = True, seed: int = 0, faster: float = 1.0) -> tuple[Row, ...]:
    """Make a whole sweep of ResNet-50 whose server is so many times faster than ``rows``'."""
    rows = made.resnet50(gpu=gpu, seed=seed)
    random = np.random.default_rng(seed)
    hastened = full_rows.in_full([_hastened(row, faster) for row in rows])
    return tuple(_filled(row, random) for row in hastened)


def head(run: str = "20250301-101500-4f2a", **machine: Any) -> RunHead:
    """Make the first line of its journal; ``machine`` are facts that take other values."""
    first = made.head(machine={**made.GPU_MACHINE, **machine})
    return replace(first, run=run, options={**first.options, "model_digest": "5e1f"})


def _hastened(row: Row, faster: float) -> Row:
    if row.failure is not None:
        return row
    metrics = {
        tag: value * faster if tag == "perf_throughput"
        else value / faster if tag.startswith("perf_") else value
        for tag, value in row.metrics.items()
    }  # fmt: skip
    rates = tuple(rate * faster for rate in row.window_rates)
    return replace(row, metrics=metrics, window_rates=rates)


def _filled(row: Row, random: np.random.Generator) -> Row:
    if row.failure is not None:
        return row
    load = LoadSpec(
        concurrency=row.load.concurrency, rule="precision", percentile=0,
        throughput_precision=0.05, latency_precision=0.1, min_seconds=2.0, max_seconds=6.0,
    )  # fmt: skip
    searched = row.trial.phase is Phase.SEARCH
    return replace(
        row,
        trial=row.trial if searched else replace(row.trial, why=None),
        load=load,
        histogram=_histogram(row, random).text,
        remarks=(REMARK,) if row.number % 7 == 3 else (),
        absent={"cpu_power_usage": REASON},
        runtime={"runtime": "onnxruntime 1.22.0", "providers": "CUDAExecutionProvider"},
    )


def _histogram(row: Row, random: np.random.Generator) -> Histogram:
    """Latencies about the mean, with a tail that reaches the p99."""
    average, p99 = row.metrics["perf_latency_avg"], row.metrics["perf_latency_p99"]
    spread = np.log(p99 / average) / 2.33
    values = average * np.exp(random.normal(0.0, spread, 2000))
    return Histogram.of(np.asarray(values * 1e6, np.int64))
