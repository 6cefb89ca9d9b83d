"""Plans are built from ONNX, with the profiles that were asked for; what cannot be is told.

Where TensorRT-RTX is installed real plans are built, which it can do without a GPU; reading one
takes a driver, so that what is inside is held against nothing here but its mark and its size.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.conversion import Converted, Job, configuration, find, run
from engine.conversions.tensorrt import profiles
from engine.errors import EngineError, InvalidArgument, Unavailable
from engine.modelconfig import convert
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

BUILDS = find_spec("tensorrt_rtx") is not None or find_spec("tensorrt") is not None
needs_tensorrt = pytest.mark.skipif(
    not BUILDS, reason="needs TensorRT: pip install 'servetune[tensorrt-rtx]' builds without a GPU"
)


def write(path: Path, dims: list[int | str], operator: str = "Relu") -> Path:
    """Write X -> Y, a matrix and something else."""
    weights = np.random.default_rng(3).standard_normal((32, 8)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["M"]),
        helper.make_node(operator, ["M"], ["Y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [*dims[:-1], 8])],
        [numpy_helper.from_array(weights, "W")],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def made(model: Path, folder: Path, config: ModelConfig | None = None, **options: Any) -> Converted:
    job = Job(model=model, config=config, **options)
    return run(find("tensorrt"), job, folder)


def shapes(*most: str) -> dict[str, tuple[str, ...]]:
    least = tuple(one.replace("8x", "1x") for one in most)
    return {"min_shapes": least, "opt_shapes": most, "max_shapes": most}


@needs_tensorrt
@pytest.mark.parametrize("precision", ["", "fp16"])
def test_a_plan_is_built_with_a_profile_from_one_to_the_largest_batch(
    tmp_path: Path, precision: str
) -> None:
    if precision:
        pytest.importorskip("onnxruntime.transformers", reason="this ONNX Runtime lacks them")
    model = write(tmp_path / "net.onnx", ["n", 32])
    whole = ModelConfig(name="net", backend="onnxruntime", max_batch_size=16)
    converted = made(model, tmp_path / "net", whole, precision=precision)
    content = (converted.path / "1" / "model.plan").read_bytes()
    assert content[:4] in {b"vtrt", b"ftrt"}
    assert converted.size == len(content)
    assert "profile 0: X from 1x32 to 16x32" in converted.remarks
    config = convert.loads((converted.path / "config.pbtxt").read_text(), "c")
    assert (config.platform, config.backend, config.max_batch_size) == (
        *("tensorrt_plan", "tensorrt"),
        16,
    )


@needs_tensorrt
def test_profiles_are_those_that_were_asked_for(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx", ["n", "m", 32])
    converted = made(model, tmp_path / "net", **shapes("X:8x4x32", "X:8x9x32"))
    assert converted.remarks[-2:] == (
        "profile 0: X from 1x4x32 to 8x4x32",
        "profile 1: X from 1x9x32 to 8x9x32",
    )


@needs_tensorrt
def test_int8_is_quantised_by_data_first(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx", ["n", 32])
    converted = made(model, tmp_path / "net", precision="int8", calibration="random", samples=4)
    assert "calibrated by 4 samples" in converted.remarks
    assert "; int8" in converted.remarks[0]


@needs_tensorrt
@pytest.mark.parametrize(
    ("dims", "options", "said"),
    [
        (["n", "m", 32], {}, r"'X' has shape \[-1, -1, 32\].*--max-shapes X:8x8x32"),
        (["n", 32], shapes("Z:8x32"), "has no input 'Z'; it has: X"),
        (["n", 32], shapes("X:8x33"), r"'X' has shape \[-1, 32\], which 1x33 to 8x33 do not fit"),
        (["n", 32], shapes("X:8x32x1"), "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_the_model_are_told(
    tmp_path: Path, dims: list[int | str], options: dict[str, Any], said: str
) -> None:
    model = write(tmp_path / "net.onnx", dims)
    with pytest.raises(InvalidArgument, match=said):
        made(model, tmp_path / "net", **options)
    assert not (tmp_path / "net").exists()


@needs_tensorrt
def test_what_tensorrt_cannot_read_is_told_in_its_words(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx", ["n", 32], operator="NoSuchOperator")
    with pytest.raises(InvalidArgument, match=r"cannot read it: .*NoSuchOperator"):
        made(model, tmp_path / "net")
    model.write_bytes(b"this is no model")
    with pytest.raises(InvalidArgument, match=r"cannot (read|build) it"):
        made(model, tmp_path / "net")


@pytest.mark.skipif(BUILDS, reason="TensorRT is installed")
def test_without_tensorrt_the_extras_are_named(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx", ["n", 32])
    with pytest.raises(Unavailable, match=r"servetune\[tensorrt\].*servetune\[tensorrt-rtx\]"):
        made(model, tmp_path / "net")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "fp8"}, "plans have fp32, fp16, bf16, int8"),
        ({"precision": "int8"}, "int8 needs data to calibrate by"),
        ({"calibration": "random"}, "belong together"),
        ({"min_shapes": ("X:1x32",)}, r"needs all three.* \(found 1, 0, 0\)"),
        (shapes("X=8x32"), "expected NAME:1x3x224x224"),
        ({**shapes("X:8x32"), "min_shapes": ("X:9x32",)}, "9x32, 8x32, 8x32 are no least"),
        ({**shapes("X:8x32"), "opt_shapes": ("Y:8x32",)}, "are no least, best and greatest"),
    ],
)
def test_options_are_checked_before_anything_is_built(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    model = write(tmp_path / "net.onnx", ["n", 32])
    with pytest.raises(EngineError, match=said):
        made(model, tmp_path / "net", **options)


def test_shapes_are_read_in_the_form_of_nvidias_tool() -> None:
    text = "a:0:1x3x224x224, mask:1x64"
    job = Job(model=Path("m"), min_shapes=(text,), opt_shapes=(text,), max_shapes=(text,))
    ((least, best, most),) = profiles(job)
    assert least == best == most == {"a:0": (1, 3, 224, 224), "mask": (1, 64)}
    assert profiles(Job(model=Path("m"))) == ()


def test_groups_on_the_cpu_do_not_go_along() -> None:
    cpu, gpu = (InstanceGroup(kind=kind) for kind in (InstanceKind.KIND_CPU, InstanceKind.KIND_GPU))
    config = ModelConfig(name="net", instance_group=(cpu, gpu))
    job = Job(model=Path("m.onnx"), config=config)
    assert configuration(find("tensorrt"), job, "n").instance_group == (gpu,)
    assert configuration(find("openvino"), job, "n").instance_group == (cpu, gpu)
