"""Throughput on the GPU, and what the driver says of the GPU meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import numpy as np

from analyzer import v2client
from analyzer.launcher import Endpoint
from analyzer.load.driver import drive
from analyzer.record.row import LoadSpec
from benchmarks.gpu.ground import (
    MLP,
    RESNET,
    Client,
    Ground,
    NotTried,
    groups,
    must_serve,
    nvidia_smi,
    served,
)
from benchmarks.gpu.runtimes import CUDA, GRAPHS, torchscript
from engine.telemetry import gpus
from engine.types import DType, Tensor
from engine.v2.call import Statistics

CONCURRENCIES = (1, 8, 32)
BATCH = 32
#: cuDNN's own search runs every algorithm for every size of a batch, which takes minutes here
_QUICK_SEARCH = """
parameters { key: "cudnn_conv_algo_search" value { string_value: "1" } }
"""
#: against a session for each size of batch, which is what a model of convolutions gets
_OTHERWISE = {
    "CUDA graphs": CUDA % GRAPHS,
    "one session for all sizes": """
parameters { key: "batch_sizes" value { string_value: "0" } }
""",
}
_MIB = 1 << 20
#: the tool leaves out what the driver keeps for itself, NVML's first call does not
_MEMORY_APART_MIB = 2048
#: both are means over moments of their own
_POWER_APART = 0.35
_LEAST_UTILIZATION = 0.05
_COUNTERS = (
    *("nv_gpu_utilization", "nv_gpu_power_usage", "nv_gpu_power_limit"),
    *("nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes", "nv_energy_consumption"),
)


def counters(ground: Ground) -> Mapping[str, Any]:
    """Ask the driver's library and its tool for what does not change."""
    looks = gpus.find(os.environ).look()
    told = [
        {"uuid": one.uuid, "total MiB": (one.total_bytes or 0) // _MIB, "limit W": one.limit_watts}
        for one in looks
    ]
    if not ground.gpu:
        return {"nvml": told}
    try:
        listed = nvidia_smi("name", "driver_version", "memory.total", "power.limit")
    except NotTried as why:
        return {"nvml": told, "nvidia-smi": {"not tried": str(why)}}
    for one in looks:
        if one.uuid not in listed:
            raise AssertionError(f"nvidia-smi does not know {one.uuid}: {listed}")
        mib, total = (one.total_bytes or 0) / _MIB, _number(listed[one.uuid][2])
        if total is not None and abs(mib - total) > 0.02 * mib:
            raise AssertionError(f"{one.uuid}: {mib:.0f} MiB by NVML, {total:.0f} by nvidia-smi")
    return {"nvml": told, "nvidia-smi": listed}


def throughput(ground: Ground) -> Mapping[str, Any]:
    """Load models with 1, 8 and 32 requests at a time, batched; one instance, and two."""
    found: dict[str, Any] = {}
    for example in (RESNET, MLP) if ground.gpu else (MLP,):
        for count in (1, 2):
            repository = f"{example}{count}"
            more = groups(ground.group, count) + _QUICK_SEARCH
            folder = ground.onnx(repository, example, example, more, batch=BATCH)
            with served(folder) as server:
                at = CONCURRENCIES if count == 1 else CONCURRENCIES[1:]
                found[f"{example}, {count} instances"] = _rates(
                    server.endpoint, example, at, ground
                )
    if not ground.gpu:
        return found
    for name, other in _OTHERWISE.items():
        more = groups(ground.group) + _QUICK_SEARCH + other
        folder = ground.onnx(name.replace(" ", "_"), RESNET, RESNET, more, batch=BATCH)
        with served(folder) as server:
            found[f"{RESNET}, {name}"] = _rates(server.endpoint, RESNET, CONCURRENCIES, ground)
    folder = ground.scratch / "torch"
    try:
        torchscript(folder, "torch", groups(ground.group))
    except NotTried as why:
        found["torch"] = {"not tried": str(why)}
    else:
        with served(folder) as server:
            found["torch"] = _rates(server.endpoint, "torch", CONCURRENCIES, ground)
    return found


def busy_counters(ground: Ground) -> Mapping[str, Any]:
    """Hold the metrics page against nvidia-smi while the GPU is kept busy."""
    ground.need_gpu()
    more = groups(ground.group, 2) + _QUICK_SEARCH
    folder = ground.onnx("busy", RESNET, RESNET, more, batch=BATCH)
    with served(folder) as server:
        _warm(server.endpoint, RESNET, ground)
        with _watching(server.endpoint) as seen:
            rate = _rate(server.endpoint, RESNET, CONCURRENCIES[-1], max(3.0, ground.seconds))
        spent = [one.get("nv_energy_consumption", 0.0) for one in seen.page]
    found: dict[str, Any] = {
        "load": rate,
        "metrics page": _means(seen.page),
        "nvidia-smi": _means(seen.tool) if seen.tool else {"not tried": seen.why},
    }
    page = found["metrics page"]
    wrong = [name for name in _COUNTERS if not page.get(name, {}).get("greatest", 0) > 0]
    if page.get("nv_gpu_utilization", {}).get("greatest", 0) < _LEAST_UTILIZATION:
        wrong.append("nv_gpu_utilization is low")
    if not spent or spent[-1] <= spent[0]:
        wrong.append("nv_energy_consumption does not grow")
    if not wrong and seen.tool:
        wrong += _differing(page, found["nvidia-smi"])
    if wrong:
        raise AssertionError(f"not plausible under load: {', '.join(wrong)}; {found}")
    return found


def _rates(
    endpoint: Endpoint, model: str, concurrencies: Sequence[int], ground: Ground
) -> Mapping[str, Any]:
    must_serve(endpoint, model)
    _warm(endpoint, model, ground)
    return {
        f"concurrency {one}": _rate(endpoint, model, one, ground.seconds) for one in concurrencies
    }


def _warm(endpoint: Endpoint, model: str, ground: Ground) -> None:
    """Let a batch of every size look for its fastest kernels before anything is measured."""
    must_serve(endpoint, model)
    config = v2client.model_config(endpoint, model)
    (given,) = config.input
    sizes = range(1, config.max_batch_size + 1) if ground.gpu else (1,)
    with Client(endpoint) as client:
        for rows in sizes:
            array = np.ones((rows, *given.dims), np.float32)
            client.infer(model, Tensor(given.name, DType.FP32, array))


def _rate(endpoint: Endpoint, model: str, concurrency: int, seconds: float) -> Mapping[str, float]:
    before = _batches(endpoint, model)
    load = LoadSpec(concurrency=concurrency, window_seconds=seconds, max_windows=1)
    driven = drive(endpoint, model, load, stop=lambda: False, on_window=lambda _: None)
    if driven.failed:
        raise AssertionError(
            f"{model} at concurrency {concurrency}: {driven.failed} requests failed:"
            f" {driven.first_error}"
        )
    after = _batches(endpoint, model)
    executions = after[1] - before[1]
    latencies = sorted(driven.latency_ns)
    return {
        "requests/s": round(driven.requests / driven.seconds, 1),
        "p50 ms": round(float(latencies[len(latencies) // 2]) / 1e6, 2),
        "p99 ms": round(float(latencies[int(len(latencies) * 0.99)]) / 1e6, 2),
        "mean batch": round((after[0] - before[0]) / max(1, executions), 1),
        "client cores": round(driven.client_cpu, 2),
    }


def _batches(endpoint: Endpoint, model: str) -> tuple[int, int]:
    """Count inferences and executions so far."""
    with Client(endpoint) as client:
        (one,) = client.ask(Statistics(model)).models
    return one.inference_count, one.execution_count


class _Seen:
    """What was seen under load, moment by moment; ``why`` the tool told nothing."""

    def __init__(self) -> None:
        self.page: list[Mapping[str, float]] = []
        self.tool: list[Mapping[str, float]] = []
        self.why = ""


@contextmanager
def _watching(endpoint: Endpoint) -> Iterator[_Seen]:
    """Look at the metrics page and at nvidia-smi, by turns, until the load is over."""
    seen, over = _Seen(), threading.Event()

    def look() -> None:
        over.wait(1.0)  # until the load has begun
        while not over.wait(0.25):
            try:
                seen.page.append(_page(endpoint))
                seen.tool.append(_tool())
            except Exception as why:  # noqa: BLE001 - one look less; the next may succeed
                seen.why = f"{type(why).__name__}: {why}"

    watcher = threading.Thread(target=look, name="watcher")
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def _tool() -> Mapping[str, float]:
    """Ask nvidia-smi of the first GPU."""
    fields = ("utilization.gpu", "power.draw", "memory.used")
    told = map(_number, next(iter(nvidia_smi(*fields).values()), []))
    return {name: one for name, one in zip(fields, told, strict=True) if one is not None}


def _page(endpoint: Endpoint) -> Mapping[str, float]:
    """Read the first GPU's metrics off the page."""
    with urlopen(f"http://{endpoint.metrics}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    shown = [one for one in lines if one.startswith(("nv_gpu_", "nv_energy_"))]
    found: dict[str, float] = {}
    for line in shown:
        labelled, _, value = line.rpartition(" ")
        found.setdefault(labelled.partition("{")[0], float(value))
    return found


def _means(moments: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for one in moments for name in one)
    values = {name: [one[name] for one in moments if name in one] for name in names}
    return {
        name: {"mean": round(sum(some) / len(some), 3), "greatest": max(some)}
        for name, some in values.items()
    }


def _differing(
    page: Mapping[str, Mapping[str, float]], tool: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """Say where the page and the tool disagree by more than their moments explain."""
    if power := tool.get("power.draw"):
        ours, theirs = page["nv_gpu_power_usage"]["mean"], power["mean"]
        if abs(ours - theirs) > _POWER_APART * theirs:
            yield f"{ours:.0f} W by the page, {theirs:.0f} W by nvidia-smi"
    if memory := tool.get("memory.used"):
        ours, theirs = page["nv_gpu_memory_used_bytes"]["greatest"] / _MIB, memory["greatest"]
        if abs(ours - theirs) > _MEMORY_APART_MIB:
            yield f"{ours:.0f} MiB by the page, {theirs:.0f} MiB by nvidia-smi"


def _number(text: str) -> float | None:
    """Read what the tool says; it has words for what a GPU does not tell."""
    try:
        return float(text)
    except ValueError:
        return None
