"""How many cores this server may use, and how much memory a process does.

Owns the count of cores: what the scheduler allows, and a container's quota. A container that may
use two cores of a machine with 64 still sees 64; threads counted by those starve each other.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(root: Path = CGROUP) -> int:
    """Count the cores this server may use, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, math.ceil(quota(root) or allowed)))


def quota(root: Path = CGROUP) -> float | None:
    """Read the control group's limit in cores (version 2, then 1); None if there is none."""
    match _words(root / "cpu.max"):
        case [limit, period] if limit.isdecimal() and int(period):
            return int(limit) / int(period)
        case [_, *_]:
            return None
    match _words(root / "cpu" / "cpu.cfs_quota_us"), _words(root / "cpu" / "cpu.cfs_period_us"):
        case [[limit], [period]] if limit.isdecimal() and int(period):
            return int(limit) / int(period)
    return None


def resident(pid: int) -> int:
    """Read how much memory a process has in RAM, bytes, shared pages among it; 0 if it is gone."""
    match _words(Path("/proc", str(pid), "statm")):
        case [_, pages, *_]:
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []
