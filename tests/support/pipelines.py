"""Pipelines whose every figure is known: stages with fixed demands, by the operational laws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analyzer.metrics import BatchTimes, ServerTimes, plain
from analyzer.record.outcome import Outcome
from analyzer.record.row import LoadSpec, Row, Trial
from analyzer.space import Candidate
from support.single_rows import row


def times(requests: int, compute_s: float, queue_s: float = 0.0, **more: Any) -> ServerTimes:
    """What a server counts of a model that takes a request at a time."""
    batch = BatchTimes(
        batch_size=1, executions=requests, compute_input_ns=0.0,
        compute_infer_ns=compute_s * 1e9, compute_output_ns=0.0,
    )  # fmt: skip
    return ServerTimes(
        requests=requests, inferences=requests, executions=requests,
        request_ns=(queue_s + compute_s) * 1e9, queue_ns=queue_s * 1e9, compute_input_ns=0.0,
        compute_infer_ns=compute_s * 1e9, compute_output_ns=0.0, batches=(batch,), **more,
    )  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """An ensemble ``p`` of stages, with what a request costs each of them, in instance-seconds.

    Stages that wait have no need of ``cores``; those that compute share them, and slow down.
    """

    demands: Mapping[str, float]
    cores: float = math.inf

    @property
    def demand(self) -> float:
        """What a request costs in all."""
        return sum(self.demands.values())

    def rate(self, instances: Mapping[str, int], concurrency: int) -> float:
        """Requests a second: as many as the load brings, and no more than any stage can serve."""
        bounds = [instances[name] / demand for name, demand in self.demands.items()]
        return min(concurrency / self.demand, self.cores / self.demand, *bounds)

    def stretch(self, instances: Mapping[str, int], concurrency: int) -> float:
        """How many times as long a batch takes where the cores do not suffice."""
        unhindered = replace(self, cores=math.inf).rate(instances, concurrency)
        return unhindered / self.rate(instances, concurrency)

    def measure(self, candidate: Candidate) -> Outcome:
        """Measure a candidate with dimensions ``STAGE::instance_count`` and ``concurrency``."""
        instances = {
            name: int(candidate.get(f"{name}::instance_count") or 1) for name in self.demands
        }
        made = self.row(instances, int(candidate.get("concurrency") or 1), candidate)
        return Outcome(candidate, made.metrics["perf_throughput"], row=made)

    def row(self, instances: Mapping[str, int], concurrency: int, candidate: Candidate) -> Row:
        rate = self.rate(instances, concurrency)
        requests = max(1, round(rate * 10))
        stretch = self.stretch(instances, concurrency)
        # Who is not served anywhere waits at the stage that is busiest.
        busiest = max(self.demands, key=lambda name: self.demands[name] / instances[name])
        waiting = max(0.0, concurrency / rate - self.demand * stretch)
        composing = {
            name: times(requests, demand * stretch, waiting if name == busiest else 0.0)
            for name, demand in self.demands.items()
        }
        shown = {name: {"instance_count": count} for name, count in instances.items()}
        return replace(
            row("0", perf_throughput=rate),
            model="p",
            trial=Trial(candidate=candidate),
            load=LoadSpec(concurrency=concurrency),
            settings={"models": shown},
            server=plain(times(requests, 0.0, composing=composing)),
        )
