"""A backend that cannot use a GPU as it is installed says so, and what to install."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.backend import Grounded, find
from engine.backends.onnxruntime.providers import lacking
from engine.backends.pytorch.backend import PyTorch
from engine.backends.tensorflow.backend import TensorFlow


def _torch(*, sees: bool) -> Any:
    cuda = SimpleNamespace(is_available=lambda: sees)
    return SimpleNamespace(__version__="2.13.0+cpu", cuda=cuda)


@pytest.mark.triton("2b.1")
def test_pytorch_can_if_it_sees_one() -> None:
    assert PyTorch(bring=lambda _: _torch(sees=True)).no_gpu() == ""
    said = PyTorch(bring=lambda _: _torch(sees=False)).no_gpu()
    assert "PyTorch 2.13.0+cpu finds no GPU" in said


def test_without_pytorch_the_load_says_what_is_missing() -> None:
    def bring(name: str) -> Any:
        raise ImportError(name=name)

    assert PyTorch(bring=bring).no_gpu() == ""


@pytest.mark.triton("2b.1")
def test_onnx_runtime_can_if_it_has_the_cuda_provider() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    assert lacking(cuda, [cuda, cpu]) == ""
    assert "pip install onnxruntime-gpu" in lacking(cuda, [cpu])


@pytest.mark.triton("2b.1")
def test_tensorflow_can_in_the_build_that_has_cuda() -> None:
    def said(*packages: str, cpu: bool = False) -> str:
        return TensorFlow(has=packages.__contains__, on_cpu_only=lambda: cpu).no_gpu()

    assert said("tensorflow") == said() == ""
    assert "tensorflow-cpu has no CUDA in it" in said("tensorflow", cpu=True)
    assert "OpenVINO runs TensorFlow models on the CPU only" in said("openvino")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "pytorch", "tensorflow", "tensorrt"])
def test_the_backends_say_so(name: str) -> None:
    assert isinstance(find(name), Grounded)
