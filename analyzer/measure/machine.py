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
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from analyzer.measure import environment, gpus
from analyzer.measure.kernel import line, read

PACKAGES = (
    "servetune",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "openvino",
    "tensorrt-cu13",
    "tensorrt-cu12",
    "tensorflow",
    "tensorflow-cpu",
    "torch",
    "numpy",
    "grpcio",
    "protobuf",
    "tritonclient",
    "uvloop",
    "httptools",
)
#: the kernel's words for instructions that compute in 16 bits, x86's and ARM's
_HALVES = {
    "BF16": {"avx512_bf16", "amx_bf16", "bf16"},
    "FP16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}
_ROOT = Path("/")


def describe(devices: gpus.Gpus | None = None, root: Path = _ROOT) -> dict[str, Any]:
    """Describe this machine in JSON's types.

    Keys, where known: hostname, cpu, cpu_precisions (BF16, FP16: what it has instructions for
    besides the usual), cores (usable: quota and affinity applied), logical_cores,
    physical_cores, ram_bytes, os, kernel, cpu_governor, gpus (uuid, name, total_bytes each, of a
    MIG instance whole, the GPU's uuid), gpu_driver, no_gpu (why there is none), environment (what
    was checked: ``environment.Check``'s fields), warnings (texts of what failed), and versions.
    """
    devices = devices or gpus.find()
    checked = environment.checks(root, usable_cores(root))
    plain = {
        "hostname": platform.node(),
        "cpu": _cpu_model(root),
        "cpu_precisions": precisions(root),
        "cores": usable_cores(root),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "ram_bytes": _ram_bytes(root),
        "os": _system(root),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu_governor": environment.governor(root),
        "gpus": [
            {"uuid": gpu.uuid, "name": gpu.name, "total_bytes": gpu.total_bytes}
            | ({"whole": gpu.whole} if gpu.whole else {})
            for gpu in devices.known
        ],
        "gpu_driver": devices.driver,
        "no_gpu": devices.reason,
        "environment": [asdict(one) for one in checked],
        "warnings": [one.text for one in checked if one.level == environment.WARNING],
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
    quota = environment.cpu_quota(root)
    # A fraction of a core still runs a thread: 1.5 cores are two threads that wait a little.
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def precisions(root: Path = _ROOT) -> list[str]:
    """Name the precisions of 16 bits that the processor has instructions for."""
    for row in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = row.partition(":")
        if name.strip() in {"flags", "Features"}:
            flags = set(value.split())
            return [each for each, words in _HALVES.items() if words & flags]
    return []


def _ram_bytes(root: Path) -> int:
    """Return the machine's memory, or the cgroup's limit where that is less."""
    total = int(psutil.virtual_memory().total)
    limits = (
        line(root / "sys/fs/cgroup/memory.max"),
        line(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    )
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def _cpu_model(root: Path) -> str:
    text = _text(root / "proc/cpuinfo")
    for row in text.splitlines():
        name, _, value = row.partition(":")
        if name.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def _system(root: Path) -> str:
    for row in _text(root / "etc/os-release").splitlines():
        name, _, value = row.partition("=")
        if name == "PRETTY_NAME":
            return value.strip().strip('"')
    return platform.system()


def _text(path: Path) -> str:
    return (read(path) or b"").decode("utf-8", "replace")
