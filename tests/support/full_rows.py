"""Made rows with all that a journal of today keeps: series, batches, intervals, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from analyzer.metrics import BatchTimes, ServerTimes, plain
from analyzer.record.row import Phase, Row, Why
from analyzer.statistics.estimate import Estimate
from support import rows as made

_GLIMPSES = 150
_STEP, _BEGIN, _END = 0.2, 2.0, 28.0


def in_full(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Give the measured of the rows what a measurement of today has."""
    return tuple(row if row.failure is not None else _full(row) for row in rows)


def resnet50(*, gpu: bool = False) -> tuple[Row, ...]:
    """Make the whole sweep of ``rows.resnet50``, in full."""
    return in_full(made.resnet50(gpu=gpu))


def large(count: int, seed: int = 0) -> tuple[Row, ...]:
    """Make a sweep on a GPU of so many measurements, ten to a configuration, in full."""
    draw = Random(seed)
    sweep = made.Sweep(gpu=True, seed=seed)
    default = sweep.variant(None, batch=32)
    sweep.measure(default, (1, 2, 4, 8, 16, 32, 64))
    number = 0
    while len(sweep.rows) < count - 3:
        settings = {
            "instances": draw.randint(1, 8),
            "batch": draw.choice((1, 2, 4, 8, 16, 32, 64, 128)),
            "delay": draw.choice((-1, 0, 100, 500, 2000)),
            "threads": draw.choice((1, 2, 4)),
        }
        levels = [2**power for power in range(10)][: count - 3 - len(sweep.rows)]
        sweep.measure(sweep.variant(number, **settings), levels)
        number += 1
    for repetition in range(3):
        sweep.measure(default, (64,), Phase.VERIFY, repetition=repetition)
    return in_full(sweep.rows[:count])


def _full(row: Row) -> Row:
    rate, p99 = row.metrics["perf_throughput"], row.metrics["perf_latency_p99"]
    size = max(1, round(row.metrics["server_batch_size"]))
    alone, together = BatchTimes(batch_size=1, **_TIMES), BatchTimes(batch_size=size, **_TIMES)
    sizes = (alone,) if size == 1 else (alone, together)
    server = ServerTimes(
        requests=row.requests,
        inferences=row.requests,
        executions=20,
        request_ns=1e6 * row.metrics["perf_latency_avg"],
        queue_ns=1e6 * row.metrics["perf_server_queue"],
        compute_input_ns=7e4,
        compute_infer_ns=1e6 * row.metrics["perf_server_compute_infer"],
        compute_output_ns=5e4,
        batches=sizes,
    )
    estimates = {
        "perf_throughput": Estimate(value=rate, low=0.98 * rate, high=1.02 * rate, n=row.requests),
        "perf_latency_p99": Estimate(value=p99, low=0.9 * p99, high=1.2 * p99, n=row.requests),
    }
    wobble = Random(row.number)
    expected = {"perf_throughput": rate * wobble.uniform(0.9, 1.1), "perf_latency_p99": 1.2 * p99}
    why = Why("a step from the best so far: one more instance", expected)
    return replace(
        row,
        server=plain(server),
        series=_series(row, wobble),
        estimates=estimates,
        trial=replace(row.trial, why=why),
    )


_TIMES: dict[str, Any] = {
    "executions": 10,
    "compute_input_ns": 7e4,
    "compute_infer_ns": 1.5e7,
    "compute_output_ns": 5e4,
}


def _series(row: Row, wobble: Random) -> dict[str, Any]:
    def around(value: float) -> list[float]:
        return [round(value * wobble.uniform(0.97, 1.03), 3) for _ in range(_GLIMPSES)]

    found: dict[str, Any] = {
        "t": [round(_STEP * at, 3) for at in range(_GLIMPSES)],
        "window": [_BEGIN, _END],
        "cpu": [None, *around(row.metrics["cpu_utilization"] / 100)[1:]],
        "ram": around(row.metrics["cpu_used_ram"]),
    }
    if row.gpus:
        found["gpus"] = {
            uuid: {
                "utilization": around(own["gpu_utilization"]),
                "memory": around(own["gpu_used_memory"]),
                "power": around(own["gpu_power_usage"]),
            }
            for uuid, own in row.gpus.items()
        }
    return found
