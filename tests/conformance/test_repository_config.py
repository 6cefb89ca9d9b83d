"""From a model's folder to its configuration: which text, which backend, what is filled in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from support.in_thread import Ports
from support.oracle_clients import Asked, Oracle
from support.served import served, write_identity
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
VARYING = {"x": (("n", 3), ("n", 3))}
FIXED = {"x": ((2, 3), (2, 3))}
SCALARS = {"x": (("n",), ("n",))}
ONE_FIXED = {"x": (("n", 3), ("n", 3)), "z": ((1, 3), (1, 3))}
INPUT = 'input { name: "IN_x" data_type: TYPE_FP32 dims: 3 }\n'
OUTPUT = 'output { name: "OUT_x" data_type: TYPE_FP32 dims: 3 }\n'

# One configuration, written in as many ways as protobuf's text format has (and people use).
PLAIN = """
backend: "synthetic"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: -1 dims: 3 }
input { name: "z" data_type: TYPE_INT8 dims: 1 }
output { name: "y" data_type: TYPE_FP32 dims: -1 dims: 3 }
parameters { key: "a" value { string_value: "b c" } }
parameters { key: "d" value { string_value: "e" } }
instance_group { kind: KIND_CPU count: 2 }
dynamic_batching { preferred_batch_size: 4 preferred_batch_size: 8 }
model_transaction_policy { decoupled: False }
response_cache { }
"""
DRESSED = """
# a comment
backend: 'synthetic';
max_batch_size: 8,  # another
input: [
  { name: "x", data_type: TYPE_FP32, dims: [ -1, 3 ] },
  < name: 'z' data_type: TYPE_INT8; dims: [ 1 ] >
]
output [ { name: "y" data_type: TYPE_FP32 dims: [-1,3] } ]
parameters: { key: "d", value: { string_value: "e" } }
parameters [ { key: "a" value: { string_value: "b" " c" } } ]
instance_group: { kind: KIND_CPU, count: 0x2 }
dynamic_batching { preferred_batch_size: [ 4, 8 ] }
model_transaction_policy: < decoupled: f >
response_cache: { enable: 0 }
"""


def write(repository: Path, name: str, config: str | None, *files: str) -> Path:
    """Write a model's folder, with an ONNX model of the usual name unless others are named."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for file in files:
        (folder / "1" / file).write_bytes(b"")
    return folder


def onnx(
    repository: Path, name: str, config: str | None, tensors: Any = None, file: str = "model.onnx"
) -> None:
    write_identity(write(repository, name, config) / "1" / file, tensors or VARYING)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    write(repository, "plain", PLAIN)
    write(repository, "dressed", DRESSED)
    write(repository, "stray", PLAIN + "max_batch: 3\n")
    write(repository, "echo.synthetic", PLAIN.replace('backend: "synthetic"', ""))
    write(repository, "nobodys", "", "net.onnx")
    onnx(repository, "other_file", 'default_model_filename: "net.onnx"\nbackend: "onnxruntime"',
         file="net.onnx")  # fmt: skip
    onnx(repository, "beside.onnxruntime", 'default_model_filename: "a.onnx"', file="a.onnx")
    onnx(repository, "by_platform", 'platform: "onnxruntime_onnx"')
    onnx(repository, "by_filename", 'default_model_filename: "model.onnx"')
    onnx(repository, "by_file", None)
    (repository / "by_file/1/model.py").write_bytes(b"")
    onnx(repository, "zero", "max_batch_size: 0")
    onnx(repository, "whole", "max_batch_size: 8\n" + INPUT + OUTPUT)
    onnx(repository, "half", "max_batch_size: 8\n" + INPUT)
    onnx(repository, "one", "max_batch_size: 1")
    onnx(repository, "delayed", "dynamic_batching { max_queue_delay_microseconds: 9 }")
    onnx(repository, "fixed", None, FIXED)
    onnx(repository, "fixed_batched", "max_batch_size: 2", FIXED)
    onnx(repository, "one_fixed", None, ONE_FIXED)
    onnx(repository, "scalars", None, SCALARS)
    onnx(repository, "one_scalar", None, {"x": ((), ())})
    with served(repository, exit_on_error=False) as ports:
        yield ports


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


@pytest.fixture
def http(server: Ports) -> Oracle:
    return Oracle("http", server.http.port, server.grpc.port)


def config_of(oracle: Oracle, model: str) -> Any:
    shown = oracle.plain("get_model_config", model)
    plain = shown if oracle.is_http else shown["config"]
    return json_format.ParseDict(plain, model_config_pb2.ModelConfig())


def reason(oracle: Oracle, model: str) -> str:
    """Why a model is not served, as the index says."""
    listed = oracle.plain("get_model_repository_index")
    entries = listed if oracle.is_http else listed["models"]
    (entry,) = [one for one in entries if one["name"] == model]
    assert entry["state"] == "UNAVAILABLE"
    return str(entry["reason"])


