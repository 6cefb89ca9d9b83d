"""What is seen of a server and its machine at one moment, and all of it together. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.counters import Counters
from engine.nvml import Gpu, GpuLook


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """The server and its machine at one moment of the monotonic clock; None: not seen now.

    Of the server's whole tree of processes: ``cpu_seconds`` and ``switches`` (context switches)
    so far; ``ram_bytes``, its memory with shared pages split among those who share them (PSS; RSS
    where the kernel keeps none), ``rss_bytes`` with shared pages in full, ``uss_bytes`` without
    any. ``pids`` are their ids.

    Of the machine, so far: ``busy_seconds`` of all its cores, ``steal_seconds`` that another
    machine on the same host took of them, the ``quota_periods`` of a container's quota and in how
    many it was used up (``quota_stops``), ``energy_joules`` of its processors.
    ``own_seconds`` is the CPU time of the analyzer itself, its load client included. ``mhz`` is
    the mean frequency of the cores.

    Of a server elsewhere: ``machine_share`` is how busy its machine was lately, from 0 to 1, and
    ``counters`` are the model's, both as its metrics page has them.
    """

    at_ns: int
    cpu_seconds: float | None = None
    ram_bytes: int | None = None
    pss_bytes: int | None = None
    rss_bytes: int | None = None
    uss_bytes: int | None = None
    available_ram_bytes: int | None = None
    switches: int | None = None
    busy_seconds: float | None = None
    steal_seconds: float | None = None
    quota_periods: int | None = None
    quota_stops: int | None = None
    own_seconds: float | None = None
    energy_joules: float | None = None
    mhz: float | None = None
    gpus: tuple[GpuLook, ...] = ()
    pids: frozenset[int] = frozenset()
    machine_share: float | None = None
    counters: Counters | None = None

    @property
    def others_seconds(self) -> float | None:
        """CPU time so far of all that is neither the server nor the analyzer."""
        busy, own, server = self.busy_seconds, self.own_seconds, self.cpu_seconds
        return None if busy is None or own is None or server is None else busy - own - server


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was glimpsed, in order; ``gpu_reason`` says why there are no GPUs, if so.

    ``absent`` says why something was not measured, by the metric's tag. ``pids_are_ours`` is
    false where the driver knows processes by other ids than we do (in a container). ``cost_cores``
    is the CPU time that the looking took, a second; ``cores`` are the machine's.
    """

    glimpses: tuple[Glimpse, ...]
    gpus: tuple[Gpu, ...] = ()
    gpu_reason: str = ""
    absent: Mapping[str, str] = field(default_factory=dict)
    pids_are_ours: bool = True
    cost_cores: float | None = None
    cores: int = 0
