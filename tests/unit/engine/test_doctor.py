"""What is missing is named with its command; what is in another's way is a fault."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from engine.backend import known
from engine.cli import DONE, FAILED, main
from engine.doctor import Finding, examine


def installed(**versions: str) -> Callable[[str], str | None]:
    return {name.replace("_", "-"): version for name, version in versions.items()}.get


def test_a_missing_package_is_named_with_its_command_and_is_no_fault() -> None:
    (found,) = examine(installed(), ["openvino"])
    assert found == Finding("openvino", "not installed", "pip install 'servetune[openvino]'")


def test_two_builds_of_onnx_runtime_are_a_fault_with_the_commands_that_mend_it() -> None:
    look = installed(onnxruntime="1.32.0", onnxruntime_gpu="1.31.1", openvino="2026.4")
    first, second = examine(look, ["openvino", "onnxruntime"])
    assert (first.backend, first.harmful) == ("onnxruntime", True)
    assert first.runs_by == "onnxruntime 1.32.0, onnxruntime-gpu 1.31.1"
    assert "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu" in (
        first.to_do
    )
    assert second == Finding("openvino", "openvino 2026.4")


@pytest.mark.parametrize("one", ["onnxruntime", "onnxruntime_gpu", "onnxruntime_openvino"])
def test_one_build_of_onnx_runtime_is_enough(one: str) -> None:
    (found,) = examine(installed(**{one: "1"}), ["onnxruntime"])
    assert (found.to_do, found.harmful) == ("", False)


def test_a_plug_in_of_onnx_runtime_is_shown_and_needs_it() -> None:
    plug_in = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
    look = installed(onnxruntime="1.32.0", onnxruntime_ep_nv_tensorrt_rtx_cu13="0.5.0")
    (found,) = examine(look, ["onnxruntime"])
    assert found == Finding("onnxruntime", f"onnxruntime 1.32.0, {plug_in} 0.5.0")
    (alone,) = examine(installed(onnxruntime_ep_nv_tensorrt_rtx_cu13="0.5.0"), ["onnxruntime"])
    assert (alone.to_do, alone.harmful) == ("pip install onnxruntime", True)


def test_the_command_lists_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--format", "json"]) in {DONE, FAILED}
    listed = json.loads(capsys.readouterr().out)
    assert sorted(one["backend"] for one in listed) == sorted(known())
