"""Made rows that look like a sweep of ResNet-50: what reports are tried on.

A small queueing model gives throughput and latencies that hang together (throughput times
latency is the concurrency), with seeded noise. Everything is a function of its arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from analyzer.record.row import Failure, LoadSpec, Phase, Row, RunHead, Trial
from analyzer.space import (
    BATCH_SIZE,
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Candidate,
    Value,
)

GPU_UUID = "GPU-8557549f-9c89-4384-8bd6-1fd823c342e0"
CPU_MACHINE: Mapping[str, Any] = {
    "hostname": "bench-7",
    "cpu": "AMD EPYC 9554 64-Core Processor",
    "cores": 2,
    "ram_bytes": 8_243_113_984,
    "os": "Linux 6.6.30 x86_64",
}
GPU_MACHINE: Mapping[str, Any] = {
    **CPU_MACHINE,
    "cores": 16,
    "gpus": [{"name": "NVIDIA H200", "uuid": GPU_UUID, "total_bytes": 150_754_820_096}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One made variant."""

    name: str
    instances: int = 1
    batch: int = 8
    delay: int = -1
    threads: int = 2

    def candidate(self, concurrency: int) -> Candidate:
        load: dict[str, Value] = {CONCURRENCY: concurrency, BATCH_SIZE: 1}
        if self.name.endswith("_config_default"):
            return Candidate.of(**load)
        return Candidate.of(
            **load,
            **{
                INSTANCE_COUNT: self.instances,
                MAX_BATCH_SIZE: self.batch,
                QUEUE_DELAY: self.delay,
                INTRA_OP_THREADS: self.threads,
            },
        )

    def config(self, model: str, kind: str) -> str:
        lines = [
            f'name: "{model}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {self.batch}",
            "instance_group {",
            f"  count: {self.instances}",
            f"  kind: KIND_{kind}",
            "}",
        ]
        if self.delay >= 0:
            lines += [
                "dynamic_batching {",
                f"  max_queue_delay_microseconds: {self.delay}",
                "}",
            ]
        lines += [
            "parameters {",
            '  key: "intra_op_thread_count"',
            f'  value {{ string_value: "{self.threads}" }}',
            "}",
        ]
        return "\n".join(lines) + "\n"

    def settings(self, kind: str) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "instance_group": f"{self.instances}:{kind}",
            "max_batch_size": self.batch,
            "dynamic_batching": self.delay >= 0,
            "intra_op_thread_count": self.threads,
            "backend": "onnxruntime",
        }
        if self.delay >= 0:
            plain["max_queue_delay_microseconds"] = self.delay
        return plain


def head(model: str = "resnet50", machine: Mapping[str, Any] = CPU_MACHINE) -> RunHead:
    """Make a journal's first line."""
    return RunHead(
        schema=1,
        run="20250301-101500-4f2a",
        model=model,
        started_at="2025-03-01T10:15:00+00:00",
        versions={"servetune": "0.1.0", "python": "3.11.9", "onnxruntime": "1.22.0"},
        machine=machine,
        options={"search_mode": "quick", "seed": 0, "protocol": "http", "window_seconds": 1.0},
        options_digest="5f1d0a7c2b3e4d69",
    )


