"""What was seen in one measurement, and every metric that is made of it.

``Observed`` holds raw facts; ``METRICS`` is the one table of names, titles, units,
directions and formulas. Objectives, constraints, columns and plots all read it. Tags are
Model Analyzer's, so that its users' files go on working. A metric that was not measured is
absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt


class Direction(Enum):
    """Which way a metric is better."""

    MORE = 1
    LESS = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTimes:
    """What the executions of one batch size took, ns, on average."""

    batch_size: int
    executions: int
    compute_input_ns: float
    compute_infer_ns: float
    compute_output_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimes:
    """Mean time a request spent in each part of the server, ns; and how requests batched.

    Differences of the statistics extension's counters over the measured windows.
    ``requests`` succeeded, ``inferences`` is the sum of their batch sizes, and
    ``executions`` the number of batches the backend ran. ``cache_*_ns`` are divided by all
    requests, as the other times are, so that all add up to ``request_ns``. ``batches`` are by
    rising batch size. ``composing`` are the models of an ensemble by name, each over its own
    requests, whoever sent them.
    """

    requests: int
    inferences: int
    executions: int
    request_ns: float
    queue_ns: float
    compute_input_ns: float
    compute_infer_ns: float
    compute_output_ns: float
    cache_hits: int = 0
    cache_misses: int = 0
    cache_hit_ns: float = 0.0
    cache_miss_ns: float = 0.0
    batches: tuple[BatchTimes, ...] = ()
    composing: Mapping[str, ServerTimes] = field(default_factory=dict)


def server_times_of(plain: Mapping[str, Any]) -> ServerTimes:
    """Read what ``dataclasses.asdict`` made of server times, by way of JSON or not.

    Raises:
        TypeError: these are no server times.
    """
    return ServerTimes(
        **{
            **plain,
            "batches": tuple(BatchTimes(**one) for one in plain.get("batches", ())),
            "composing": {
                name: server_times_of(one) for name, one in plain.get("composing", {}).items()
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """One GPU over the measured windows. Bytes, percent, watts; None: not measurable here."""

    uuid: str
    name: str
    used_bytes: int | None = None
    total_bytes: int | None = None
    utilization: float | None = None
    power_watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that was seen in the windows that count.

    ``latency_ns`` holds one entry for each request that finished, from its planned arrival to
    its last byte. ``window_rates`` is the throughput of each window, inferences a second.
    ``server_cpu`` is in cores (2.0: two cores kept busy); ``client_cpu`` likewise.
    """

    seconds: float
    batch_size: int
    latency_ns: npt.NDArray[np.int64]
    window_rates: tuple[float, ...]
    send_ns: float | None = None
    receive_ns: float | None = None
    failed: int = 0
    server: ServerTimes | None = None
    server_cpu: float | None = None
    server_ram_bytes: int | None = None
    available_ram_bytes: int | None = None
    client_cpu: float | None = None
    gpus: tuple[GpuUse, ...] = field(default=())


