"""From glimpses of a machine and a run of the load to what was observed. Pure.

Glimpses are taken all the while; only now is it known which windows count, so here they are
cut to these. Counters (CPU time, energy) are read off between glimpses by interpolation;
memory is the greatest seen, utilisation the mean, as Model Analyzer has it. Mean power is
the difference of the energy counter over time where the GPU has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from analyzer.load.driven import Driven
from analyzer.metrics import GpuUse, Observed
from analyzer.record.row import LoadSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """What does not change of a GPU."""

    uuid: str
    name: str
    total_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuGlimpse:
    """One GPU at one moment; None: not measurable here. ``energy_mj`` counts up."""

    uuid: str
    used_bytes: int | None = None
    utilization: float | None = None
    power_watts: float | None = None
    energy_mj: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """The server and its machine at one moment of the monotonic clock.

    ``cpu_seconds`` is the CPU time of the server's whole process tree so far, ``ram_bytes``
    the memory that it would free by ending.
    """

    at_ns: int
    cpu_seconds: float | None = None
    ram_bytes: int | None = None
    available_ram_bytes: int | None = None
    gpus: tuple[GpuGlimpse, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was glimpsed, in order; ``gpu_reason`` says why there are no GPUs, if so."""

    glimpses: tuple[Glimpse, ...]
    gpus: tuple[Gpu, ...] = ()
    gpu_reason: str = ""


def observed(driven: Driven, seen: Seen, load: LoadSpec) -> Observed:
    """Put together what the client measured and what was seen of the machine meanwhile."""
    span = _Span(seen.glimpses, driven.started_ns, driven.ended_ns)
    return Observed(
        seconds=driven.seconds,
        batch_size=load.batch_size,
        latency_ns=driven.latency_ns,
        window_rates=driven.window_rates,
        send_ns=driven.send_ns,
        receive_ns=driven.receive_ns,
        failed=driven.failed,
        server=driven.server,
        server_cpu=span.slope(lambda glimpse: glimpse.cpu_seconds),
        server_ram_bytes=_greatest(span.values(lambda glimpse: glimpse.ram_bytes)),
        available_ram_bytes=_least(span.values(lambda glimpse: glimpse.available_ram_bytes)),
        client_cpu=driven.client_cpu,
        gpus=tuple(_use(gpu, span) for gpu in seen.gpus),
    )


def gpu_use(seen: Seen) -> tuple[GpuUse, ...]:
    """Put together what was seen of the GPUs over the whole time."""
    if not seen.glimpses:
        return ()
    span = _Span(seen.glimpses, seen.glimpses[0].at_ns, seen.glimpses[-1].at_ns)
    return tuple(_use(gpu, span) for gpu in seen.gpus)


def _use(gpu: Gpu, span: _Span) -> GpuUse:
    def of(glimpse: Glimpse) -> GpuGlimpse:
        nothing = GpuGlimpse(uuid=gpu.uuid)
        return next((one for one in glimpse.gpus if one.uuid == gpu.uuid), nothing)

    milliwatts = span.slope(lambda glimpse: of(glimpse).energy_mj)
    power = _mean(span.values(lambda glimpse: of(glimpse).power_watts))
    return GpuUse(
        uuid=gpu.uuid,
        name=gpu.name,
        used_bytes=_greatest(span.values(lambda glimpse: of(glimpse).used_bytes)),
        total_bytes=gpu.total_bytes,
        utilization=_mean(span.values(lambda glimpse: of(glimpse).utilization)),
        power_watts=power if milliwatts is None else milliwatts / 1000,
    )


class _Span:
    """What was glimpsed between two moments, ns."""

    def __init__(self, glimpses: Sequence[Glimpse], start: int, end: int) -> None:
        self._glimpses = glimpses
        self._start = start
        self._end = end

    def values(self, read: Callable[[Glimpse], T | None]) -> list[T]:
        """Return what was read inside; of a span shorter than the distance, the nearest."""
        known = self._known(read)
        inside = [value for at, value in known if self._start <= at <= self._end]
        if inside or not known:
            return inside
        middle = (self._start + self._end) / 2
        return [min(known, key=lambda pair: abs(pair[0] - middle))[1]]

    def slope(self, counter: Callable[[Glimpse], float | None]) -> float | None:
        """Return how much a counter grew a second, or None if it was not read around here."""
        known = self._known(counter)
        if not known:
            return None
        first, last = max(self._start, known[0][0]), min(self._end, known[-1][0])
        if last <= first:
            return None
        # Offsets, because a double cannot hold the nanoseconds of a long uptime exactly.
        origin = known[0][0]
        times = [at - origin for at, _ in known]
        values = [value for _, value in known]
        before, after = np.interp([first - origin, last - origin], times, values)
        return max(0.0, float(after - before)) / ((last - first) / 1e9)

    def _known(self, read: Callable[[Glimpse], T | None]) -> list[tuple[int, T]]:
        return [
            (glimpse.at_ns, value)
            for glimpse in self._glimpses
            if (value := read(glimpse)) is not None
        ]


def _greatest(values: Sequence[int]) -> int | None:
    return max(values, default=None)


def _least(values: Sequence[int]) -> int | None:
    return min(values, default=None)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