class Sweep:
    """Makes rows one after another, numbered from 0."""

    def __init__(self, model: str = "resnet50", *, gpu: bool = False, seed: int = 0) -> None:
        self._model = model
        self._gpu = gpu
        self._random = Random(seed)
        self.rows: list[Row] = []

    def variant(self, number: int | None, **settings: int) -> Made:
        """Make a variant; None is the default configuration."""
        name = "default" if number is None else str(number)
        return Made(name=f"{self._model}_config_{name}", **settings)

    def measure(
        self,
        made: Made,
        concurrencies: Sequence[int],
        phase: Phase = Phase.SEARCH,
        *,
        repetition: int = 0,
        stable: bool = True,
    ) -> None:
        """Add a measured row at each concurrency."""
        for concurrency in concurrencies:
            metrics = self._metrics(made, concurrency)
            rate = metrics["perf_throughput"]
            wobble = self._random.gauss(0, 0.02)
            row = replace(
                self._row(made, concurrency, phase, repetition),
                stable=stable,
                metrics=metrics,
                window_rates=(rate * (1 + wobble), rate, rate * (1 - wobble)),
                requests=int(rate * 3),
            )
            if self._gpu:
                tags = ("gpu_used_memory", "gpu_utilization", "gpu_power_usage")
                row = replace(row, gpus={GPU_UUID: {tag: metrics[tag] for tag in tags}})
            self.rows.append(row)

    def fail(self, made: Made, concurrency: int, stage: str, message: str) -> None:
        """Add a row that could not be measured."""
        row = self._row(made, concurrency, Phase.SEARCH, 0)
        self.rows.append(replace(row, failure=Failure(stage=stage, message=message)))

    def _row(self, made: Made, concurrency: int, phase: Phase, repetition: int) -> Row:
        kind = "GPU" if self._gpu else "CPU"
        config = made.config(self._model, kind)
        number = len(self.rows)
        return Row(
            number=number,
            taken_at=f"2025-03-01T10:{15 + number // 12:02d}:{number % 12 * 5:02d}+00:00",
            seconds=4.0 + self._random.random(),
            model=self._model,
            variant=made.name,
            digest=hashlib.sha256(config.encode()).hexdigest()[:16],
            trial=Trial(candidate=made.candidate(concurrency), phase=phase, repetition=repetition),
            load=LoadSpec(concurrency=concurrency),
            settings=made.settings(kind),
            config=config,
        )

    def _metrics(self, made: Made, concurrency: int) -> dict[str, float]:
        speed = 40.0 if self._gpu else 1.0
        cores = min(2.0, made.instances * made.threads)
        batch = min(made.batch, concurrency / made.instances) if made.delay >= 0 else 1.0
        # One row costs 20 ms of a core; a batch saves up to a quarter, crowding costs some.
        row_ms = 20.0 / speed * (0.75 + 0.25 / max(batch, 1.0))
        crowded = 1.0 + 0.08 * max(0, made.instances * made.threads - 2)
        limit = cores / (row_ms * crowded) * 1e3 * (0.86 if made.instances == 1 else 1.0)
        alone = made.threads**0.85 / (row_ms * crowded) * 1e3
        rate = min(limit, alone * concurrency) * self._random.gauss(1, 0.01)
        average = concurrency / rate * 1e3
        infer = min(average * 0.9, batch * row_ms * crowded / min(made.threads, 2) ** 0.85)
        network = 0.25 + 0.01 * concurrency
        queue = max(0.01, average - infer - network - 0.12)
        values = {
            "perf_throughput": rate,
            "perf_latency_avg": average,
            "perf_latency_p50": average * 0.97,
            "perf_latency_p90": average * 1.12,
            "perf_latency_p95": average * 1.2,
            "perf_latency_p99": average * self._random.uniform(1.32, 1.42),
            "perf_client_send_recv": 0.08,
            "perf_client_response_wait": average - 0.08,
            "perf_network": network,
            "perf_server_queue": queue,
            "perf_server_compute_input": 0.07,
            "perf_server_compute_infer": infer,
            "perf_server_compute_output": 0.05,
            "server_batch_size": max(1.0, batch * 0.93),
            "cpu_used_ram": 240.0 + 118.0 * made.instances + 3.1 * made.batch,
            "cpu_available_ram": 7100.0,
            "cpu_utilization": 100.0 * cores * min(1.0, alone * concurrency / limit),
        }
        if self._gpu:
            values |= {
                "gpu_used_memory": 620.0 + 410.0 * made.instances + 22.0 * made.batch,
                "gpu_free_memory": 149_000.0,
                "gpu_utilization": min(98.0, 30.0 + 60.0 * rate / limit),
                "gpu_power_usage": 120.0 + 300.0 * rate / limit,
            }
        return values


def resnet50(*, gpu: bool = False, seed: int = 0) -> tuple[Row, ...]:
    """Make a whole sweep: search with failures, load curves, verification in pairs."""
    sweep = Sweep(gpu=gpu, seed=seed)
    default = sweep.variant(None, batch=32)
    best = sweep.variant(3, instances=2, threads=1, delay=500)
    sweep.measure(default, (1, 4))
    sweep.measure(sweep.variant(0, threads=1), (1, 4))
    sweep.measure(sweep.variant(1, delay=0), (4, 16))
    sweep.measure(sweep.variant(2, instances=2, threads=1), (4, 16))
    sweep.measure(best, (4, 16))
    sweep.measure(sweep.variant(4, instances=2, threads=2, delay=500), (16,), stable=False)
    sweep.fail(
        sweep.variant(5, instances=4, batch=128, threads=2, delay=2000),
        64,
        "launch",
        "the server stopped with exit code 137 while it loaded resnet50; it was probably killed "
        "for memory. Its last words:\nloading model resnet50 version 1\nloading instance 3 of 4",
    )
    sweep.measure(sweep.variant(6, instances=3, threads=1, batch=16, delay=100), (16,))
    sweep.measure(sweep.variant(7, instances=2, threads=1, batch=2, delay=100), (16,))
    sweep.fail(
        sweep.variant(8, instances=2, batch=64, threads=2),
        256,
        "load",
        "no request succeeded within 30 s; the first error was: queue is full",
    )
    sweep.measure(default, (2, 8, 16, 32), Phase.CURVE)
    sweep.measure(best, (1, 2, 8, 32), Phase.CURVE)
    chosen = max(
        (row for row in sweep.rows if row.variant == best.name),
        key=lambda row: row.metrics["perf_throughput"],
    )
    usual = max(
        (row for row in sweep.rows if row.variant == default.name),
        key=lambda row: row.metrics["perf_throughput"],
    )
    for repetition in range(4):
        for made, row in ((default, usual), (best, chosen)):
            sweep.measure(made, (row.load.concurrency,), Phase.VERIFY, repetition=repetition)
    return tuple(sweep.rows)
