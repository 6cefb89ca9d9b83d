"""A model's configuration, as NVIDIA's clients see it, send it, and are refused it."""

from __future__ import annotations

import json
import urllib.request
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

from engine.modelconfig import convert
from engine.modelconfig.check import findings
from engine.types import DType

BASE = {
    "backend": "synthetic",
    "max_batch_size": 8,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}],
}
CLIENTS = ("http", "grpc", "http.aio", "grpc.aio")
ECHO = """
backend: "synthetic"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 3 }
output { name: "y" data_type: TYPE_FP32 dims: 3 }
"""
RESHAPED = """
backend: "onnxruntime"
max_batch_size: 4
input [
  { name: "IN_flat" data_type: TYPE_FP32 dims: [ 6 ] reshape { shape: [ 2, 3 ] } },
  { name: "IN_scalar" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } },
  { name: "IN_any" data_type: TYPE_FP32 dims: [ 2, 4, -1, 6 ] reshape { shape: [ 8, -1, 1, 6 ] } }
]
output [
  { name: "OUT_flat" data_type: TYPE_FP32 dims: [ 2, 3 ] },
  { name: "OUT_scalar" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } },
  { name: "OUT_any" data_type: TYPE_FP32 dims: [ 2, 4, -1, 6 ] reshape { shape: [ 8, -1, 1, 6 ] } }
]
"""
EVERY_TYPE = 'backend: "synthetic"\n' + "".join(
    f'{side} {{ name: "{name}_{dtype.value}" data_type: {dtype.config_name} dims: [ 2 ] }}\n'
    for side, name in (("input", "in"), ("output", "out"))
    for dtype in DType
)
OPTIONAL = """
backend: "synthetic"
input [
  { name: "a" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "b" data_type: TYPE_FP32 dims: [ 1 ] optional: true }
]
output [
  { name: "c" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "d" data_type: TYPE_FP32 dims: [ 1 ] }
]
metric_tags { key: "team" value: "vision" }
parameters [
  { key: "latency_us" value { string_value: "0" } },
  { key: "note" value: { string_value: "kept" } }
]
"""


