"""What was seen in one measurement, and every metric that is made of it.

``Observed`` holds raw facts; ``METRICS`` is the one table of names, titles, units,
directions and formulas. Objectives, constraints, columns and plots all read it. Tags are
Model Analyzer's, so that its users' files go on working. A metric that was not measured is
absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.space import joined, split


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


def plain(times: ServerTimes) -> dict[str, Any]:
    """Spell server times in JSON's types."""
    return {
        **asdict(times),
        "batches": [asdict(one) for one in times.batches],
        "composing": {name: plain(one) for name, one in times.composing.items()},
    }


def server_times_of(plain: Mapping[str, Any]) -> ServerTimes:
    """Read what ``plain`` made of server times.

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
    """One GPU, or MIG instance, over the measured windows; None: not measurable here.

    Bytes, percent, watts, degrees Celsius, MHz. ``server_bytes`` are those of the server's own
    processes; where they are not known ``server_bytes_reason`` may say why. ``throttled`` is the
    share of the looks, in percent, at which something kept the clocks down, and ``throttle`` names
    all that did. ``lost`` says how the GPU was lost, if it was; the values are then from before.
    """

    uuid: str
    name: str
    used_bytes: int | None = None
    total_bytes: int | None = None
    utilization: float | None = None
    power_watts: float | None = None
    server_bytes: int | None = None
    server_bytes_reason: str = ""
    temperature_c: float | None = None
    sm_mhz: float | None = None
    memory_mhz: float | None = None
    throttled: float | None = None
    throttle: tuple[str, ...] = ()
    lost: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that was seen in the windows that count.

    ``latency_ns`` holds one entry for each request that finished, from its planned arrival to
    its last byte. ``window_rates`` is the throughput of each window, inferences a second.
    ``server_cpu`` is in cores (2.0: two cores kept busy); so are ``client_cpu``, ``others_cpu``
    (all that is neither server nor client) and ``steal_cpu`` (taken by the hypervisor), of
    ``cores`` that there are. ``server_ram_bytes`` has pages split among those who share them.
    ``switches`` are the server's context switches a second, ``quota_stopped`` is the share (0 to
    1) of a container's quota periods in which it stood still, ``cpu_watts`` the power of all the
    machine's processors, ``machine_cpu`` the share (0 to 1) of them that anybody kept busy.

    ``duty`` is the rate of answers in the whole time in which it was looked at, pauses of a load
    that was begun several times included, over that in what counts.

    ``absent`` says by tag why a metric is not there, ``remarks`` what besides the server shaped the
    numbers, and ``series`` is ``measure.series``'s.
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
    server_pss_bytes: int | None = None
    server_rss_bytes: int | None = None
    server_uss_bytes: int | None = None
    switches: float | None = None
    others_cpu: float | None = None
    steal_cpu: float | None = None
    quota_stopped: float | None = None
    cpu_watts: float | None = None
    cpu_mhz: float | None = None
    machine_cpu: float | None = None
    cores: int = 0
    gpus: tuple[GpuUse, ...] = field(default=())
    absent: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    series: Mapping[str, Any] = field(default_factory=dict)
    duty: float = 1.0


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


def _value(field_name: str, scale: float = 1.0) -> Formula:
    def formula(seen: Observed) -> float | None:
        value = getattr(seen, field_name)
        return None if value is None else value * scale

    return formula


def _steal_percent(seen: Observed) -> float | None:
    return seen.steal_cpu / seen.cores * 100 if seen.steal_cpu is not None and seen.cores else None


def _cache_time(field_name: str) -> Formula:
    """Mean over all requests; None of a model that has no cache."""
    timed = _server(field_name)

    def formula(seen: Observed) -> float | None:
        return None if _cache_hit_rate(seen) is None else timed(seen)

    return formula


def _cache_hit_rate(seen: Observed) -> float | None:
    if seen.server is None:
        return None
    asked = seen.server.cache_hits + seen.server.cache_misses
    return seen.server.cache_hits / asked * 100 if asked else None


def _per_inference(watts: Formula) -> Formula:
    """Energy in mJ: power over rate, both of the whole time, pauses included."""

    def formula(seen: Observed) -> float | None:
        power, rate = watts(seen), _throughput(seen)
        return power / (rate * seen.duty) * 1000 if power is not None and rate else None

    return formula


def _watts(seen: Observed) -> float | None:
    """Power of all that can be measured here, processors and GPUs."""
    known = [seen.cpu_watts, *(gpu.power_watts for gpu in seen.gpus)]
    found = [each for each in known if each is not None]
    return sum(found) if found else None


def _by_goal(_: Observed) -> float | None:
    """No measurement has it: it is made of a row in the light of a goal (``ranking.derived``)."""
    return None


MORE, LESS = Direction.MORE, Direction.LESS
#: what only a goal gives a row: the rate of answers within its latency limit, and their price
GOODPUT, COST = "goodput", "cost_per_million"

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
    Metric(
        "perf_server_cache_hit", "Server Cache Hit time", "ms", LESS, _cache_time("cache_hit_ns")
    ),
    Metric(
        "perf_server_cache_miss", "Server Cache Miss time", "ms", LESS, _cache_time("cache_miss_ns")
    ),
    Metric("cache_hit_rate", "Cache Hit Rate", "%", MORE, _cache_hit_rate),
    Metric("gpu_used_memory", "GPU Memory Usage", "MB", LESS, _gpus("used_bytes", sum, 1e-6)),
    Metric("gpu_free_memory", "GPU Memory Available", "MB", MORE, _gpu_free),
    Metric(
        "gpu_memory_by_process",
        "GPU Memory Usage by Server",
        "MB",
        LESS,
        _gpus("server_bytes", sum, 1e-6),
    ),
    Metric("gpu_utilization", "GPU Utilization", "%", MORE, _gpus("utilization", _mean, 1)),
    Metric("gpu_power_usage", "GPU Power Usage", "W", LESS, _gpus("power_watts", _mean, 1)),
    Metric(
        "gpu_energy_per_inference",
        "GPU Energy per Inference",
        "mJ",
        LESS,
        _per_inference(_gpus("power_watts", sum, 1)),
    ),
    Metric("gpu_temperature", "GPU Temperature", "C", LESS, _gpus("temperature_c", max, 1)),
    Metric("gpu_sm_clock", "GPU SM Clock", "MHz", MORE, _gpus("sm_mhz", _mean, 1)),
    Metric("gpu_memory_clock", "GPU Memory Clock", "MHz", MORE, _gpus("memory_mhz", _mean, 1)),
    Metric("gpu_throttled", "GPU Throttled", "%", LESS, _gpus("throttled", max, 1)),
    Metric("cpu_used_ram", "RAM Usage", "MB", LESS, _value("server_ram_bytes", 1e-6)),
    Metric("cpu_used_pss", "RAM Usage PSS", "MB", LESS, _value("server_pss_bytes", 1e-6)),
    Metric("cpu_used_rss", "RAM Usage RSS", "MB", LESS, _value("server_rss_bytes", 1e-6)),
    Metric("cpu_used_uss", "RAM Usage USS", "MB", LESS, _value("server_uss_bytes", 1e-6)),
    Metric("cpu_available_ram", "RAM Available", "MB", MORE, _value("available_ram_bytes", 1e-6)),
    Metric("cpu_utilization", "CPU Utilization", "%", LESS, _value("server_cpu", 100)),
    Metric(
        "cpu_machine_utilization",
        "CPU Utilization of Machine",
        "%",
        LESS,
        _value("machine_cpu", 100),
    ),
    Metric("cpu_power_usage", "CPU Power Usage", "W", LESS, _value("cpu_watts")),
    Metric(
        "cpu_energy_per_inference",
        "CPU Energy per Inference",
        "mJ",
        LESS,
        _per_inference(_value("cpu_watts")),
    ),
    Metric("energy_per_inference", "Energy per Inference", "mJ", LESS, _per_inference(_watts)),
    Metric(GOODPUT, "Goodput", "infer/sec", MORE, _by_goal),
    Metric(COST, "Cost", "per million infer", LESS, _by_goal),
    Metric("cpu_frequency", "CPU Frequency", "MHz", MORE, _value("cpu_mhz")),
    Metric("cpu_context_switches", "CPU Context Switches", "1/s", LESS, _value("switches")),
    Metric("cpu_other_load", "CPU Load of Others", "cores", LESS, _value("others_cpu")),
    Metric("cpu_steal", "CPU Steal", "%", LESS, _steal_percent),
    Metric("cpu_quota_stops", "CPU Quota Stops", "%", LESS, _value("quota_stopped", 100)),
)


#: what is told of a whole machine, so of several measurements at a time none has its own
OF_MACHINE = frozenset({
    "cpu_available_ram", "cpu_machine_utilization", "cpu_power_usage", "cpu_energy_per_inference",
    "energy_per_inference",
})  # fmt: skip


class _ByTag(dict[str, Metric]):
    """Metrics by tag. ``MODEL::tag``, one of several models' own, is found, if not listed."""

    def __missing__(self, tag: str) -> Metric:
        model, own = split(tag)
        if not model:
            raise KeyError(tag)
        metric = self[own]
        return replace(metric, tag=joined(model, metric.tag), title=f"{model}: {metric.title}")


