"""What machine this is: what a measurement holds for.

Owns the description that heads a journal. What cannot be found out is left out. Limits set by
a container (cgroup quotas, CPU affinity) count as the machine's own, for the server is bound
by them too.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from analyzer.measure import gpus

PACKAGES = (
    "servetune",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "grpcio",
    "protobuf",
    "tritonclient",
    "uvloop",
    "httptools",
)
SLOW_GOVERNORS = {"powersave", "ondemand", "conservative", "schedutil"}
_ROOT = Path("/")


def describe(devices: gpus.Gpus | None = None, root: Path = _ROOT) -> dict[str, Any]:
    """Describe this machine in JSON's types.

    Keys, where known: hostname, cpu, cores (usable: quota and affinity applied), logical_cores,
    physical_cores, ram_bytes, os, kernel, cpu_governor, gpus (uuid, name, total_bytes each),
    gpu_driver, no_gpu (why there is none), warnings, and versions.
    """
    devices = devices or gpus.find()
    governor = _line(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    plain = {
        "hostname": platform.node(),
        "cpu": _cpu_model(root),
        "cores": usable_cores(root),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "ram_bytes": _ram_bytes(root),
        "os": _system(root),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_governor": governor,
        "gpus": [
            {"uuid": gpu.uuid, "name": gpu.name, "total_bytes": gpu.total_bytes}
            for gpu in devices.known
        ],
        "gpu_driver": devices.driver,
        "no_gpu": devices.reason,
        "warnings": _warnings(governor),
        "versions": versions(),
    }
    return {name: value for name, value in plain.items() if value}


def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that a measurement depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def usable_cores(root: Path = _ROOT) -> int:
    """How many cores a program may keep busy here: affinity, then the cgroup's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _cpu_quota(root)
    # A fraction of a core still runs a thread: 1.5 cores are two threads that wait a little.
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _cpu_quota(root: Path) -> float | None:
    """Return the cgroup's CPU quota in cores (version 2, then 1), None if it has none."""
    unified = _line(root / "sys/fs/cgroup/cpu.max").split()
    if len(unified) == 2:  # noqa: PLR2004 - quota and period
        return None if unified[0] == "max" else int(unified[0]) / int(unified[1])
    quota = _line(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _line(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _ram_bytes(root: Path) -> int:
    """Return the machine's memory, or the cgroup's limit where that is less."""
    total = int(psutil.virtual_memory().total)
    limits = (
        _line(root / "sys/fs/cgroup/memory.max"),
        _line(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    )
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def _cpu_model(root: Path) -> str:
    text = _text(root / "proc/cpuinfo")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _system(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip().strip('"')
    return platform.system()


def _warnings(governor: str) -> list[str]:
    """Say what about this machine makes measurements wander."""
    if governor not in SLOW_GOVERNORS:
        return []
    text = f"the CPU frequency governor is {governor!r}: at low load latencies are longer than "
    return [text + "they need be; 'performance' makes measurements repeatable"]


def _line(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    """Return a file's text, or "" where there is none to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
