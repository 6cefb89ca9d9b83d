"""From looks at GPUs to what each of them did over a time. Pure.

Memory is the greatest seen, utilisation and clocks the mean, temperature the highest; power is the
difference of the energy counter over time where the GPU has one and it was read often enough, else
the mean of what was read.
A GPU that was lost keeps what it told until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.measure.span import Span
from analyzer.metrics import GpuUse
from engine.nvml import Gpu, GpuLook

T = TypeVar("T")

#: NVML's bits of why clocks are not at their highest, in words; idling is no throttling
_IDLE = 0x1
THROTTLE: Mapping[int, str] = {
    0x2: "clocks set by an application",
    0x4: "the power limit",
    0x8: "a slowdown of the hardware (heat or power)",
    0x10: "clocks kept equal with other GPUs",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "the power brake of the machine",
    0x100: "clocks set for a display",
}
#: the metric that each answer of a GPU becomes
TAGS: Mapping[str, str] = {
    "used_bytes": "gpu_used_memory",
    "utilization": "gpu_utilization",
    "power_watts": "gpu_power_usage",
    "temperature_c": "gpu_temperature",
    "sm_mhz": "gpu_sm_clock",
    "memory_mhz": "gpu_memory_clock",
    "throttle": "gpu_throttled",
    "used_by": "gpu_memory_by_process",
}
HIDDEN = (
    "the driver knows this server's processes by other ids (a container has ids of its own), or"
    " does not show them"
)
NOT_SAID = "the driver does not say how much memory a process uses here"


def gpu_use(seen: Seen) -> tuple[GpuUse, ...]:
    """Put together what was seen of the GPUs over the whole time."""
    if not seen.glimpses:
        return ()
    span = Span(seen.glimpses, seen.glimpses[0].at_ns, seen.glimpses[-1].at_ns)
    return tuple(use_of(gpu, span, ours=seen.pids_are_ours) for gpu in seen.gpus)


def use_of(gpu: Gpu, span: Span, *, ours: bool = True) -> GpuUse:
    """Put together what was seen of one GPU in a span; ``ours``: see ``Seen.pids_are_ours``."""
    nothing = GpuLook(uuid=gpu.uuid)

    def of(glimpse: Glimpse) -> GpuLook:
        return next((one for one in glimpse.gpus if one.uuid == gpu.uuid), nothing)

    def values(read: Callable[[GpuLook], T | None]) -> list[T]:
        return span.values(lambda glimpse: read(of(glimpse)))

    rates = values(lambda look: look.utilization)
    bits = values(lambda look: look.throttle)
    slowed = [each & ~_IDLE != 0 for each in bits]
    lost = values(lambda look: look.lost or None)
    totals = values(lambda look: look.total_bytes)
    by_server, why = _by_server(span, of, ours=ours)
    return GpuUse(
        uuid=gpu.uuid,
        name=gpu.name,
        used_bytes=max(values(lambda look: look.used_bytes), default=None),
        server_bytes=by_server,
        server_bytes_reason=why,
        total_bytes=max(totals, default=gpu.total_bytes),
        utilization=_percent(rates),
        power_watts=_power(span, of, values(lambda look: look.power_watts)),
        temperature_c=max(values(lambda look: look.temperature_c), default=None),
        sm_mhz=_mean(values(lambda look: look.sm_mhz)),
        memory_mhz=_mean(values(lambda look: look.memory_mhz)),
        throttled=_percent([float(each) for each in slowed]),
        throttle=_words(bits),
        lost=lost[0] if lost else "",
    )


def _power(span: Span, of: Callable[[Glimpse], GpuLook], read: list[float]) -> float | None:
    grown = span.growth_inside(lambda glimpse: of(glimpse).energy_joules)
    # A counter that fell was set back (the driver was loaded anew): it says nothing then.
    if grown is not None and grown[0] >= 0:
        return grown[0] / grown[1]
    return _mean(read)


def _by_server(
    span: Span, of: Callable[[Glimpse], GpuLook], *, ours: bool
) -> tuple[int | None, str]:
    """Find the most memory that the server's processes used, or why that is not known."""
    uses = span.values(lambda glimpse: None if of(glimpse).used_by is None else glimpse)
    told = [(of(glimpse).used_by or {}, glimpse.pids) for glimpse in uses]
    if not told:
        return None, ""
    shown = [{pid: size for pid, size in used.items() if pid in pids} for used, pids in told]
    if any(size is None for each in shown for size in each.values()):
        return None, NOT_SAID
    if not any(shown) and not ours:
        return None, HIDDEN
    return max(sum(size or 0 for size in each.values()) for each in shown), ""


def _words(bits: list[int]) -> tuple[str, ...]:
    """Name every reason that there was at any time."""
    ever = 0
    for each in bits:
        ever |= each
    known = tuple(word for bit, word in THROTTLE.items() if ever & bit)
    rest = ever & ~(_IDLE | sum(THROTTLE))
    return (*known, f"reasons that are not known here ({rest:#x})") if rest else known


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(shares: list[float]) -> float | None:
    mean = _mean(shares)
    return None if mean is None else mean * 100