@pytest.mark.triton("1.9")
def test_all_ways_of_writing_mean_the_same(oracle: Oracle) -> None:
    plain, dressed = config_of(oracle, "plain"), config_of(oracle, "dressed")
    assert [one.name for one in plain.instance_group] == ["plain_0"]
    assert plain.HasField("model_transaction_policy")  # said, though it is what nothing says
    assert plain.HasField("response_cache")
    dressed.name = plain.name
    dressed.instance_group[0].name = "plain_0"
    assert dressed == plain


@pytest.mark.triton("1.9")
def test_an_unknown_field_is_an_error_with_its_line(oracle: Oracle) -> None:
    said = reason(oracle, "stray")
    line = PLAIN.count("\n") + 1
    assert f"stray/config.pbtxt:{line}:1: max_batch: no such field in ModelConfig" in said


@pytest.mark.triton("1.10")
def test_a_configuration_without_a_name_has_its_folders(oracle: Oracle) -> None:
    for model in ("plain", "by_file", "echo.synthetic"):
        assert config_of(oracle, model).name == model
        assert oracle.plain("get_model_metadata", model)["name"] == model


@pytest.mark.triton("1.13")
def test_metadatas_platform_is_the_configurations_or_its_backend(oracle: Oracle) -> None:
    assert oracle.plain("get_model_metadata", "plain")["platform"] == "synthetic"
    assert oracle.plain("get_model_metadata", "by_file")["platform"] == "onnxruntime_onnx"


@pytest.mark.triton("1.7", "2a.2")
def test_the_model_file_may_have_another_name(oracle: Oracle) -> None:
    assert config_of(oracle, "other_file").default_model_filename == "net.onnx"
    assert config_of(oracle, "beside.onnxruntime").backend == "onnxruntime"


@pytest.mark.triton("2a.1")
def test_platform_file_name_or_file_tells_the_backend(oracle: Oracle) -> None:
    for model in ("by_platform", "by_filename", "by_file"):
        config = config_of(oracle, model)
        assert (config.backend, config.platform, config.default_model_filename) == (
            "onnxruntime",
            "onnxruntime_onnx",
            "model.onnx",
        )


@pytest.mark.triton("2a.2")
def test_the_folders_name_tells_the_backend_that_nothing_else_tells(oracle: Oracle) -> None:
    assert config_of(oracle, "echo.synthetic").backend == "synthetic"
    assert (
        "Invalid model name: Could not determine backend for model 'nobodys' with no backend in "
        "model configuration. Expected model name of the form 'model.<backend_name>'."
    ) in reason(oracle, "nobodys")


@pytest.mark.triton("2a.3")
@pytest.mark.parametrize(
    ("model", "max_batch_size", "batcher"),
    [
        ("by_file", 4, True),
        ("zero", 4, True),  # an explicit 0 is overridden, as Triton's users are surprised to see
        ("whole", 8, False),  # complete, so nothing is added: no batcher
        ("half", 8, True),
        ("one", 1, False),
        ("delayed", 4, True),
        ("fixed", 0, False),
        ("one_fixed", 0, False),
    ],
)
def test_an_onnx_model_is_completed_if_inputs_or_outputs_are_missing(
    http: Oracle,
    model: str,
    max_batch_size: int,
    batcher: bool,  # noqa: FBT001 - a case
) -> None:
    config = config_of(http, model)
    assert config.max_batch_size == max_batch_size
    assert config.HasField("dynamic_batching") == batcher
    assert [one.name for one in config.input][:1] == ["IN_x"]
    assert [one.name for one in config.output][:1] == ["OUT_x"]
    if batcher:
        assert config.dynamic_batching.preferred_batch_size == [max_batch_size]


@pytest.mark.triton("2a.3")
def test_what_an_onnx_model_is_completed_with_is_its_files(oracle: Oracle) -> None:
    assert config_of(oracle, "delayed").dynamic_batching.max_queue_delay_microseconds == 9
    assert config_of(oracle, "fixed").input[0].dims == [2, 3]
    (scalar,) = config_of(oracle, "scalars").input
    assert scalar.dims == [1]
    assert scalar.HasField("reshape")
    assert scalar.reshape.shape == []


@pytest.mark.triton("2a.3", "2.5")
def test_a_scalar_is_one_element(oracle: Oracle) -> None:
    (scalar,) = config_of(oracle, "one_scalar").input
    assert scalar.dims == [1]
    assert not scalar.HasField("reshape")
    result = oracle.infer(Asked("one_scalar", {"IN_x": np.array([3], np.float32)}))
    np.testing.assert_array_equal(result.as_numpy("OUT_x"), np.array([3], np.float32))


@pytest.mark.triton("2a.3")
def test_an_onnx_model_that_does_not_batch_takes_no_batch_size(oracle: Oracle) -> None:
    assert (
        "autofill failed for model 'fixed_batched': model does not support batching while "
        "non-zero max_batch_size is specified"
    ) in reason(oracle, "fixed_batched")
    with pytest.raises(InferenceServerException, match=r"unknown model: .fixed_batched."):
        oracle.does("get_model_config", "fixed_batched")


