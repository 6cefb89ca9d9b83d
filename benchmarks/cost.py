"""The engine's own cost per request: models that compute almost nothing, small to heavy load.

CPU time is that of the server's whole process tree over a whole run, warm-up included,
divided by every request the server answered in it: the figure least touched by noise. Rate
and latency come from the load client, which runs on the same machine and takes its share of
the cores; they are what the two can do together, not what the server could do alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.load.driver import drive
from analyzer.record.row import LoadSpec
from analyzer.v2client import statistics
from benchmarks.server import Server
from benchmarks.spread import Spread

MODELS = ("identity", "add_sub")
PROTOCOLS = ("http", "grpc")
CONCURRENCIES = (1, 4, 16, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One run at one load."""

    rate: float
    p50_us: float
    p99_us: float
    cpu_ms: float
    client_cores: float
    mean_batch: float
    failed: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One load, repeated."""

    model: str
    protocol: str
    concurrency: int
    shots: tuple[Shot, ...]

    def spread(self, field: str) -> Spread:
        """Collect one figure of every shot."""
        return Spread.of(getattr(shot, field) for shot in self.shots)


def measure(server: Server, repetitions: int, seconds: float) -> tuple[Cost, ...]:
    """Measure every load ``repetitions`` times, in rounds, so that drift meets all alike."""
    loads = [
        (model, protocol, concurrency)
        for model in MODELS
        for protocol in PROTOCOLS
        for concurrency in CONCURRENCIES
    ]
    shots: dict[tuple[str, str, int], list[Shot]] = {load: [] for load in loads}
    for _ in range(repetitions):
        for load in loads:
            shots[load].append(shoot(server, *load, seconds=seconds))
    return tuple(
        Cost(model=model, protocol=protocol, concurrency=concurrency, shots=tuple(found))
        for (model, protocol, concurrency), found in shots.items()
    )


def shoot(server: Server, model: str, protocol: str, concurrency: int, *, seconds: float) -> Shot:
    """Load a model once."""
    load = LoadSpec(
        protocol=protocol, concurrency=concurrency, window_seconds=seconds, max_windows=1
    )
    before, spent = statistics(server.endpoint, model), server.cpu_seconds()
    driven = drive(server.endpoint, model, load, stop=lambda: False, on_window=lambda _: None)
    spent = server.cpu_seconds() - spent
    seen = statistics(server.endpoint, model) - before
    p50, p99 = np.percentile(driven.latency_ns, (50, 99)) / 1e3
    return Shot(
        rate=driven.requests / driven.seconds,
        p50_us=float(p50),
        p99_us=float(p99),
        cpu_ms=spent * 1e3 / seen.requests,
        client_cores=driven.client_cpu,
        mean_batch=seen.inferences / seen.executions,
        failed=driven.failed,
        lost=seen.failed,
    )
