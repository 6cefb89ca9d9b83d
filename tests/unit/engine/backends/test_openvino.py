"""OpenVINO models answer as ONNX Runtime does, share one compiled model, say what is wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from kits.backend_kit import BackendKit
from onnx import TensorProto, helper

from engine import examples
from engine.backend import Placement, Signature
from engine.backends.openvino import BACKEND
from engine.backends.openvino.backend import OpenVino
from engine.errors import ConfigError, EngineError, Internal, InvalidArgument, NotFound, Unsupported
from engine.modelconfig import convert
from engine.modelconfig.complete import complete
from engine.modelconfig.schema import InstanceGroup, ModelConfig, ModelInput, ModelOutput
from engine.types import DType, TensorSpec

ov = pytest.importorskip("openvino", reason="needs OpenVINO: pip install 'servetune[openvino]'")
Shape = tuple[int | str, ...]


def write(
    path: Path,
    nodes: Iterable[onnx.NodeProto],
    shape: Shape = ("batch", 4),
    kind: int = TensorProto.FLOAT,
    layout: str = "",
) -> None:
    """Write a model X -> Y: an ``.onnx`` file, or IR with a layout if one is given."""
    info = (helper.make_tensor_value_info(name, kind, list(shape)) for name in ("X", "Y"))
    graph = helper.make_graph(list(nodes), "test", [next(info)], [next(info)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".onnx":
        onnx.save(model, path)
        return
    source = path.with_suffix(".source")
    onnx.save(model, source)
    read = ov.Core().read_model(source.rename(source.with_suffix(".onnx")))
    source.with_suffix(".onnx").unlink()
    if layout:
        for node in (*read.get_parameters(), *read.get_results()):
            node.layout = ov.Layout(layout)
    ov.save_model(read, path, compress_to_fp16=False)


def identity() -> list[onnx.NodeProto]:
    return [helper.make_node("Identity", ["X"], ["Y"])]


def config(**changes: object) -> ModelConfig:
    return replace(BackendKit.identity("openvino"), **changes)  # type: ignore[arg-type]


class TestKit(BackendKit):
    backend = BACKEND

    def make(self, directory: Path) -> ModelConfig:
        write(directory / "model.xml", identity())
        return self.identity("openvino")


@pytest.mark.parametrize("name", ["mobilenet"])
def test_a_networks_answers_are_those_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    examples.build(name, tmp_path)
    directory = tmp_path / name / "1"
    written = convert.loads((tmp_path / name / "config.pbtxt").read_text(), "test")
    asked = replace(written, backend="openvino", default_model_filename="model.onnx")
    (given,), (told,) = asked.input, asked.output
    bare = ort.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
    runnable = BACKEND.load(directory, asked, Placement(threads=2))
    random = np.random.default_rng(7)
    for rows in (1, 3):
        array = random.random((rows, *given.dims), dtype=np.float32)
        (expected,) = bare.run([told.name], {given.name: array})
        ours = runnable.run({given.name: array}, [told.name])[told.name]
        assert float(np.abs(expected).max()) > 1e-3
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert runnable.describe()["precision"] == "f32"
    runnable.close()


def test_instances_that_begin_at_the_same_moment_do_not_wait_for_each_other(
    tmp_path: Path,
) -> None:
    size = 1024
    weights = np.eye(size, dtype=np.float32)
    held = helper.make_tensor("w", TensorProto.FLOAT, [size, size], weights.tobytes(), raw=True)
    nodes = [
        helper.make_node("Constant", [], ["W"], value=held),
        helper.make_node("MatMul", ["X", "W"], ["M"]),
        helper.make_node("MatMul", ["M", "W"], ["Y"]),
    ]
    write(tmp_path / "model.onnx", nodes, ("batch", size))
    (given,), (told,) = config().input, config().output
    asked = config(
        default_model_filename="model.onnx",
        input=(replace(given, dims=(size,)),),
        output=(replace(told, dims=(size,)),),
        instance_group=(InstanceGroup(count=2),),
    )
    loaded = [BACKEND.load(tmp_path, asked, Placement()) for _ in range(2)]
    together = threading.Barrier(2)
    answers: list[np.ndarray] = []

    def run(place: int) -> None:
        together.wait()
        answers.append(loaded[place].run({"X": np.full((2, size), place, np.float32)}, ["Y"])["Y"])

    # Daemons: who hangs is not waited for at the end of all tests.
    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(float(answer.mean()) for answer in answers) == [0.0, 1.0]
    for each in loaded:
        each.close()


@pytest.mark.triton("2c.12")
def test_instances_are_requests_of_one_compiled_model_which_goes_with_the_last(
    tmp_path: Path,
) -> None:
    write(tmp_path / "model.xml", identity())
    asked = config(instance_group=(InstanceGroup(count=3),))
    backend = OpenVino()
    loaded = [backend.load(tmp_path, asked, Placement()) for _ in range(3)]
    assert backend.compiled == 1
    cores = len(os.sched_getaffinity(0))
    assert loaded[0].describe()["num_streams"] == str(min(3, cores))
    arrays = [np.full((4, 4), place, np.float32) for place in range(3)]
    wrong: list[int] = []

    def run(place: int) -> None:
        results = (loaded[place].run({"X": arrays[place]}, ["Y"])["Y"] for _ in range(50))
        wrong.extend(place for result in results if (result != place).any())

    threads = [threading.Thread(target=run, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for one in loaded:
        assert backend.compiled == 1
        one.close()
    assert backend.compiled == 0


def test_a_file_that_changed_and_another_configuration_are_compiled_anew(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", identity())
    backend = OpenVino()
    first = backend.load(tmp_path, config(), Placement())
    write(tmp_path / "model.xml", [helper.make_node("Neg", ["X"], ["Y"])])
    second = backend.load(tmp_path, config(), Placement())
    third = backend.load(tmp_path, config(parameters={"HINT_BF16": "YES"}), Placement())
    assert backend.compiled == 3
    ones = np.ones((1, 4), np.float32)
    assert first.run({"X": ones}, ["Y"])["Y"].tolist() == [[1.0] * 4]
    assert second.run({"X": ones}, ["Y"])["Y"].tolist() == [[-1.0] * 4]
    able = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert third.describe()["precision"] == ("bf16" if able else "f32")


def test_results_stay_what_they_are_when_the_request_runs_again(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", [helper.make_node("Neg", ["X"], ["Y"])])
    runnable = BACKEND.load(tmp_path, config(), Placement())
    first = runnable.run({"X": np.ones((2, 4), np.float32)}, ["Y"])["Y"]
    runnable.run({"X": np.zeros((2, 4), np.float32)}, ["Y"])
    assert first.tolist() == [[-1.0] * 4] * 2


@pytest.mark.parametrize("dtype", [one for one in DType if one not in {DType.BYTES, DType.BF16}])
def test_every_numeric_type_goes_through_bit_by_bit(tmp_path: Path, dtype: DType) -> None:
    write(tmp_path / "model.onnx", identity(), kind=helper.np_dtype_to_tensor_dtype(dtype.numpy))
    asked = config(
        default_model_filename="model.onnx",
        input=(ModelInput(name="X", data_type=dtype, dims=(4,)),),
        output=(ModelOutput(name="Y", data_type=dtype, dims=(4,)),),
    )
    signature = BACKEND.inspect(tmp_path, asked)
    assert signature is not None
    assert signature.inputs == (TensorSpec("X", dtype, (-1, 4)),)
    bits = np.random.default_rng(1).integers(0, 2 if dtype is DType.BOOL else 100, (3, 4))
    array = bits.astype(dtype.numpy)
    result = BACKEND.load(tmp_path, asked, Placement()).run({"X": array}, ["Y"])["Y"]
    assert result.tobytes() == array.tobytes()
    assert result.dtype == dtype.numpy


def test_bf16_goes_through_as_bit_patterns(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx", identity(), kind=TensorProto.BFLOAT16)
    asked = config(
        default_model_filename="model.onnx",
        input=(ModelInput(name="X", data_type=DType.BF16, dims=(4,)),),
        output=(ModelOutput(name="Y", data_type=DType.BF16, dims=(4,)),),
    )
    array = np.arange(0, 0x7F00, 0x400, dtype=np.uint16)[:28].reshape(-1, 4)
    runnable = BACKEND.load(tmp_path, asked, Placement())
    np.testing.assert_array_equal(runnable.run({"X": array}, ["Y"])["Y"], array)


def test_strings_are_refused_with_the_backend_that_serves_them(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx", identity(), kind=TensorProto.STRING)
    with pytest.raises(Unsupported, match=r"'X' is a tensor of string.*by the onnxruntime backend"):
        BACKEND.inspect(tmp_path, config(default_model_filename="model.onnx"))


@pytest.mark.triton("2a.4")
@pytest.mark.parametrize(
    ("shape", "layout", "batchable", "named"),
    [
        ((1, 4), "NC", True, True),
        (("n", 4), "NC", True, True),
        (("n", 4), "CH", False, False),
        ((4, 1), "CN", False, False),
        (("n", 4), "", True, False),
        ((1, 4), "", False, False),
    ],
)
def test_a_model_batches_by_its_layout_or_else_by_its_first_dimensions(
    tmp_path: Path, shape: Shape, layout: str, *, batchable: bool, named: bool
) -> None:
    write(tmp_path / "model.xml", identity(), shape, layout=layout)
    signature = BACKEND.inspect(tmp_path, ModelConfig(name="m", backend="openvino"))
    assert signature is not None
    assert (signature.batchable, signature.named_batch) == (batchable, named)


@pytest.mark.triton("2a.4")
def test_a_named_batch_is_completed_and_an_unnamed_one_only_warned_of(tmp_path: Path) -> None:
    def completed(layout: str, **changes: object) -> ModelConfig:
        write(tmp_path / f"{layout}.xml", identity(), (1, 4), layout=layout)
        asked = ModelConfig(
            name="m", backend="openvino", default_model_filename=f"{layout}.xml", **changes
        )  # type: ignore[arg-type]
        signature = BACKEND.inspect(tmp_path, asked)
        assert signature is not None
        found = complete(
            asked,
            inputs=signature.inputs,
            outputs=signature.outputs,
            batchable=signature.batchable,
            named_batch=signature.named_batch,
            default_max_batch_size=0,
        )
        BACKEND.load(tmp_path, found, Placement()).close()
        return found

    named = completed("NC")
    assert (named.max_batch_size, named.input[0].dims) == (1, (4,))
    assert completed("NC", max_batch_size=8).dynamic_batching is not None
    unnamed = completed("CH", max_batch_size=8)
    assert (unnamed.max_batch_size, unnamed.dynamic_batching) == (8, None)


@pytest.mark.triton("2c.12")
def test_a_fixed_batch_dimension_is_made_to_vary_if_the_configuration_batches(
    tmp_path: Path,
) -> None:
    write(tmp_path / "model.xml", identity(), (1, 4))
    runnable = BACKEND.load(tmp_path, config(), Placement())
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(runnable.run({"X": array}, ["Y"])["Y"], array)


@pytest.mark.triton("2c.12")
def test_a_batch_of_one_size_is_filled_up_or_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", identity(), (1, 4))
    skip = {"SKIP_OV_DYNAMIC_BATCHSIZE": "YES"}
    strict = BACKEND.load(tmp_path, config(parameters=skip), Placement())
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    with pytest.raises(InvalidArgument, match=r"a batch of 3, .* batches of 8 only"):
        strict.run({"X": array}, ["Y"])
    padding = BACKEND.load(
        tmp_path, config(parameters={**skip, "ENABLE_BATCH_PADDING": "YES"}), Placement()
    )
    np.testing.assert_array_equal(padding.run({"X": array}, ["Y"])["Y"], array)
    full = np.ones((8, 4), np.float32)
    np.testing.assert_array_equal(strict.run({"X": full}, ["Y"])["Y"], full)
    assert padding.describe()["batch"] == "8 rows, filled up"


@pytest.mark.triton("2c.12")
def test_inputs_get_the_configurations_dims_if_it_says_so(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", identity(), ("n", "m"))
    asked = config(parameters={"RESHAPE_IO_LAYERS": "YES"})
    signature = BACKEND.inspect(tmp_path, asked)
    assert signature is not None
    assert signature.outputs == (TensorSpec("Y", DType.FP32, (-1, 4)),)
    assert BACKEND.inspect(tmp_path, config()) == Signature(
        (TensorSpec("X", DType.FP32, (-1, -1)),),
        (TensorSpec("Y", DType.FP32, (-1, -1)),),
        batchable=True,
        named_batch=False,
    )


@pytest.mark.triton("2c.12")
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"TARGET_DEVICE": "GPU"}, "no device for TARGET_DEVICE 'GPU'; there are: .*CPU"),
        ({"CPU_EXTENSION_PATH": "/no/such.so"}, "CPU_EXTENSION_PATH.*Cannot add extension"),
    ],
)
def test_what_openvino_cannot_do_is_said_in_its_words(
    tmp_path: Path, parameters: dict[str, str], said: str
) -> None:
    if "GPU" in ov.Core().available_devices:
        pytest.skip("this machine has an Intel GPU")
    write(tmp_path / "model.xml", identity())
    with pytest.raises(EngineError, match=said):
        BACKEND.load(tmp_path, config(parameters=parameters), Placement())


@pytest.mark.triton("2c.12")
@pytest.mark.parametrize(
    "parameters",
    [{"TARGET_DEVICE": "AUTO"}, {"TARGET_DEVICE": "HETERO:CPU"}, {"COMPILATION_NUM_THREADS": "1"}],
)
def test_other_devices_and_compilation_threads_are_taken(
    tmp_path: Path, parameters: dict[str, str]
) -> None:
    write(tmp_path / "model.xml", identity())
    runnable = BACKEND.load(tmp_path, config(parameters=parameters), Placement())
    array = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(runnable.run({"X": array}, ["Y"])["Y"], array)
    assert runnable.describe()["devices"] == "CPU"


def test_missing_files_are_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "modle.xml").touch()
    with pytest.raises(NotFound, match=r"model\.xml: no such file; .* holds modle\.xml"):
        BACKEND.inspect(tmp_path, config())
    write(tmp_path / "model.xml", identity())
    (tmp_path / "model.bin").unlink()
    with pytest.raises(NotFound, match=r"model\.bin: no such file; it holds the weights"):
        BACKEND.inspect(tmp_path, config())


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    for name in ("model.xml", "model.bin"):
        (tmp_path / name).write_bytes(b"this is no model")
    with pytest.raises(InvalidArgument, match=r"model\.xml: OpenVINO could not read it"):
        BACKEND.inspect(tmp_path, config())


def test_all_that_disagrees_with_the_model_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", identity())
    asked = config(
        input=(ModelInput(name="X", data_type=DType.FP16, dims=(5,)),),
        output=(ModelOutput(name="Z", data_type=DType.FP32, dims=(4,)),),
    )
    with pytest.raises(ConfigError) as caught:
        BACKEND.load(tmp_path, asked, Placement())
    assert len(caught.value.problems) == 3


def test_a_fault_while_running_carries_the_runtimes_text(tmp_path: Path) -> None:
    write(tmp_path / "model.xml", identity())
    runnable = BACKEND.load(tmp_path, config(), Placement())
    with pytest.raises(Internal, match=r"OpenVINO error: .*incompatible"):
        runnable.run({"X": np.zeros((1, 5), np.float32)}, ["Y"])