def write(repository: Path, name: str, config: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    write(repository, "echo", ECHO)
    write(repository, "probe", ECHO)
    write(repository, "types", EVERY_TYPE)
    write(repository, "optional", OPTIONAL)
    write(repository, "reshaped", RESHAPED)
    shapes = {"flat": ("n", 2, 3), "scalar": ("n",), "any": ("n", 8, "k", 1, 6)}
    write_identity(
        repository / "reshaped/1/model.onnx", {name: (s, s) for name, s in shapes.items()}
    )
    write_identity(repository / "bare/1/model.onnx", {"x": (("n", 3), ("n", 3))})
    with served(repository) as ports:
        yield ports


@pytest.fixture(params=CLIENTS)
def oracle(request: pytest.FixtureRequest, server: Ports) -> Oracle:
    return Oracle(request.param, server.http.port, server.grpc.port)


@pytest.fixture
def http(server: Ports) -> Oracle:
    return Oracle("http", server.http.port, server.grpc.port)


def as_json(oracle: Oracle, model: str) -> Any:
    """What a client gives its user for a configuration, as a dictionary."""
    shown = oracle.plain("get_model_config", model)
    return shown if oracle.is_http else shown["config"]


def as_message(oracle: Oracle, model: str) -> Any:
    message = model_config_pb2.ModelConfig()
    return json_format.ParseDict(as_json(oracle, model), message)


def refusal(oracle: Oracle, **config: Any) -> str:
    """What a client is told who loads a model with this configuration."""
    with pytest.raises(InferenceServerException) as caught:
        oracle.does("load_model", "probe", config=json.dumps({**BASE, **config}))
    return str(caught.value.message())


BARE = {
    "name": "bare",
    "platform": "onnxruntime_onnx",
    "backend": "onnxruntime",
    "runtime": "",
    "version_policy": {"latest": {"num_versions": 1}},
    "max_batch_size": 4,
    "input": [
        {
            "name": "IN_x",
            "data_type": "TYPE_FP32",
            "format": "FORMAT_NONE",
            "dims": [3],
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
            "is_non_linear_format_io": False,
        }
    ],
    "output": [
        {
            "name": "OUT_x",
            "data_type": "TYPE_FP32",
            "dims": [3],
            "label_filename": "",
            "is_shape_tensor": False,
            "is_non_linear_format_io": False,
        }
    ],
    "batch_input": [],
    "batch_output": [],
    "optimization": {
        "priority": "PRIORITY_DEFAULT",
        "input_pinned_memory": {"enable": True},
        "output_pinned_memory": {"enable": True},
        "gather_kernel_buffer_threshold": 0,
        "eager_batching": False,
    },
    "dynamic_batching": {
        "preferred_batch_size": [4],
        "max_queue_delay_microseconds": 0,
        "preserve_ordering": False,
        "priority_levels": 0,
        "default_priority_level": 0,
        "priority_queue_policy": {},
    },
    "instance_group": [
        {
            "name": "bare",
            "kind": "KIND_CPU",
            "count": 2,
            "gpus": [],
            "secondary_devices": [],
            "profile": [],
            "passive": False,
            "host_policy": "",
        }
    ],
    "default_model_filename": "model.onnx",
    "cc_model_filenames": {},
    "metric_tags": {},
    "parameters": {},
    "model_warmup": [],
}


@pytest.mark.triton("2.14", "2.15", "2a.1", "2a.3", "2b.2", "2c.9")
def test_a_model_without_a_configuration_is_shown_as_triton_shows_it(http: Oracle) -> None:
    """Every primitive default; absent messages, and alternatives not chosen, are left out."""
    shown = as_json(http, "bare")
    assert shown == BARE
    assert list(shown) == list(BARE)


@pytest.mark.triton("2.15")
def test_all_clients_get_the_same_configuration(http: Oracle, oracle: Oracle) -> None:
    for model in ("bare", "echo", "types", "optional", "reshaped"):
        assert as_message(oracle, model) == as_message(http, model)


@pytest.mark.triton("2.16", "2.15")
def test_what_a_client_is_shown_it_may_send_back(oracle: Oracle) -> None:
    """Model Analyzer loads what it was shown, changed a little: 64-bit numbers in both forms."""
    for model in ("bare", "optional", "reshaped"):
        before = as_message(oracle, model)
        oracle.does("load_model", model, config=json.dumps(as_json(oracle, model)))
        assert as_message(oracle, model) == before


@pytest.mark.triton("2.16")
def test_an_override_is_read_in_any_case_and_refused_with_unknown_fields(oracle: Oracle) -> None:
    config = {
        "backend": "synthetic",
        "maxBatchSize": "2",
        "input": [{"name": "x", "data_type": "type_int8", "dims": ["3"]}],
        "output": [{"name": "y", "data_type": "Type_Int8", "dims": [3]}],
        "instance_group": [{"kind": "kind_cpu", "count": 3}],
    }
    oracle.does("load_model", "probe", config=json.dumps(config))
    shown = as_message(oracle, "probe")
    assert (shown.max_batch_size, shown.instance_group[0].count) == (2, 3)
    assert shown.input[0].data_type == model_config_pb2.DataType.TYPE_INT8
    said = refusal(oracle, max_batch=3)
    assert said.startswith("Invalid config override: ")
    assert "max_batch: no such field in ModelConfig" in said


NO_CONFIGURATIONS = {
    "nothing": "",
    "a list": "[]",
    "a number": "3",
    "a name that is a number": '{"name": 4}',
    "unfinished": "{",
    "deep": "[" * 100_000,
    "too large for 32 bits": '{"max_batch_size": 1e99}',
    "too large for 64 bits": '{"input": [{"dims": [9223372036854775808]}]}',
    "too large for a float": '{"sequence_batching": {"direct": {"minimum_slot_utilization": 1%s}}}'
    % ("0" * 400),
    "half a character": '{"name": "\\ud800"}',
}


@pytest.mark.triton("2.16")
@pytest.mark.parametrize("text", NO_CONFIGURATIONS.values(), ids=NO_CONFIGURATIONS.keys())
def test_an_override_that_is_no_configuration_is_refused(http: Oracle, text: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        http.does("load_model", "probe", config=text)
    assert caught.value.status() == "400"
    assert "Invalid config override: " in str(caught.value.message())


@pytest.mark.triton("2.1")
def test_max_batch_size_decides_whether_shapes_have_a_batch_dimension(oracle: Oracle) -> None:
    assert shape(oracle, "echo") == [-1, 3]
    assert shape(oracle, "optional") == [1]
    rows = oracle.infer(Asked("echo", {"x": np.ones((8, 3), np.float32)}))
    assert rows.as_numpy("y").shape == (8, 3)
    with pytest.raises(InferenceServerException, match="Expected \\[1\\], got \\[1,1\\]"):
        oracle.infer(Asked("optional", {"a": np.ones((1, 1), np.float32)}))
    said = refusal(oracle, max_batch_size=-1)
    assert "'max_batch_size' must be non-negative value for probe" in said


def shape(oracle: Oracle, model: str) -> list[int]:
    return [int(dim) for dim in oracle.plain("get_model_metadata", model)["inputs"][0]["shape"]]


@pytest.mark.triton("2.2", "2.3")
def test_every_field_of_a_tensor_is_read_and_shown(oracle: Oracle) -> None:
    given = {
        "name": "x",
        "data_type": "TYPE_INT16",
        "format": "FORMAT_NCHW",
        "dims": [1, 2, 3],
        "reshape": {"shape": [6]},
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": True,
        "is_non_linear_format_io": False,
    }
    made = {
        "name": "y",
        "data_type": "TYPE_INT16",
        "dims": [1, 2, 3],
        "label_filename": "",
        "reshape": {"shape": [6]},
        "is_shape_tensor": False,
        "is_non_linear_format_io": False,
    }
    config = {"backend": "synthetic", "max_batch_size": 2, "input": [given], "output": [made]}
    oracle.does("load_model", "probe", config=json.dumps(config))
    shown = as_message(oracle, "probe")
    assert shown.input[0] == json_format.ParseDict(given, model_config_pb2.ModelInput())
    assert shown.output[0] == json_format.ParseDict(made, model_config_pb2.ModelOutput())


@pytest.mark.triton("2.4")
@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"data_type": "TYPE_FP32", "dims": [3]}, "model input must specify 'name' for probe"),
        ({"name": "x", "dims": [3]}, "model input 'x' must specify 'data_type'"),
        ({"name": "x", "data_type": "TYPE_FP32"}, "model input 'x' must specify 'dims' for probe"),
        (
            {"name": "x", "data_type": "TYPE_FP32", "dims": [0]},
            (
                "model input 'x' dimension must be integer >= 1, or -1 to indicate a variable-size "
                "dimension for probe"
            ),
        ),
    ],
)
def test_a_tensor_needs_name_type_and_dimensions(
    http: Oracle, tensor: dict[str, Any], said: str
) -> None:
    assert said in refusal(http, input=[tensor])
    assert said.replace("input", "output") in refusal(http, output=[tensor])


