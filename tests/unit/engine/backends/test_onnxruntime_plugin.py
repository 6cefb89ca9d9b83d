"""TensorRT-RTX's plug-in is registered once, given the right device, and missed in words."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime as ort
import pytest

from engine.backends.onnxruntime.plugin import Plugin
from engine.errors import Unavailable

NAME = "NvTensorRTRTXExecutionProvider"
PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"


class Runtime:
    """An ONNX Runtime that takes plug-ins; this one brings ``count`` devices."""

    def __init__(self, count: int, fault: str = "") -> None:
        self.count, self.fault = count, fault
        self.registered: list[tuple[str, str]] = []

    def register_execution_provider_library(self, name: str, library: str) -> None:
        if self.fault:
            raise RuntimeError(self.fault)
        self.registered.append((name, library))

    def get_ep_devices(self) -> list[Any]:
        there = [SimpleNamespace(ep_name="CPUExecutionProvider", number=-1)]
        ours = (SimpleNamespace(ep_name=NAME, number=number) for number in range(self.count))
        return there + (list(ours) if self.registered else [])


class Options:
    def __init__(self) -> None:
        self.added: list[tuple[int, dict[str, str]]] = []

    def add_provider_for_devices(self, devices: list[Any], settings: dict[str, str]) -> None:
        (one,) = devices
        self.added.append((one.number, settings))


def plugin(runtime: object, *, there: bool = True) -> Plugin:
    package = SimpleNamespace(get_library_path=lambda: "/there/lib.so")
    return Plugin(runtime, lambda _: package, lambda _: object() if there else None)


def test_it_is_registered_once_and_given_the_device_by_its_number() -> None:
    runtime, options = Runtime(2), Options()
    ours = plugin(runtime)
    assert ours.names == (NAME,)
    for device in (1, 0):
        ours.add(options, {"nv_x": "1"}, device)
    assert options.added == [(1, {"nv_x": "1"}), (0, {"nv_x": "1"})]
    assert runtime.registered == [(NAME, "/there/lib.so")]


def test_what_is_missing_is_told() -> None:
    assert plugin(Runtime(1), there=False).names == ()
    assert plugin(SimpleNamespace()).names == (), "an ONNX Runtime that knows no plug-ins"
    with pytest.raises(Unavailable, match="can use 1 of this machine's GPUs, and GPU 1 is none"):
        plugin(Runtime(1)).add(Options(), {}, 1)
    broken = plugin(Runtime(1, "libcuda.so.1: cannot open"))
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"libcuda.so.1: cannot open; it needs .* driver"):
            broken.add(Options(), {}, 0)


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"needs the package {PACKAGE}")
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_the_real_one_says_that_there_is_no_driver() -> None:
    real = Plugin(ort)
    assert real.names == (NAME,)
    with pytest.raises(Unavailable, match=r"libcuda\.so\.1"):
        real.add(ort.SessionOptions(), {}, 0)