Formula = Callable[[Observed], float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table: Model Analyzer's tag, its column header, unit and direction."""

    tag: str
    title: str
    unit: str
    direction: Direction
    formula: Formula

    @property
    def header(self) -> str:
        """The column header: title and unit, in Model Analyzer's form."""
        return f"{self.title} ({self.unit})"


def _percentile(percent: float) -> Formula:
    """Nearest rank, as perf_analyzer counts: index floor(p (n - 1) + 0.5). Result in ms."""

    def formula(seen: Observed) -> float | None:
        count = len(seen.latency_ns)
        if not count:
            return None
        rank = int(percent / 100 * (count - 1) + 0.5)
        return float(np.partition(seen.latency_ns, rank)[rank]) / 1e6

    return formula


def _server(field_name: str) -> Formula:
    def formula(seen: Observed) -> float | None:
        return None if seen.server is None else float(getattr(seen.server, field_name)) / 1e6

    return formula


def _gpus(field_name: str, fold: Callable[[list[float]], float], scale: float) -> Formula:
    def formula(seen: Observed) -> float | None:
        values = [getattr(gpu, field_name) for gpu in seen.gpus]
        known = [float(value) for value in values if value is not None]
        return fold(known) * scale if known else None

    return formula


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _bytes_to_mb(field_name: str) -> Formula:
    def formula(seen: Observed) -> float | None:
        value = getattr(seen, field_name)
        return None if value is None else value / 1e6

    return formula


def _gpu_free(seen: Observed) -> float | None:
    free = [
        gpu.total_bytes - gpu.used_bytes
        for gpu in seen.gpus
        if gpu.total_bytes is not None and gpu.used_bytes is not None
    ]
    return sum(free) / 1e6 if free else None


def _throughput(seen: Observed) -> float | None:
    return len(seen.latency_ns) * seen.batch_size / seen.seconds if seen.seconds else None


def _latency_avg(seen: Observed) -> float | None:
    return float(seen.latency_ns.mean()) / 1e6 if len(seen.latency_ns) else None


def _response_wait(seen: Observed) -> float | None:
    average = _latency_avg(seen)
    if average is None or seen.send_ns is None or seen.receive_ns is None:
        return None
    return max(0.0, average - (seen.send_ns + seen.receive_ns) / 1e6)


def _send_receive(seen: Observed) -> float | None:
    if seen.send_ns is None or seen.receive_ns is None:
        return None
    return (seen.send_ns + seen.receive_ns) / 1e6


def _network(seen: Observed) -> float | None:
    average = _latency_avg(seen)
    if average is None or seen.server is None:
        return None
    return max(0.0, average - seen.server.request_ns / 1e6)


def _batch(seen: Observed) -> float | None:
    if seen.server is None or not seen.server.executions:
        return None
    return seen.server.inferences / seen.server.executions


def _cpu_percent(seen: Observed) -> float | None:
    return None if seen.server_cpu is None else seen.server_cpu * 100


MORE, LESS = Direction.MORE, Direction.LESS

METRICS = (
    Metric("perf_throughput", "Throughput", "infer/sec", MORE, _throughput),
    Metric("perf_latency_avg", "avg Latency", "ms", LESS, _latency_avg),
    *(
        Metric(f"perf_latency_p{q}", f"p{q} Latency", "ms", LESS, _percentile(q))
        for q in (50, 90, 95, 99)
    ),
    Metric("perf_client_send_recv", "Client Send/Recv", "ms", LESS, _send_receive),
    Metric("perf_client_response_wait", "Response Wait Time", "ms", LESS, _response_wait),
    Metric("perf_network", "Network and Front End time", "ms", LESS, _network),
    Metric("perf_server_queue", "Server Queue time", "ms", LESS, _server("queue_ns")),
    Metric(
        "perf_server_compute_input",
        "Server Compute Input time",
        "ms",
        LESS,
        _server("compute_input_ns"),
    ),
    Metric(
        "perf_server_compute_infer",
        "Server Compute Infer time",
        "ms",
        LESS,
        _server("compute_infer_ns"),
    ),
    Metric(
        "perf_server_compute_output",
        "Server Compute Output time",
        "ms",
        LESS,
        _server("compute_output_ns"),
    ),
    Metric("server_batch_size", "Average Executed Batch", "rows", MORE, _batch),
    Metric("gpu_used_memory", "GPU Memory Usage", "MB", LESS, _gpus("used_bytes", sum, 1e-6)),
    Metric("gpu_free_memory", "GPU Memory Available", "MB", MORE, _gpu_free),
    Metric("gpu_utilization", "GPU Utilization", "%", MORE, _gpus("utilization", _mean, 1)),
    Metric("gpu_power_usage", "GPU Power Usage", "W", LESS, _gpus("power_watts", _mean, 1)),
    Metric("cpu_used_ram", "RAM Usage", "MB", LESS, _bytes_to_mb("server_ram_bytes")),
    Metric("cpu_available_ram", "RAM Available", "MB", MORE, _bytes_to_mb("available_ram_bytes")),
    Metric("cpu_utilization", "CPU Utilization", "%", LESS, _cpu_percent),
)

BY_TAG: Mapping[str, Metric] = {
    **{metric.tag: metric for metric in METRICS},
    # Model Analyzer's older name, still found in its users' files.
    "perf_latency": next(metric for metric in METRICS if metric.tag == "perf_latency_p99"),
}


def of_gpu(gpu: GpuUse) -> dict[str, float]:
    """Compute one GPU's own metrics, by tag."""
    used, total = gpu.used_bytes, gpu.total_bytes
    values = {
        "gpu_used_memory": None if used is None else used / 1e6,
        "gpu_free_memory": None if used is None or total is None else (total - used) / 1e6,
        "gpu_utilization": gpu.utilization,
        "gpu_power_usage": gpu.power_watts,
    }
    return {tag: value for tag, value in values.items() if value is not None}


def evaluate(seen: Observed) -> dict[str, float]:
    """Compute every metric that these observations allow, by tag."""
    values = ((metric.tag, metric.formula(seen)) for metric in METRICS)
    return {tag: value for tag, value in values if value is not None}