@pytest.mark.triton("2.5")
@pytest.mark.parametrize(
    ("dims", "shape", "said"),
    [
        ([2, 3], [7], "model input 'x' has different size for dims and reshape for probe"),
        ([2], [], "model input 'x' has different size for dims and reshape for probe"),
        (
            [-1, 2],
            [2],
            "model input 'x' has different number of variable-size dimensions for dims and reshape",
        ),
        ([2, -1, 3], [3, -1, 2], "model input 'x' has different size for dims and reshape"),
        ([2], [2, 0], "model input 'x' reshape dimensions must be integer >= 1, or -1"),
    ],
)
def test_a_reshape_has_as_many_elements(
    http: Oracle, dims: list[int], shape: list[int], said: str
) -> None:
    tensor = {"name": "x", "data_type": "TYPE_FP32", "dims": dims, "reshape": {"shape": shape}}
    assert said in refusal(http, input=[tensor])


@pytest.mark.triton("2.5")
def test_an_empty_reshape_is_for_batches_of_scalars(http: Oracle) -> None:
    scalar = {"name": "x", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}
    assert (
        "model input 'x' cannot have empty reshape for non-batching model as scalar tensors are "
        "not supported for probe"
    ) in refusal(http, input=[scalar], max_batch_size=0)


@pytest.mark.triton("2.5")
def test_a_client_sees_dims_and_the_model_the_reshape(oracle: Oracle) -> None:
    """The graph wants [n,2,3], [n] and [n,8,k,1,6]; sizes at -1 are carried over."""
    sent = {
        "IN_flat": np.arange(12, dtype=np.float32).reshape(2, 6),
        "IN_scalar": np.ones((2, 1), np.float32),
        "IN_any": np.arange(2 * 2 * 4 * 5 * 6, dtype=np.float32).reshape(2, 2, 4, 5, 6),
    }
    result = oracle.infer(Asked("reshaped", sent))
    np.testing.assert_array_equal(result.as_numpy("OUT_flat"), sent["IN_flat"].reshape(2, 2, 3))
    np.testing.assert_array_equal(result.as_numpy("OUT_scalar"), sent["IN_scalar"])
    np.testing.assert_array_equal(result.as_numpy("OUT_any"), sent["IN_any"])


@pytest.mark.triton("2.6")
def test_an_image_has_three_dimensions(http: Oracle) -> None:
    image = {"name": "x", "data_type": "TYPE_FP32", "format": "FORMAT_NHWC", "dims": [2, 4]}
    assert "model input NHWC/NCHW require 3 dims for probe" in refusal(http, input=[image])


