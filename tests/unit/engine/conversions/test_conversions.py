"""What is converted is served as what it was, within its precision; what cannot be is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.backend import Placement, Runnable, find
from engine.conversion import Conversion, Converted, Job, configuration, names, run, source
from engine.conversion import find as find_conversion
from engine.errors import AlreadyExists, EngineError, InvalidArgument, NotFound
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    ModelConfig,
    ModelInput,
    ModelOutput,
    Optimization,
)
from engine.types import Array, DType

WIDTH = 32


def write(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """Write X [n, 32] -> Y [n, 8]: a matrix and a ReLU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(3).standard_normal((WIDTH, 8)).astype(np.float32) / 6
    nodes = [
        helper.make_node("Cast", ["X"], ["F"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["F" if kind != TensorProto.FLOAT else "X", "W"], ["M"]),
        helper.make_node("Relu", ["M"], ["Y"]),
    ]
    graph = helper.make_graph(
        nodes if kind != TensorProto.FLOAT else nodes[1:],
        "test",
        [helper.make_tensor_value_info("X", kind, ["n", WIDTH])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(weights, "W")],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def inputs(rows: int) -> Array:
    return np.random.default_rng(rows).standard_normal((rows, WIDTH)).astype(np.float32)


def made(to: str, model: Path, folder: Path, **options: str | int) -> Converted:
    file, config = source(model)
    job = Job(model=file, config=config, **options)  # type: ignore[arg-type]
    return run(find_conversion(to), job, folder)


def served(converted: Converted, array: Array) -> Array:
    config = convert.loads((converted.path / "config.pbtxt").read_text(), "test")
    config = replace(
        config,
        max_batch_size=8,
        input=(ModelInput(name="X", data_type=DType.FP32, dims=(WIDTH,)),),
        output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(8,)),),
    )
    loaded = find(config.backend).load(converted.path / "1", config, Placement())
    assert isinstance(config.name, str)
    answer = run_(loaded, array)
    loaded.close()
    return answer


def run_(loaded: object, array: Array) -> Array:
    runnable: Runnable = loaded  # type: ignore[assignment]
    return runnable.run({"X": array}, ["Y"])["Y"]


def bare(model: Path, array: Array) -> Array:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: Array = session.run(["Y"], {"X": array})[0]
    return result


@pytest.mark.parametrize(
    ("to", "options", "close"),
    [
        ("openvino", {"precision": "f32"}, 1e-5),
        ("openvino", {}, 2e-3),
        ("onnx_fp16", {}, 5e-3),
        ("onnx_int8", {"calibration": "random", "samples": 300}, 0.2),
    ],
)
def test_a_converted_model_answers_as_its_source_within_its_precision(
    tmp_path: Path, to: str, options: dict[str, str | int], close: float
) -> None:
    if to == "openvino":
        pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'servetune[openvino]'")
    model = write(tmp_path / "net.onnx")
    converted = made(to, model, tmp_path / "repository" / "net", **options)
    array = inputs(5)
    np.testing.assert_allclose(served(converted, array), bare(model, array), atol=close)
    assert converted.size > 0
    assert converted.remarks
    assert not list((tmp_path / "repository").glob(".*"))


def test_int8_is_calibrated_by_what_is_given_and_not_by_more(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", X=inputs(12))
    np.save(tmp_path / "data.npy", inputs(12))
    by_name = made(
        "onnx_int8", model, tmp_path / "a", calibration=str(tmp_path / "data.npz"), samples=5
    )
    assert by_name.remarks == ("calibrated by 5 samples",)
    alone = made("onnx_int8", model, tmp_path / "b", calibration=str(tmp_path / "data.npy"))
    assert alone.remarks == ("calibrated by 12 samples",)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"Z": inputs(2)}, "no array for input 'X'; it has: Z"),
        ({"X": inputs(0)}, "holds no samples"),
        ({"X": np.zeros((2, 5), np.float32)}, r"samples of shape \[5\], the model wants \[32\]"),
    ],
)
def test_calibration_data_that_does_not_fit_is_told(
    tmp_path: Path, arrays: dict[str, Array], said: str
) -> None:
    model = write(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=said):
        made("onnx_int8", model, tmp_path / "a", calibration=str(tmp_path / "data.npz"))
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_converted_is_refused_in_words(tmp_path: Path) -> None:
    model = write(tmp_path / "net.onnx")
    whole = write(tmp_path / "whole.onnx", TensorProto.INT64)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    plan = tmp_path / "net.plan"
    plan.touch()
    for to, file, options, said in (
        ("onnx_int8", model, {}, "needs data to calibrate by"),
        ("onnx_int8", model, {"calibration": "no.npz"}, "no.npz: no such file"),
        ("onnx_int8", model, {"calibration": str(broken)}, "neither .npz nor .npy"),
        ("onnx_int8", whole, {"calibration": "random"}, "'X' is of int64: .* cannot be made up"),
        ("onnx_fp16", broken, {}, "cannot be converted to fp16"),
        ("onnx_fp16", model, {"precision": "f32"}, "this conversion has no --precision"),
        ("openvino", model, {"precision": "int8"}, "convert to onnx_int8 first"),
        ("openvino", plan, {}, "only ONNX models"),
    ):
        with pytest.raises(EngineError, match=said):
            made(to, file, tmp_path / "made", **options)
    assert not (tmp_path / "made").exists()


def writing(job: Job, directory: Path) -> Sequence[str]:
    (directory / "model.fake").write_text(job.precision)
    return ()


FAKE = Conversion(
    summary="", backend="fake", filename="model.fake", write=writing, takes=frozenset({"precision"})
)


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    job = Job(model=write(tmp_path / "net.onnx"), precision="one")
    run(FAKE, job, tmp_path / "made")
    with pytest.raises(AlreadyExists, match="--force"):
        run(FAKE, replace(job, precision="two"), tmp_path / "made")
    assert (tmp_path / "made" / "1" / "model.fake").read_text() == "one"
    run(FAKE, replace(job, precision="two"), tmp_path / "made", force=True)
    assert (tmp_path / "made" / "1" / "model.fake").read_text() == "two"


def test_a_configuration_goes_along_without_what_only_the_old_runtime_knew() -> None:
    config = ModelConfig(
        name="net",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=8,
        parameters={"intra_op_thread_count": "2"},
        optimization=Optimization(graph_level=1),
    )
    job = Job(model=Path("net.onnx"), config=config)
    other = configuration(FAKE, job, "new")
    assert (other.name, other.backend, other.platform) == ("new", "fake", "")
    assert (other.max_batch_size, other.parameters) == (8, {})
    assert other.optimization == Optimization()
    same = configuration(replace(FAKE, backend="onnxruntime"), job, "new")
    assert same.parameters == config.parameters


def test_the_source_is_a_file_or_the_newest_version_of_a_model(tmp_path: Path) -> None:
    file = write(tmp_path / "net" / "2" / "model.onnx")
    newest = write(tmp_path / "net" / "10" / "model.onnx")
    assert source(tmp_path / "net") == (newest, None)
    assert source(file) == (file, None)
    (tmp_path / "net" / "config.pbtxt").write_text('name: "net"')
    assert source(tmp_path / "net")[1] == ModelConfig(name="net")
    with pytest.raises(NotFound, match="no ONNX model"):
        source(tmp_path)


def test_an_unknown_conversion_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(NotFound, match=", ".join(names())):
        find_conversion("tensorflow")
