"""Looks for what measurements side by side need: GPUs that nobody uses, and cores apart.

Owns the asking; what is made of the answers is ``placement``'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from analyzer import placement
from analyzer.measure import gpus
from analyzer.placement import Found, Placement

_ROOT = Path("/")


def place(most: int, wanted: Sequence[str], usable: int) -> Placement:
    """Place measurements on this machine: up to ``most`` at a time (below 0: as many as can be).

    ``wanted`` are the GPUs that may be used (none: all), ``usable`` how many cores may be busy.
    """
    return placement.place(most if most > 0 else None, found(gpus.find(), wanted), cores(), usable)


def look_at(uuid: str) -> gpus.Gpus:
    """Return one GPU alone, to be looked at."""
    return gpus.find(only(uuid))


def found(devices: gpus.Gpus, wanted: Sequence[str] = ()) -> tuple[Found, ...]:
    """Look at the GPUs now; only at those ``wanted``, by UUID or by number, if any are named."""
    looks = {look.uuid: look for look in devices.look(closely=True, energy=False)}
    every = []
    for number, gpu in enumerate(devices.known):
        look = looks.get(gpu.uuid)
        if wanted and str(number) not in wanted and gpu.uuid not in wanted:
            continue
        used_by = None if look is None else look.used_by
        every.append(Found(
            uuid=gpu.uuid,
            name=gpu.name,
            total_bytes=gpu.total_bytes,
            whole=not gpu.whole,
            utilization=None if look is None else look.utilization,
            processes=None if used_by is None else len(used_by),
            lost="" if look is None else look.lost,
        ))  # fmt: skip
    return tuple(every)


def cores(usable: frozenset[int] | None = None, root: Path = _ROOT) -> tuple[frozenset[int], ...]:
    """Return the ``usable`` logical cores (None: those this thread may use) by physical core."""
    usable = frozenset(os.sched_getaffinity(0)) if usable is None else usable
    every: dict[frozenset[int], None] = {}
    for core in sorted(usable):
        folder = root / f"sys/devices/system/cpu/cpu{core}/topology"
        every.setdefault(_siblings(folder / "thread_siblings_list", core) & usable)
    return tuple(every)


def lost(uuid: str, find: Callable[[Mapping[str, str]], gpus.Gpus] = gpus.find) -> str:
    """Say why a GPU does not answer any more; "" where it does."""
    devices = find(only(uuid))
    if not devices.known:
        return devices.reason or "the driver does not show it any more"
    return next((look.lost for look in devices.look(energy=False)), "")


def only(uuid: str) -> dict[str, str]:
    """Return an environment in which one GPU is all that there is."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": uuid}


def _siblings(path: Path, core: int) -> frozenset[int]:
    """Read a list such as "0,64" or "0-1"; where there is none the core stands by itself."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        parts = [part.split("-") for part in text.split(",")]
        return frozenset(n for part in parts for n in range(int(part[0]), int(part[-1]) + 1))
    except (OSError, ValueError):
        return frozenset({core})
