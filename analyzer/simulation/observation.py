"""What is known of one measurement: what the simulator learns from and is compared with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzer.metrics import ServerTimes, server_times_of
from analyzer.record.row import LoadSpec, Row
from analyzer.space import INSTANCE_COUNT, INTRA_OP_THREADS
from analyzer.variant import settings
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

#: percentiles that a measurement may have, in percent
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One measurement: the complete configuration, the load, ``metrics`` by tag in their units.

    ``server`` is None of a server without statistics.
    """

    config: ModelConfig
    load: LoadSpec
    metrics: Mapping[str, float]
    server: ServerTimes | None = None

    @classmethod
    def of(cls, row: Row) -> Observation | None:
        """Read a row; None of one that says nothing: it failed, or nothing was answered."""
        # Several models side by side have no one configuration.
        if row.failure is not None or not row.config or not row.metrics.get("perf_throughput"):
            return None
        return cls(
            config=convert.loads(row.config, f"row {row.number}"),
            load=row.load,
            metrics=row.metrics,
            server=server_times_of(row.server) if row.server else None,
        )

    @property
    def throughput(self) -> float:
        """Inferences a second."""
        return self.metrics["perf_throughput"]

    @property
    def latency_ns(self) -> float:
        """The mean latency; by Little's law of a closed loop where it was not measured."""
        measured = self.metrics.get("perf_latency_avg")
        if measured is not None:
            return measured * 1e6
        return 1e9 * self.load.concurrency * self.load.batch_size / self.throughput

    @property
    def in_flight(self) -> float:
        """How many requests were under way; in an open loop by Little's law."""
        if self.load.request_rate:
            return self.throughput / self.load.batch_size * self.latency_ns / 1e9
        return float(self.load.concurrency)

    @property
    def instances(self) -> int:
        """How many instances served."""
        return settings(self.config)[INSTANCE_COUNT] or 1

    @property
    def threads(self) -> int | None:
        """How many threads the configuration gives an instance; None: it does not say."""
        found: int | None = settings(self.config)[INTRA_OP_THREADS]
        return found

    @property
    def compute_ns(self) -> float | None:
        """What the batch of a request took to compute, on average over requests."""
        if self.server is None:
            return None
        one = self.server
        return one.compute_input_ns + one.compute_infer_ns + one.compute_output_ns

    @property
    def busy(self) -> float:
        """How many instances were at work beside each batch, itself included, on average."""
        if self.server is None:
            return float(self.instances)
        spent = sum(
            each.executions
            * (each.compute_input_ns + each.compute_infer_ns + each.compute_output_ns)
            for each in self.server.batches
        )
        seconds = self.server.inferences / self.throughput
        share = min(1.0, spent / 1e9 / seconds / self.instances) if seconds else 0.0
        return 1 + (self.instances - 1) * share