@pytest.mark.triton("2.7")
def test_an_optional_input_may_be_left_out(oracle: Oracle) -> None:
    ones = np.ones(1, np.float32)
    both = oracle.infer(Asked("optional", {"a": ones, "b": ones}))
    assert both.as_numpy("d").tolist() == [1]
    one = oracle.infer(Asked("optional", {"a": ones}))
    assert one.as_numpy("c").tolist() == [1]
    assert one.as_numpy("d") is None
    with pytest.raises(InferenceServerException, match="expected number of inputs between 1 and 2"):
        oracle.infer(Asked("optional", {}))


@pytest.mark.triton("2.7")
def test_onnx_refuses_an_optional_input_in_a_model_that_batches(http: Oracle) -> None:
    config = as_json(http, "bare")
    config["input"][0]["optional"] = True
    with pytest.raises(InferenceServerException, match="optional input 'IN_x' is not supported"):
        http.does("load_model", "bare", config=json.dumps(config))


@pytest.mark.triton("2.8")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"platform": "tensorrt_plan", "backend": "onnxruntime"},
            "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
        ),
        (
            {"platform": "torch_aoti", "backend": "onnxruntime"},
            "unexpected 'platform' and 'backend' pair, got:torch_aoti, onnxruntime",
        ),
        (
            {"platform": "mine", "backend": "onnxruntime"},
            "unexpected 'platform' and 'backend' pair, got:mine, onnxruntime",
        ),
    ],
)
def test_platform_and_backend_fit_each_other(
    http: Oracle, config: dict[str, str], said: str
) -> None:
    assert said in problems_of(config)
    whole = {**as_json(http, "bare"), **config}
    with pytest.raises(InferenceServerException) as caught:
        http.does("load_model", "bare", config=json.dumps(whole))
    assert said in str(caught.value.message())


def problems_of(config: dict[str, Any]) -> list[str]:
    read = convert.from_json({"name": "probe", "backend": "synthetic", **config}, "config")
    return [finding.what for finding in findings(read)]


@pytest.mark.triton("2.8")
def test_a_platform_of_nobodys_goes_with_a_backend_of_nobodys(http: Oracle) -> None:
    config = {**as_json(http, "echo"), "name": "probe", "platform": "mine"}
    http.does("load_model", "probe", config=json.dumps(config))
    assert http.plain("get_model_metadata", "probe")["platform"] == "mine"


@pytest.mark.triton("2.9")
def test_metric_tags_are_labels_of_the_models_metrics(server: Ports) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics.port}/metrics") as page:
        lines = page.read().decode().splitlines()
    tagged = [line for line in lines if 'model="optional"' in line]
    assert tagged
    assert all('_team="vision"' in line for line in tagged)
    assert not any("_team" in line for line in lines if 'model="echo"' in line)


@pytest.mark.triton("2.10")
def test_parameters_reach_the_backend_and_are_shown(oracle: Oracle) -> None:
    assert as_message(oracle, "optional").parameters["note"].string_value == "kept"
    said = refusal(oracle, parameters={"fail_load": {"string_value": "as it was told"}})
    assert "parameter fail_load says: as it was told" in said


@pytest.mark.triton("2.12")
def test_decoupled_models_are_not_cached(oracle: Oracle) -> None:
    said = refusal(
        oracle, response_cache={"enable": True}, model_transaction_policy={"decoupled": True}
    )
    assert (
        "Response Cache does not currently support model probe with 'decoupled' transaction "
        "policy. Please disable the response cache."
    ) in said


@pytest.mark.triton("2.14")
def test_defaults_are_filled_in_where_the_configuration_says_nothing(oracle: Oracle) -> None:
    config = as_message(oracle, "echo")
    assert config.version_policy.latest.num_versions == 1
    assert config.optimization.input_pinned_memory.enable
    assert config.optimization.output_pinned_memory.enable
    assert not config.HasField("dynamic_batching")
    batched = {**BASE, "dynamic_batching": {"max_queue_delay_microseconds": 100}}
    oracle.does("load_model", "probe", config=json.dumps(batched))
    assert as_message(oracle, "probe").dynamic_batching.preferred_batch_size == [8]


@pytest.mark.triton("2.17")
def test_all_types_have_two_words_each(oracle: Oracle) -> None:
    shown, config = oracle.plain("get_model_metadata", "types"), as_json(oracle, "types")
    api = {tensor["name"]: tensor["datatype"] for tensor in shown["inputs"] + shown["outputs"]}
    words = {one["name"]: one["data_type"] for one in config["input"] + config["output"]}
    assert len(words) == len(api) == 2 * 14
    for name, word in words.items():
        assert name.endswith(f"_{api[name]}")
        assert word == ("TYPE_STRING" if api[name] == "BYTES" else f"TYPE_{api[name]}")