@pytest.mark.triton("2a.9")
def test_without_auto_completion_instance_groups_are_filled_all_the_same(tmp_path: Path) -> None:
    onnx(tmp_path, "whole", INPUT + OUTPUT, {"x": ((3,), (3,))})
    onnx(tmp_path, "bare", None)
    with served(tmp_path, disable_auto_complete_config=True, exit_on_error=False) as ports:
        oracle = Oracle("http", ports.http.port, ports.grpc.port)
        (group,) = config_of(oracle, "whole").instance_group
        assert (group.name, group.count) == ("whole", 2)
        assert "the model file needs input 'IN_x'" in reason(oracle, "bare")


@pytest.mark.triton("2a.10")
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"": {"default-max-batch-size": "6"}}, 6),
        ({"onnxruntime": {"default-max-batch-size": "16"}}, 16),
        ({"": {"default-max-batch-size": "6"}, "onnxruntime": {"default-max-batch-size": "9"}}, 9),
        ({"python": {"default-max-batch-size": "6"}}, 4),
    ],
)
def test_the_default_max_batch_size_is_for_all_backends_or_one(
    tmp_path: Path, settings: dict[str, dict[str, str]], expected: int
) -> None:
    onnx(tmp_path, "bare", None)
    with served(tmp_path, backend_config=settings) as ports:
        oracle = Oracle("grpc", ports.http.port, ports.grpc.port)
        assert config_of(oracle, "bare").max_batch_size == expected


@pytest.mark.triton("1.8")
def test_a_named_configuration_is_read_of_the_models_that_have_it(tmp_path: Path) -> None:
    for model in ("tuned", "plain"):
        onnx(tmp_path, model, "max_batch_size: 2")
    named = tmp_path / "tuned/configs/h100.pbtxt"
    named.parent.mkdir()
    named.write_text("max_batch_size: 64")
    with served(tmp_path, model_config_name="h100") as ports:
        for client in CLIENTS:
            oracle = Oracle(client, ports.http.port, ports.grpc.port)
            assert config_of(oracle, "tuned").max_batch_size == 64
            assert config_of(oracle, "plain").max_batch_size == 2
        named.write_text("max_batch_size: 32")
        oracle = Oracle("http", ports.http.port, ports.grpc.port)
        oracle.does("load_model", "tuned")
        assert config_of(oracle, "tuned").max_batch_size == 32
        named.write_text("max_batch: 32")
        with pytest.raises(InferenceServerException, match=r"configs/h100\.pbtxt:1:1: max_batch"):
            oracle.does("load_model", "tuned")
    with served(tmp_path) as ports:
        oracle = Oracle("http", ports.http.port, ports.grpc.port)
        assert config_of(oracle, "tuned").max_batch_size == 2


CODE = """
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "x", "data_type": "TYPE_INT32", "dims": [-1], "optional": True})
        config.add_output({"name": "y", "data_type": "TYPE_INT32", "dims": [-1]})
        config.set_max_batch_size(16)
        config.set_dynamic_batching()
        config.set_model_transaction_policy({"decoupled": False})
        return config

    def execute(self, requests):
        return []
"""


def code(repository: Path, name: str, config: str | None) -> None:
    (write(repository, name, config) / "1/model.py").write_text(CODE)


@pytest.mark.triton("2a.1", "2a.8")
def test_a_python_model_completes_its_own_configuration(tmp_path: Path) -> None:
    code(tmp_path, "bare", None)
    code(
        tmp_path,
        "agreeing",
        "max_batch_size: 2\n" + 'input { name: "x" data_type: TYPE_INT32 dims: -1 optional: true }',
    )
    code(tmp_path, "differing", 'input { name: "x" data_type: TYPE_FP32 dims: -1 }')
    code(tmp_path, "larger", "max_batch_size: 32")
    with served(tmp_path, exit_on_error=False) as ports:
        for client in CLIENTS:
            oracle = Oracle(client, ports.http.port, ports.grpc.port)
            config = config_of(oracle, "bare")
            assert (config.backend, config.default_model_filename) == ("python", "model.py")
            assert config.max_batch_size == 16
            assert config.dynamic_batching.preferred_batch_size == [16]
            assert config.HasField("model_transaction_policy")
            assert config.input[0].optional
            assert list(config.output[0].dims) == [-1]
        assert config_of(oracle, "agreeing").max_batch_size == 16
        assert "differing" in reason(oracle, "differing")
        assert "configuration specified max_batch_size 32" in reason(oracle, "larger")
    with served(tmp_path, disable_auto_complete_config=True, exit_on_error=False) as ports:
        oracle = Oracle("http", ports.http.port, ports.grpc.port)
        assert config_of(oracle, "bare").max_batch_size == 0
