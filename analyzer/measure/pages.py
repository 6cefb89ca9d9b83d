"""A server's metrics page: Prometheus's text, and what Triton's metrics in it mean. Pure.

Owns the reading of the text and the names of the metrics, as Triton and its kin spell them. Lines
that are none (a newer format's, a torn page's) are passed over: one series less is no reason to
know nothing of the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analyzer.counters import Counters
from engine.nvml import GpuLook

_LABELS = r"""\{(?P<labels>(?:[^"}]|"(?:\\.|[^"\\])*")*)\}"""
#: a name, labels, a value, a moment (ms), and what OpenMetrics adds behind '#'
_LINE = re.compile(
    rf"^(?P<name>[A-Za-z_:][\w:]*)\s*(?:{_LABELS})?\s+(?P<value>\S+)(?:\s+[-+.\deE]+)?\s*(?:#.*)?$",
    re.ASCII,
)
_LABEL = re.compile(
    r'\s*(?P<name>[A-Za-z_]\w*)\s*=\s*"(?P<value>(?:\\.|[^"\\])*)"\s*(?:,|$)', re.ASCII
)
_ESCAPE = re.compile(r"\\(.)")

#: the counters of a model: the metric's name, and how many of ours one of its units is
_MODEL: Mapping[str, tuple[str, int]] = {
    "nv_inference_request_success": ("requests", 1),
    "nv_inference_request_failure": ("failed", 1),
    "nv_inference_count": ("inferences", 1),
    "nv_inference_exec_count": ("executions", 1),
    "nv_inference_request_duration_us": ("request_ns", 1000),
    "nv_inference_queue_duration_us": ("queue_ns", 1000),
    "nv_inference_compute_input_duration_us": ("compute_input_ns", 1000),
    "nv_inference_compute_infer_duration_us": ("compute_infer_ns", 1000),
    "nv_inference_compute_output_duration_us": ("compute_output_ns", 1000),
    "nv_cache_num_hits_per_model": ("cache_hits", 1),
    "nv_cache_hit_duration_per_model": ("cache_hit_ns", 1000),
    "nv_cache_num_misses_per_model": ("cache_misses", 1),
    "nv_cache_miss_duration_per_model": ("cache_miss_ns", 1000),
}
#: what of a GPU is called what in ``GpuLook``
_GPU: Mapping[str, str] = {
    "nv_gpu_utilization": "utilization",
    "nv_gpu_memory_total_bytes": "total_bytes",
    "nv_gpu_memory_used_bytes": "used_bytes",
    "nv_gpu_power_usage": "power_watts",
    "nv_gpu_power_limit": "limit_watts",
    "nv_energy_consumption": "energy_joules",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says; None and empty where it says nothing of it.

    ``machine_share`` is how busy the machine is, from 0 to 1; ``available_bytes`` the memory that
    nobody uses.
    """

    gpus: tuple[GpuLook, ...] = ()
    counters: Counters | None = None
    machine_share: float | None = None
    available_bytes: int | None = None


def read(text: str) -> tuple[Series, ...]:
    """Read every series of a page."""
    return tuple(found for line in text.split("\n") if (found := _series(line)) is not None)


def page(series: Iterable[Series], model: str = "") -> Page:
    """Say what the series mean for a model; its versions, and its instances' GPUs, add up."""
    tallies: dict[str, int] = {}
    gpus: dict[str, dict[str, float]] = {}
    machine: dict[str, float] = {}
    for one in series:
        if one.name in _MODEL and one.labels.get("model") == model:
            name, unit = _MODEL[one.name]
            tallies[name] = tallies.get(name, 0) + round(one.value * unit)
        elif one.name in _GPU and one.labels.get("gpu_uuid"):
            gpus.setdefault(one.labels["gpu_uuid"], {})[_GPU[one.name]] = one.value
        elif one.name.startswith("nv_cpu_"):
            machine[one.name] = one.value
    total, used = (machine.get(f"nv_cpu_memory_{which}_bytes") for which in ("total", "used"))
    return Page(
        gpus=tuple(_look(uuid, told) for uuid, told in gpus.items()),
        counters=Counters.of(tallies) if tallies else None,
        machine_share=machine.get("nv_cpu_utilization"),
        available_bytes=None if total is None or used is None else round(total - used),
    )


def _look(uuid: str, told: Mapping[str, float]) -> GpuLook:
    def size(name: str) -> int | None:
        return round(told[name]) if name in told else None

    return GpuLook(
        uuid=uuid,
        utilization=told.get("utilization"),
        total_bytes=size("total_bytes"),
        used_bytes=size("used_bytes"),
        power_watts=told.get("power_watts"),
        limit_watts=told.get("limit_watts"),
        energy_joules=told.get("energy_joules"),
    )


def _series(line: str) -> Series | None:
    """Read one line; None where it is a comment, or no line of a page, or no finite number."""
    found = _LINE.match(line.strip())
    if found is None:
        return None
    labels = _labels(found["labels"] or "")
    try:
        value = float(found["value"])
    except ValueError:
        return None
    if labels is None or not math.isfinite(value):
        return None
    return Series(found["name"], labels, value)


def _labels(text: str) -> dict[str, str] | None:
    """Read labels; None where something stands between them that is none."""
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _LABEL.match(text, at)
        if found is None:
            return None
        labels[found["name"]] = _ESCAPE.sub(_unescaped, found["value"])
        at = found.end()
    return labels


def _unescaped(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]
