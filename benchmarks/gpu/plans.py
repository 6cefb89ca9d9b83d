"""TensorRT plans: built from ONNX on this machine, and served by the ``tensorrt`` backend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from analyzer import v2client
from benchmarks.gpu.ground import (
    ON_GPU,
    RESNET,
    Client,
    Ground,
    NotTried,
    apart,
    groups,
    said,
    served,
    states,
    timed,
)
from benchmarks.gpu.runtimes import TOLERANCE
from engine.backends.tensorrt.device import Gpu
from engine.cudadriver import CudaDriver
from engine.modelconfig.schema import ModelPriority
from engine.types import DType, Tensor

_ROWS = 2
_TIMES = 20


def plans(ground: Ground) -> Mapping[str, Any]:
    """Build ResNet-50 as a plan, serve it, and hold its answers against ONNX Runtime's."""
    ground.need_gpu()
    _need_tensorrt()
    repository = ground.onnx("models", RESNET, "plain", groups(ON_GPU))
    command = [sys.executable, "-m", "engine", "convert", str(repository / "plain")]
    found: dict[str, Any] = {}
    for precision in ("fp32", "fp16"):
        target = repository / f"plan_{precision}"
        flags = ["--to", "tensorrt", "--precision", precision, "--output", str(target)]
        try:
            found[target.name] = {"built": said([*command, *flags], seconds=200.0)}
        except AssertionError as fault:
            found[target.name] = {"not built": str(fault)[-1500:]}
    with served(repository) as server, Client(server.endpoint) as client:
        array = np.random.default_rng(1).standard_normal((_ROWS, 3, 224, 224)).astype(np.float32)
        given = Tensor("input", DType.FP32, array)
        (plain,) = client.infer("plain", given)
        for name, why in states(server.endpoint).items():
            if why or name == "plain":
                found.setdefault(name, {}).update({"not served": why} if why else {})
                continue
            (answer,) = client.infer(name, given)
            found[name] |= {
                "runtime": dict(v2client.runtime(server.endpoint, name)),
                "difference": apart(answer, plain),
                "two rows": timed(_TIMES, lambda name=name: client.infer(name, given)),
            }
            if found[name]["difference"] > TOLERANCE:
                raise AssertionError(f"{name}: far from ONNX Runtime's answers; {found}")
    return found


def _need_tensorrt() -> None:
    why = []
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            import_module(name)
        except Exception as fault:  # noqa: BLE001 - a package without its library fails in its own way
            why.append(f"{name}: {type(fault).__name__}: {fault}")
        else:
            return
    raise NotTried("; ".join(why))


def cuda_driver(ground: Ground) -> Mapping[str, Any]:
    """Use memory, streams and graphs of the GPU as an instance of a plan does, without TensorRT."""
    ground.need_gpu()
    gpu = Gpu(CudaDriver("This check", "there is nothing else"), 0)
    gpu.enter()
    size, found = 64 << 20, dict[str, Any]()
    given = np.random.default_rng(4).integers(0, 255, size, np.uint8)
    stream = gpu.open_stream(ModelPriority.MAX)
    there, other = gpu.allocate(size), gpu.open_stream(ModelPriority.MIN)
    pinned = {"up": gpu.pin(size), "down": gpu.pin(size)}
    pinned["up"][:] = given

    def there_and_back() -> bool:
        gpu.to_device(there, pinned["up"], stream)
        gpu.to_host(pinned["down"], there, stream)
        return True

    def timed_and_checked(once: Callable[[], object]) -> Mapping[str, float]:
        pinned["down"][:] = 0

        def run() -> None:
            once()
            gpu.wait(stream, spins=False)

        times = timed(_TIMES, run)
        if not np.array_equal(pinned["down"], given):
            raise AssertionError("what came back is not what was sent")
        return times

    found["copied"] = timed_and_checked(there_and_back)
    graph = gpu.capture(stream, there_and_back)
    if not graph:
        raise AssertionError("no graph was captured")
    found["by a graph"] = timed_and_checked(lambda: gpu.launch(graph, stream))
    gpu.drop(graph)
    for memory in pinned.values():
        gpu.unpin(memory)
    gpu.free(there)
    gpu.close_stream(stream)
    gpu.close_stream(other)
    return {"64 MiB there and back": found}
