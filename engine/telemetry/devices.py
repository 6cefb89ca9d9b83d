"""The metrics of the machine: processors, memory, GPUs; looked at now and then by a thread.

Owns the thread and the ``nv_cpu_``, ``nv_gpu_`` ... families. The page shows what was seen last,
at most ``--metrics-interval-ms`` ago, so that reading it costs nothing; the requests' event loop
never waits for a driver. Does not own the models' metrics (``families``).

There is no pool of pinned memory here (runtimes manage memory themselves): its two gauges are
there for what reads them, and say 0 of 0.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import psutil

from engine.telemetry.exposition import Family, Kind, Number, Sample
from engine.telemetry.gpus import GpuLook, Gpus

logger = logging.getLogger(__name__)

_GPU: tuple[tuple[str, Kind, str, Callable[[GpuLook], float | None]], ...] = (
    ("nv_gpu_utilization", Kind.GAUGE, "How busy the GPU is, 0 to 1", lambda gpu: gpu.utilization),
    ("nv_gpu_memory_total_bytes", Kind.GAUGE, "The GPU's memory", lambda gpu: gpu.total_bytes),
    ("nv_gpu_memory_used_bytes", Kind.GAUGE, "What of it is used", lambda gpu: gpu.used_bytes),
    ("nv_gpu_power_usage", Kind.GAUGE, "The power it draws, W", lambda gpu: gpu.power_watts),
    ("nv_gpu_power_limit", Kind.GAUGE, "The power it may draw, W", lambda gpu: gpu.limit_watts),
)
_ENERGY = "nv_energy_consumption"


@dataclass(frozen=True, slots=True)
class CpuLook:
    """The machine's processors and memory at a moment; ``utilization`` is from 0 to 1."""

    utilization: float
    total_bytes: int
    used_bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen last; ``energy_joules`` are those since the first look, by GPU."""

    cpu: CpuLook | None = None
    gpus: tuple[GpuLook, ...] = ()
    energy_joules: Mapping[str, float] = field(default_factory=dict)


class Devices:
    """The machine's devices; ``gpu`` and ``cpu`` say which of them to look at."""

    def __init__(self, gpus: Gpus, *, gpu: bool, cpu: bool, interval_ms: int) -> None:
        self._gpus = gpus
        self._looks_at_gpus = gpu
        self._processors = _Processors() if cpu else None
        self._interval_s = interval_ms / 1000
        self._first_joules: dict[str, float] = {}
        self._look = Look()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Look at the devices, and go on looking. Blocks while the driver answers."""
        self._see()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def uuid(self, number: int) -> str:
        """Name a GPU; one that the driver does not know goes by its number."""
        uuids = self._gpus.uuids
        return uuids[number] if number < len(uuids) else str(number)

    def families(self) -> Iterator[Family]:
        """Say what was seen last."""
        look = self._look
        for name, kind, text, value in _GPU:
            yield from _present(name, kind, text, {gpu.uuid: value(gpu) for gpu in look.gpus})
        yield from _present(_ENERGY, Kind.COUNTER, "J since the server started", look.energy_joules)
        if look.cpu is not None:
            yield _single(
                "nv_cpu_utilization", "How busy the cores are, 0 to 1", look.cpu.utilization
            )
            yield _single("nv_cpu_memory_total_bytes", "The machine's memory", look.cpu.total_bytes)
            yield _single("nv_cpu_memory_used_bytes", "What of it is used", look.cpu.used_bytes)
        yield _single("nv_pinned_memory_pool_total_bytes", "Pinned memory pool (none here)", 0)
        yield _single("nv_pinned_memory_pool_used_bytes", "What of it is used", 0)

    def _run(self) -> None:
        while not self._over.wait(self._interval_s):
            try:
                self._see()
            except Exception:  # the metrics of a device are not worth the thread
                logger.exception("devices could not be looked at; the page shows the last look")

    def _see(self) -> None:
        gpus = self._gpus.look() if self._looks_at_gpus else ()
        spent = {gpu.uuid: gpu.energy_joules for gpu in gpus if gpu.energy_joules is not None}
        for uuid, joules in spent.items():
            self._first_joules.setdefault(uuid, joules)
        self._look = Look(
            None if self._processors is None else self._processors.look(),
            gpus,
            {uuid: joules - self._first_joules[uuid] for uuid, joules in spent.items()},
        )


class _Processors:
    """The processors, between two looks."""

    def __init__(self) -> None:
        self._before = _cpu_seconds()

    def look(self) -> CpuLook:
        """See how busy they were since the last look."""
        now, before = _cpu_seconds(), self._before
        self._before = now
        memory = psutil.virtual_memory()
        return CpuLook(busy(before, now), int(memory.total), int(memory.total - memory.available))


def _cpu_seconds() -> tuple[float, float]:
    """Sum the seconds that all cores had, and those in which they had nothing to do."""
    times = psutil.cpu_times()
    # A guest's time is in its host process's already.
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    return total, times.idle + getattr(times, "iowait", 0)


def busy(before: tuple[float, float], now: tuple[float, float]) -> float:
    """Say which part of the time between two counts of (all, idle) seconds was not idle."""
    total, idle = now[0] - before[0], now[1] - before[1]
    return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else 0.0


def _present(
    name: str, kind: Kind, text: str, values: Mapping[str, float | None]
) -> Iterator[Family]:
    """Make a family of what GPUs told, if any did."""
    samples = [
        Sample(value, {"gpu_uuid": uuid}) for uuid, value in values.items() if value is not None
    ]
    if samples:
        yield Family(name, kind, text, samples)


def _single(name: str, text: str, value: Number) -> Family:
    return Family(name, Kind.GAUGE, text, (Sample(value, {}),))
