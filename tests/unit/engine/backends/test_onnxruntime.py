"""ONNX models are served as bare ONNX Runtime runs them, and say what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from kits.backend_kit import BackendKit
from onnx import TensorProto, helper

from engine.backend import Configurable, Interruptible, Placement, Signature, find
from engine.errors import ConfigError, EngineError, Internal, InvalidArgument, NotFound
from engine.modelconfig.schema import (
    Accelerator,
    Dims,
    ExecutionAccelerators,
    ModelConfig,
    ModelInput,
    ModelOutput,
    Optimization,
)
from engine.types import DType, TensorSpec

BACKEND = find("onnxruntime")
Shape = tuple[int | str, ...]


def write(
    path: Path,
    nodes: Iterable[onnx.NodeProto],
    inputs: dict[str, tuple[int, Shape]],
    outputs: dict[str, tuple[int, Shape]],
    weights: Iterable[onnx.TensorProto] = (),
) -> None:
    """Write an ONNX model; a dimension given by name may vary."""

    def infos(tensors: dict[str, tuple[int, Shape]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, kind, list(shape))
            for name, (kind, shape) in tensors.items()
        ]

    graph = helper.make_graph(list(nodes), "test", infos(inputs), infos(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def identity(path: Path, kind: int = TensorProto.FLOAT, shape: Shape = ("batch", 4)) -> None:
    node = helper.make_node("Identity", ["X"], ["Y"])
    write(path, [node], {"X": (kind, shape)}, {"Y": (kind, shape)})


def config(dtype: DType = DType.FP32, dims: Dims = (4,), **changes: object) -> ModelConfig:
    return replace(
        ModelConfig(
            name="model",
            backend="onnxruntime",
            max_batch_size=8,
            input=(ModelInput(name="X", data_type=dtype, dims=dims),),
            output=(ModelOutput(name="Y", data_type=dtype, dims=dims),),
        ),
        **changes,  # type: ignore[arg-type]
    )


class TestKit(BackendKit):
    backend = BACKEND

    def make(self, directory: Path) -> ModelConfig:
        identity(directory / "model.onnx")
        return self.identity("onnxruntime")


@pytest.mark.parametrize("dtype", [one for one in DType if one not in {DType.BYTES, DType.BF16}])
def test_every_numeric_type_goes_through_bit_by_bit(tmp_path: Path, dtype: DType) -> None:
    kind = helper.np_dtype_to_tensor_dtype(dtype.numpy)
    identity(tmp_path / "model.onnx", kind)
    signature = BACKEND.inspect(tmp_path, config())
    assert signature is not None
    assert signature.inputs == (TensorSpec("X", dtype, (-1, 4)),)
    bits = np.random.default_rng(1).integers(0, 2 if dtype is DType.BOOL else 256, (3, 4 * 8))
    array = bits.astype(np.uint8)[:, : 4 * dtype.size].copy().view(dtype.numpy)
    result = BACKEND.load(tmp_path, config(dtype), Placement()).run({"X": array}, ["Y"])["Y"]
    assert result.tobytes() == array.tobytes()
    assert result.dtype == dtype.numpy


def test_bf16_goes_through_as_bit_patterns(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx", TensorProto.BFLOAT16)
    signature = BACKEND.inspect(tmp_path, config())
    assert signature is not None
    assert signature.outputs == (TensorSpec("Y", DType.BF16, (-1, 4)),)
    runnable = BACKEND.load(tmp_path, config(DType.BF16), Placement())
    array = np.arange(0, 0x8000, 0x400, dtype=np.uint16).reshape(-1, 4)
    np.testing.assert_array_equal(runnable.run({"X": array}, ["Y"])["Y"], array)
    half = array[:, ::-1]
    np.testing.assert_array_equal(runnable.run({"X": half}, ["Y"])["Y"], half)


def test_strings_are_bytes_outside_and_text_inside(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx", TensorProto.STRING)
    runnable = BACKEND.load(tmp_path, config(DType.BYTES), Placement())
    texts = np.array([[b"a", b"", "Übermaß 日本".encode(), b"nul\x00inside"]], object)
    result = runnable.run({"X": texts}, ["Y"])["Y"]
    assert result.tolist() == texts.tolist()
    assert all(isinstance(one, bytes) for one in result.flat)
    with pytest.raises(InvalidArgument, match="input 'X', element 2: not UTF-8"):
        runnable.run({"X": np.array([[b"a", b"b", b"\xff", b"c"]], object)}, ["Y"])


def test_outputs_equal_the_bare_runtimes(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    write(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Softmax", ["H"], ["Y"])],
        {"X": (TensorProto.FLOAT, ("n", 16))},
        {"Y": (TensorProto.FLOAT, ("n", 8)), "H": (TensorProto.FLOAT, ("n", 8))},
        [onnx.numpy_helper.from_array(weights, "W")],
    )
    asked = config(dims=(16,), output=())
    bare = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    runnable = BACKEND.load(tmp_path, asked, Placement())
    for rows in (1, 8):
        array = np.random.default_rng(rows).standard_normal((rows, 16)).astype(np.float32)
        ours = runnable.run({"X": array}, ["H", "Y"])
        assert list(ours) == ["H", "Y"]
        for name, expected in zip(("H", "Y"), bare.run(["H", "Y"], {"X": array}), strict=True):
            assert ours[name].tobytes() == expected.tobytes()


def test_a_signature_tells_fixed_from_varying_dimensions(tmp_path: Path) -> None:
    write(
        tmp_path / "model.onnx",
        [
            helper.make_node("Identity", ["a/b:0"], ["out.1"]),
            helper.make_node("Identity", ["sr"], ["rate"]),
        ],
        {"a/b:0": (TensorProto.FLOAT, ("n", 3, "t")), "sr": (TensorProto.INT64, ())},
        {"out.1": (TensorProto.FLOAT, ("n", 3, "t")), "rate": (TensorProto.INT64, ())},
    )
    assert BACKEND.inspect(tmp_path, config()) == Signature(
        (TensorSpec("a/b:0", DType.FP32, (-1, 3, -1)), TensorSpec("sr", DType.INT64, ())),
        (TensorSpec("out.1", DType.FP32, (-1, 3, -1)), TensorSpec("rate", DType.INT64, ())),
        batchable=False,
    )


@pytest.mark.parametrize("name", ["model.onnx/model.onnx", "net.onnx", "net/model.onnx"])
def test_the_model_is_a_file_or_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    identity(tmp_path / name)
    filename = "" if name.startswith("model") else name.split("/", maxsplit=1)[0]
    asked = config(default_model_filename=filename)
    assert BACKEND.inspect(tmp_path, asked) is not None
    BACKEND.load(tmp_path, asked, Placement()).close()


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "modle.onnx").touch()
    with pytest.raises(NotFound, match=r"model\.onnx: no such file; .* holds modle\.onnx"):
        BACKEND.inspect(tmp_path, config())


@pytest.mark.parametrize("content", [b"", b"this is not a model" * 9])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    for act in (BACKEND.inspect, lambda path, asked: BACKEND.load(path, asked, Placement())):
        with pytest.raises(EngineError, match=r"model\.onnx: ONNX Runtime could not load it"):
            act(tmp_path, config())


def test_a_fault_while_running_carries_the_runtimes_code_and_text(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx")
    runnable = BACKEND.load(tmp_path, config(), Placement())
    with pytest.raises(Internal, match="onnx runtime error 2: Got invalid dimensions for input"):
        runnable.run({"X": np.zeros((1, 5), np.float32)}, ["Y"])
    with pytest.raises(Internal, match="Required inputs"):
        runnable.run({}, ["Y"])


def test_a_type_without_a_name_in_the_protocol_is_refused(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx", TensorProto.COMPLEX64)
    with pytest.raises(EngineError, match=r"model\.onnx"):
        BACKEND.inspect(tmp_path, config())


def test_all_that_disagrees_with_the_model_is_said_at_once(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx")
    asked = config(
        input=(ModelInput(name="X", data_type=DType.FP16, dims=(5,), optional=True),),
        output=(ModelOutput(name="Z", data_type=DType.FP32, dims=(4,)),),
    )
    with pytest.raises(ConfigError) as caught:
        BACKEND.load(tmp_path, asked, Placement())
    text = caught.value.message
    assert len(caught.value.problems) == 4
    assert "TYPE_FP16" in text
    assert "shape [-1,5]" in text
    assert "unexpected inference output 'Z'" in text
    assert "optional input 'X'" in text


@pytest.mark.triton("2c.6")
def test_the_openvino_accelerator_says_what_runs_and_answers_as_the_cpu_does(
    tmp_path: Path,
) -> None:
    reason = "needs OpenVINO: pip install 'servetune[openvino]'"
    if "OpenVINOExecutionProvider" not in ort.get_available_providers():
        pytest.importorskip("openvino", reason=reason)
    write(
        tmp_path / "model.onnx",
        [helper.make_node("Relu", ["X"], ["Y"])],
        {"X": (TensorProto.FLOAT, ("n", 4))},
        {"Y": (TensorProto.FLOAT, ("n", 4))},
    )
    accelerators = ExecutionAccelerators(cpu_execution_accelerator=(Accelerator(name="openvino"),))
    asked = config(optimization=Optimization(execution_accelerators=accelerators))
    runnable = BACKEND.load(tmp_path, asked, Placement())
    array = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    ours = runnable.run({"X": array}, ["Y"])["Y"]
    np.testing.assert_array_equal(ours, np.maximum(array, 0))
    said = runnable.describe()
    assert "openvino" in " ".join(said.values()).lower()
    runnable.close()


SHARED = """
import sys
from pathlib import Path
import numpy as np, psutil
from engine.backend import Placement, find
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.types import DType
directory, config = Path(sys.argv[1]), ModelConfig(
    name="model",
    backend="onnxruntime",
    max_batch_size=8,
    input=(ModelInput(name="X", data_type=DType.FP32, dims=(4,)),),
    output=(ModelOutput(name="Y", data_type=DType.FP32, dims=(4,)),),
)
shared = find("onnxruntime").configured(
    {"enable-global-threadpool": "1", "intra_op_thread_count": "2"}
)
assert shared.inspect(directory, config).batchable
first = shared.load(directory, config, Placement(threads=4))
before = psutil.Process().num_threads()
loaded = [shared.load(directory, config, Placement(threads=4)) for _ in range(3)]
assert psutil.Process().num_threads() == before
array = np.ones((2, 4), np.float32)
for one in (first, *loaded):
    np.testing.assert_array_equal(one.run({"X": array}, ["Y"])["Y"], array)
    assert one.describe()["intra_op_threads"] == "2, shared by all models"
"""


@pytest.mark.triton("2c.11")
def test_sessions_share_one_pool_of_threads_if_the_command_line_says_so(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx")
    # In a process of its own: once there is a pool, no session of the process may do without it.
    run = [sys.executable, "-c", SHARED, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert isinstance(BACKEND, Configurable)
    assert BACKEND.configured({}) == BACKEND
    with pytest.raises(
        InvalidArgument, match="onnxruntime,intra_op_thread_count: expected a whole"
    ):
        BACKEND.configured({"enable-global-threadpool": "1", "intra_op_thread_count": "two"})


def test_a_session_that_is_interrupted_ends_its_run_and_runs_again_when_let(tmp_path: Path) -> None:
    identity(tmp_path / "model.onnx")
    runnable = BACKEND.load(tmp_path, config(), Placement())
    assert isinstance(runnable, Interruptible)
    array = np.ones((2, 4), np.float32)
    runnable.interrupt(on=True)
    with pytest.raises(Internal, match="terminate flag"):
        runnable.run({"X": array}, ["Y"])
    runnable.interrupt(on=False)
    np.testing.assert_array_equal(runnable.run({"X": array}, ["Y"])["Y"], array)
