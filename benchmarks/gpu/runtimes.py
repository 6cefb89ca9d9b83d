"""Answers of every runtime on the GPU, held against those of the same model on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from analyzer import v2client
from analyzer.launcher import Endpoint
from benchmarks.gpu.ground import (
    MLP,
    ON_CPU,
    ON_GPU,
    RESNET,
    Client,
    Ground,
    NotTried,
    apart,
    groups,
    served,
    states,
    timed,
)
from engine.types import Array, DType, Tensor

#: to the largest answer: TF32 and FP16 keep 10 bits, and ResNet-50 adds fifty layers of them up
TOLERANCE = 0.02
_TENSORRT = (
    "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensorrt'"
    " parameters { key: 'precision_mode' value: '%s' } } } }"
)
_RTX = (
    "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensorrt_rtx' } } }"
)
#: a CUDA graph is recorded by the third run of a shape, and what matters is what comes after
_RUNS = 4
GRAPHS = "parameters { key: 'enable_cuda_graph' value: '1' }"
_EXACT = "parameters { key: 'use_tf32' value: '0' }"
CUDA = "optimization { execution_accelerators { gpu_execution_accelerator { name: 'cuda' %s } } }"
_TORCH = """
name: "%s" platform: "pytorch_libtorch" max_batch_size: 8
input { name: "x__0" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }
output { name: "y__0" data_type: TYPE_FP32 dims: 1000 }
dynamic_batching { }
%s
"""
#: models that may be missing where TensorRT is; the others have to be served
OPTIONAL = ("tensorrt",)
#: no power of two, so that the batch is filled up where each size has a session
_ROWS = 3
_TIMES = 20


def answers(ground: Ground) -> Mapping[str, Any]:
    """Serve ResNet-50, a perceptron and a convolution net of PyTorch's by all there is for them."""
    found: dict[str, Any] = {}
    repository = _lay_out(ground, found)
    with served(repository) as server:
        endpoint = server.endpoint
        why = {**states(endpoint)}
        got: dict[str, Array] = {}
        wrong: list[str] = []
        for name in sorted(why, key=lambda one: (not one.endswith("_cpu"), one)):
            optional = any(word in name for word in OPTIONAL)
            if why[name]:
                found[name] = {"not tried" if optional else "not served": why[name]}
                wrong += [] if optional else [f"{name} is not served: {why[name]}"]
                continue
            found[name] = {"runtime": dict(v2client.runtime(endpoint, name))}
            got[name] = _ask(endpoint, name, found[name])
            plain = got.get(f"{name.split('_')[0]}_cpu")
            if plain is None:
                continue
            found[name]["difference"] = distance = apart(got[name], plain)
            if distance > TOLERANCE or not np.isfinite(distance):
                wrong.append(f"{name}: {distance:.4f} from the CPU's answers")
    if wrong:
        raise AssertionError("; ".join(wrong) + f"; {found}")
    return found


def _lay_out(ground: Ground, found: dict[str, Any]) -> Path:
    """Write the models; what cannot be written is found not to be tried."""
    for example in (RESNET, MLP):
        short = "resnet" if example == RESNET else example
        repository = ground.onnx("models", example, f"{short}_cpu", groups(ON_CPU))
        if ground.gpu:
            gpu = groups(ON_GPU)
            ground.onnx("models", example, f"{short}_cuda", gpu)
            ground.onnx("models", example, f"{short}_cuda_without_tf32", gpu + CUDA % _EXACT)
            ground.onnx("models", example, f"{short}_cuda_graphs", gpu + CUDA % GRAPHS)
            ground.onnx("models", example, f"{short}_tensorrt_rtx", gpu + _RTX)
            ground.onnx("models", example, f"{short}_tensorrt_fp16", gpu + _TENSORRT % "FP16")
    try:
        torchscript(repository, "torch_cpu", groups(ON_CPU))
        if ground.gpu:
            torchscript(repository, "torch_cuda", groups(ON_GPU))
    except NotTried as why:
        found["torch"] = {"not tried": str(why)}
    return repository


def torchscript(repository: Path, name: str, group: str) -> None:
    """Write a seeded convolution net with residual blocks, in TorchScript.

    Raises:
        NotTried: there is no PyTorch.
    """
    try:
        torch = import_module("torch")
    except ImportError as fault:
        raise NotTried(f"PyTorch cannot be imported: {fault}") from fault
    torch.manual_seed(5)
    net = _net(torch.nn).eval()
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    with torch.no_grad():
        traced = torch.jit.trace(net, torch.zeros(1, 3, 224, 224))
    traced.save(str(folder / "1" / "model.pt"))
    (folder / "config.pbtxt").write_text(_TORCH % (name, group), encoding="utf-8")


def _net(nn: Any) -> Any:  # noqa: ANN401 - untyped library
    """Build 16 residual blocks of three convolutions on four sizes, as ResNet-50 has them."""

    def convolution(width: int, to: int, size: int, stride: int = 1) -> Any:  # noqa: ANN401 - as above
        norm = nn.BatchNorm2d(to)
        return nn.Sequential(
            nn.Conv2d(width, to, size, stride, padding=size // 2, bias=False), norm
        )

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, width: int, inner: int, stride: int) -> None:
            super().__init__()
            self.branch = nn.Sequential(
                convolution(width, inner, 1),
                nn.ReLU(),
                convolution(inner, inner, 3, stride),
                nn.ReLU(),
                convolution(inner, 4 * inner, 1),
            )
            same = width == 4 * inner and stride == 1
            self.path = nn.Identity() if same else convolution(width, 4 * inner, 1, stride)

        def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
            return nn.functional.relu(self.path(x) + 0.5 * self.branch(x))

    blocks, width = [], 64
    for stage, (count, inner) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(count):
            blocks.append(Block(width, inner, 2 if stage and not block else 1))
            width = 4 * inner
    return nn.Sequential(
        convolution(3, 64, 7, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 1000),
    )


def _ask(endpoint: Endpoint, name: str, found: dict[str, Any]) -> Array:
    """Ask for some rows, the same ones of every model of these inputs; and time single ones."""
    config = v2client.model_config(endpoint, name)
    tensor = config.input[0]
    array = np.random.default_rng(1).standard_normal((_ROWS, *tensor.dims)).astype(np.float32)
    given = Tensor(tensor.name, DType.FP32, array)
    one = Tensor(tensor.name, DType.FP32, array[:1])
    with Client(endpoint) as client:
        if not name.endswith("_cpu"):
            other = Tensor(tensor.name, DType.FP32, array[::-1])
            for _ in range(_RUNS):
                client.infer(name, other)
        (answer,) = client.infer(name, given)
        if not name.endswith("_cpu"):
            client.infer(name, one)  # the first of a shape looks for the fastest kernels
            found["one request"] = timed(_TIMES, lambda: client.infer(name, one))
    return answer
