"""What was remarkable while a measurement was taken, in words. Pure.

Owns the thresholds above which something besides the server shaped the numbers, and the texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyzer.metrics import GpuUse, Observed

#: cores, and the share of all cores, that others may use before it is worth a word
_OTHERS_CORES, _OTHERS_SHARE = 0.2, 0.05
#: the share of all cores that may be stolen
_STEAL_SHARE = 0.01
#: the share of a quota's periods, and of the looks at a GPU (per cent), that may be cut
_STOPPED, _THROTTLED = 0.01, 5.0


def remarks(seen: Observed) -> Observed:
    """Add the remarks that the observations give cause to."""
    return replace(seen, remarks=(*seen.remarks, *_of_cpu(seen), *_of_gpus(seen)))


def _of_cpu(seen: Observed) -> Iterator[str]:
    others, cores = seen.others_cpu or 0.0, max(1, seen.cores)
    if others > max(_OTHERS_CORES, _OTHERS_SHARE * cores):
        yield (
            f"other programs used {others:.1f} of {cores} cores meanwhile: the numbers are worse, "
            "and less repeatable, than on an idle machine"
        )
    stolen = (seen.steal_cpu or 0.0) / cores
    if stolen > _STEAL_SHARE:
        yield (
            f"the hypervisor gave {stolen:.1%} of this machine's CPU time to others (steal): the "
            "numbers depend on what runs beside it"
        )
    stopped = seen.quota_stopped or 0.0
    if stopped > _STOPPED:
        yield (
            f"the container's CPU quota was used up in {stopped:.0%} of its periods: its processes "
            "stood still until the next, which shows in the latencies' tail"
        )


def _of_gpus(seen: Observed) -> Iterator[str]:
    for gpu in seen.gpus:
        name = f"{gpu.name} ({gpu.uuid})"
        if gpu.lost:
            yield f"{name} was lost ({gpu.lost}): its figures are those up to that moment"
        if _throttled(gpu):
            reasons = ", ".join(gpu.throttle)
            yield f"{name} did not run at its full clock for {gpu.throttled:.0f}% of it: {reasons}"


def _throttled(gpu: GpuUse) -> bool:
    return gpu.throttled is not None and gpu.throttled > _THROTTLED and bool(gpu.throttle)