@pytest.mark.triton("2b.1", "2b.2")
def test_instance_groups_are_shown_as_they_were_resolved(oracle: Oracle) -> None:
    groups = [{"count": 2, "kind": "KIND_CPU"}, {"name": "mine", "kind": "KIND_MODEL"}, {}]
    oracle.does("load_model", "probe", config=json.dumps({**BASE, "instance_group": groups}))
    shown = as_message(oracle, "probe").instance_group
    kinds = model_config_pb2.ModelInstanceGroup
    assert [(one.name, one.kind, one.count) for one in shown] == [
        ("probe_0", kinds.KIND_CPU, 2),
        ("mine", kinds.KIND_MODEL, 1),
        ("probe_2", kinds.KIND_CPU, 1),
    ]
    said = refusal(oracle, instance_group=[{"kind": "KIND_CPU", "gpus": [0]}])
    assert (
        "instance group probe_0 of model probe has kind KIND_CPU but specifies one or more GPUs"
    ) in said


@pytest.mark.triton("2c.9")
def test_pinned_memory_switches_are_read_and_shown(oracle: Oracle) -> None:
    switches = {"input_pinned_memory": {"enable": False}}
    oracle.does("load_model", "probe", config=json.dumps({**BASE, "optimization": switches}))
    shown = as_message(oracle, "probe").optimization
    assert (shown.input_pinned_memory.enable, shown.output_pinned_memory.enable) == (False, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"data_type": "TYPE_FP32", "dims": [-1], "zero_data": True},
            "warmup setting expects all variable-size dimensions are specified for input 'x'",
        ),
        (
            {"data_type": "TYPE_FP32", "dims": [3]},
            "warmup setting expects input 'x' to have input_data_type set",
        ),
    ],
)
def test_a_sample_says_its_sizes_and_where_its_values_are_from(
    http: Oracle, given: dict[str, Any], said: str
) -> None:
    sample = {"name": "w", "batch_size": 1, "inputs": {"x": given}}
    assert said in refusal(http, model_warmup=[sample])


@pytest.mark.triton("2d.3")
def test_an_ensemble_has_no_warm_up() -> None:
    found = problems_of({"platform": "ensemble", "backend": "", "model_warmup": [{"name": "w"}]})
    assert "model_warmup can not be specified for ensemble 'probe'" in found


@pytest.mark.triton("2e.1")
def test_a_label_file_lies_in_the_models_folder(oracle: Oracle) -> None:
    output = {"name": "y", "data_type": "TYPE_FP32", "dims": [3]}
    for file in ("../labels.txt", "/etc/labels.txt"):
        said = refusal(oracle, output=[{**output, "label_filename": file}])
        assert f"Unsupported: model output 'y' label file '{file}' is outside of" in said


@pytest.mark.triton("8.12")
def test_sequences_are_not_cached(oracle: Oracle) -> None:
    said = refusal(oracle, response_cache={"enable": True}, sequence_batching={})
    assert (
        "Response Cache does not currently support model probe with sequence batching scheduler. "
        "Please disable the response cache."
    ) in said


@pytest.mark.triton("2.14", "2.15")
def test_the_sequence_batchers_defaults_are_filled_in_and_shown(oracle: Oracle) -> None:
    """No strategy means direct, and is shown as none."""
    oracle.does("load_model", "probe", config=json.dumps({**BASE, "sequence_batching": {}}))
    batching = as_message(oracle, "probe").sequence_batching
    assert batching.max_sequence_idle_microseconds == 1_000_000
    assert batching.WhichOneof("strategy_choice") is None
    oldest = {"oldest": {"max_candidate_sequences": 2}}
    oracle.does("load_model", "probe", config=json.dumps({**BASE, "sequence_batching": oldest}))
    batching = as_message(oracle, "probe").sequence_batching
    assert batching.oldest.preferred_batch_size == [8]
    if oracle.is_http:
        shown = as_json(oracle, "probe")["sequence_batching"]
        assert shown == {
            "oldest": {
                "max_candidate_sequences": 2,
                "preferred_batch_size": [8],
                "max_queue_delay_microseconds": 0,
                "preserve_ordering": False,
            },
            "max_sequence_idle_microseconds": 1_000_000,
            "control_input": [],
            "state": [],
            "iterative_sequence": False,
        }