BY_TAG: Mapping[str, Metric] = _ByTag(
    {
        **{metric.tag: metric for metric in METRICS},
        # Model Analyzer's older name, still found in its users' files.
        "perf_latency": next(metric for metric in METRICS if metric.tag == "perf_latency_p99"),
    }
)


def is_of_requests(tag: str) -> bool:
    """Whether a metric is of a model's requests, and not of the server or the machine."""
    return tag.startswith("perf_") or tag in {"server_batch_size", "cache_hit_rate"}


def of_gpu(gpu: GpuUse) -> dict[str, float]:
    """Compute one GPU's own metrics, by tag."""
    used, total, by_server = gpu.used_bytes, gpu.total_bytes, gpu.server_bytes
    values = {
        "gpu_used_memory": None if used is None else used / 1e6,
        "gpu_free_memory": None if used is None or total is None else (total - used) / 1e6,
        "gpu_memory_by_process": None if by_server is None else by_server / 1e6,
        "gpu_utilization": gpu.utilization,
        "gpu_power_usage": gpu.power_watts,
        "gpu_temperature": gpu.temperature_c,
        "gpu_sm_clock": gpu.sm_mhz,
        "gpu_memory_clock": gpu.memory_mhz,
        "gpu_throttled": gpu.throttled,
    }
    return {tag: value for tag, value in values.items() if value is not None}


def evaluate(seen: Observed) -> dict[str, float]:
    """Compute every metric that these observations allow, by tag."""
    values = ((metric.tag, metric.formula(seen)) for metric in METRICS)
    return {tag: value for tag, value in values if value is not None}
