"""config.pbtxt and JSON: what is written there, and what is said about mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.modelconfig import convert
from engine.modelconfig.schema import (
    CudaOptions,
    DynamicBatching,
    GraphBound,
    GraphSpec,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelPriority,
    Optimization,
    VersionPolicy,
)
from engine.types import DType

_WHOLE = """
# ResNet, as served
name: "resnet" 'x'
backend: "onnxruntime"
max_batch_size: 8;
input [ { name: "data", data_type: TYPE_FP32, format: FORMAT_NCHW, dims: [ 3, 224, -1 ] } ]
output { name: "prob" data_type: TYPE_FP32 dims: 1000 dims: 2 label_filename: "labels.txt" }
version_policy: { specific { versions: [1, 3] } }
instance_group < count: 2 kind: KIND_CPU >
dynamic_batching { max_queue_delay_microseconds: 100 }
parameters { key: "intra_op_thread_count" value: { string_value: "2" } }
parameters [ { key: "a" value { string_value: "b" } } ]
optimization {
  graph { level: -1 } priority: PRIORITY_MAX
  cuda {
    graphs: true
    graph_spec {
      batch_size: 8 input { key: "data" value { dim: [ 3, 224, 224 ] } }
      graph_lower_bound { batch_size: 5 }
    }
  }
}
model_operations { op_library_filename: "ops.so" }
model_transaction_policy { decoupled: true }
response_cache { enable: true }
"""


def said(text: str) -> list[str]:
    return [str(problem) for problem in convert.read(text, "m/config.pbtxt").problems]


@pytest.mark.triton("1.9", "2.3")
def test_every_way_of_writing_is_read() -> None:
    config = convert.loads(_WHOLE, "c")
    assert config.name == "resnetx"
    assert config.input == (
        ModelInput(
            name="data",
            data_type=DType.FP32,
            dims=(3, 224, -1),
            format=config.input[0].format,
        ),
    )
    assert config.input[0].format.value == "FORMAT_NCHW"
    assert config.output[0].dims == (1000, 2)
    assert config.output[0].label_filename == "labels.txt"
    assert config.version_policy == VersionPolicy(specific=(1, 3))
    assert config.instance_group == (InstanceGroup(count=2, kind=InstanceKind.KIND_CPU),)
    assert config.dynamic_batching == DynamicBatching(max_queue_delay_microseconds=100)
    assert config.parameters == {"intra_op_thread_count": "2", "a": "b"}
    spec = GraphSpec(
        batch_size=8, input={"data": (3, 224, 224)}, graph_lower_bound=GraphBound(batch_size=5)
    )
    assert config.optimization == Optimization(
        graph_level=-1,
        priority=ModelPriority.MAX,
        cuda=CudaOptions(graphs=True, graph_spec=(spec,)),
    )
    assert config.other == {
        "model_operations": 'model_operations {\n  op_library_filename: "ops.so"\n}\n'
    }
    assert config.decoupled
    assert config.response_cache


def test_absent_and_empty_differ() -> None:
    assert convert.loads("", "c").dynamic_batching is None
    assert convert.loads("dynamic_batching { }", "c").dynamic_batching == DynamicBatching()
    assert convert.loads("version_policy { all { } }", "c").version_policy == VersionPolicy(
        all=True
    )


@pytest.mark.triton("1.9")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'name: "m"\n  max_batch_size: "eight"\n',
            'm/config.pbtxt:2:19: max_batch_size: expected a whole number, found "eight"',
        ),
        (
            "max_batch: 8",
            (
                "m/config.pbtxt:1:1: max_batch: no such field in ModelConfig; "
                "did you mean 'max_batch_size'?"
            ),
        ),
        (
            "max_batch_size: 99999999999",
            (
                "m/config.pbtxt:1:17: max_batch_size: expected a whole number from -2147483648 to "
                "2147483647, found 99999999999"
            ),
        ),
        (
            "name: m",
            'm/config.pbtxt:1:7: name: expected a string in quotes, found m; write "m"',
        ),
        ('name "m"', "m/config.pbtxt:1:6: name: expected ':' before the value"),
        (
            "instance_group { kind: KIND_CPUS }",
            (
                "m/config.pbtxt:1:24: instance_group[0].kind: expected one of KIND_AUTO, KIND_CPU, "
                "KIND_GPU, KIND_MODEL, found KIND_CPUS; did you mean 'KIND_CPU'?"
            ),
        ),
        (
            'instance_group { kind: "KIND_CPU" }',
            (
                "m/config.pbtxt:1:24: instance_group[0].kind: expected a word without quotes, "
                'found "KIND_CPU"'
            ),
        ),
        (
            "optimization {\n eager_batching: maybe }",
            "m/config.pbtxt:2:18: optimization.eager_batching: expected true or false, found maybe",
        ),
        (
            'parameters { key: "a" value: "3" }',
            (
                'm/config.pbtxt:1:30: parameters[0].value: expected a block { ... }, found "3"; '
                'write value { string_value: "3" }'
            ),
        ),
        (
            "max_batch_size: 1\nmax_batch_size: 2",
            "m/config.pbtxt:2:1: max_batch_size: given twice; the first is on line 1; keep one",
        ),
        (
            "dynamic_batching { }\nsequence_batching { }",
            (
                "m/config.pbtxt:2:1: sequence_batching: cannot be given together with "
                "dynamic_batching on line 1; keep one of them"
            ),
        ),
        (
            'input [\n {\n  name: "x"\n',
            "m/config.pbtxt:2:2: this '{' is never closed; add the missing '}'",
        ),
        ('name: "m', "m/config.pbtxt:1:7: name: a string without its closing quote"),
        (
            "max_batch_size: 1 }",
            "m/config.pbtxt:1:19: expected a field's name or a value, found '}'",
        ),
        ("max_batch_size:", "m/config.pbtxt:1:16: max_batch_size: expected a value, the text ends"),
        (
            'input { name: "x" dims: [1, 2,] }',
            "m/config.pbtxt:1:31: expected a value, found ']'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(text: str, problem: str) -> None:
    assert said(text) == [problem]


def test_a_type_of_another_tool_is_translated() -> None:
    (problem,) = said('input { name: "x" data_type: TYPE_FLOAT dims: 1 }')
    assert "input[0].data_type: expected one of TYPE_BOOL, TYPE_UINT8" in problem
    assert problem.endswith("found TYPE_FLOAT; did you mean 'TYPE_FP32'?")


def test_a_missing_type_is_found_where_the_input_stands() -> None:
    (problem,) = said('max_batch_size: 1\ninput {\n  name: "x"\n  dims: 1\n}')
    assert problem.startswith("m/config.pbtxt:2:1: model input 'x' must specify 'data_type'; add")


def test_every_mistake_is_reported_at_once_in_the_order_of_the_text() -> None:
    text = """
max_batch_size: eight
input [
  { name: "a" data_type: TYPE_FLOAT dims: [ 3 ] },
  { name: 7 data_type: TYPE_FP32 dims: [ x ] }
]
instance_groups { count: 1 }
output { name: "b" dims: 1 }
"""
    with pytest.raises(ConfigError) as caught:
        convert.loads(text, "c")
    problems = caught.value.problems
    assert [(problem.line, problem.column) for problem in problems] == [
        (2, 17),
        (4, 26),
        (5, 11),
        (5, 42),
        (7, 1),
        (8, 1),
    ]
    assert str(caught.value).count("\n") == len(problems) - 1


def test_a_field_that_could_not_be_read_is_not_reported_as_missing() -> None:
    assert len(said('input { name: "a" data_type: TYPE_X dims: 1 }')) == 1


def test_numbers_outside_an_enum_are_refused() -> None:
    (problem,) = said('input { name: "a" dims: 1 data_type: 99 }')
    assert problem.startswith("m/config.pbtxt:1:27: input[0].data_type: no such value 99")


@pytest.mark.triton("2.15")
def test_the_json_form_is_tritons() -> None:
    plain = convert.to_json(convert.loads(_WHOLE, "c"))
    assert plain["dynamic_batching"] == {
        "preferred_batch_size": [],
        "max_queue_delay_microseconds": 100,
        "preserve_ordering": False,
        "priority_levels": 0,
        "default_priority_level": 0,
        "priority_queue_policy": {},
    }
    assert plain["version_policy"] == {"specific": {"versions": [1, 3]}}
    assert plain["input"][0]["dims"] == [3, 224, -1]
    assert plain["parameters"]["a"] == {"string_value": "b"}
    assert plain["metric_tags"] == {}
    assert plain["batch_input"] == []
    assert plain["instance_group"][0]["kind"] == "KIND_CPU"
    assert plain["platform"] == ""
    # Absent messages and alternatives not chosen are left out.
    assert "sequence_batching" not in plain
    assert "reshape" not in plain["input"][0]
    assert list(plain)[:3] == ["name", "platform", "backend"]


_LONG_NUMBERS = """
input { name: "x" data_type: TYPE_FP32 dims: 1 reshape { shape: 2 } }
output { name: "y" data_type: TYPE_FP32 dims: 3 reshape { shape: 4 } }
version_policy { specific { versions: 5 } }
model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 6 } } }
"""
_NUMBERS = {
    "input.0.dims.0": 1,
    "input.0.reshape.shape.0": 2,
    "output.0.dims.0": 3,
    "output.0.reshape.shape.0": 4,
    "version_policy.specific.versions.0": 5,
    "model_warmup.0.inputs.x.dims.0": 6,
}
_DYNAMIC = """
dynamic_batching {
  max_queue_delay_microseconds: 7 priority_levels: 8 default_priority_level: 9
  default_queue_policy { default_timeout_microseconds: 10 }
  priority_queue_policy { key: 2 value { default_timeout_microseconds: 11 } }
}
"""
_DYNAMIC_NUMBERS = {
    "dynamic_batching.max_queue_delay_microseconds": 7,
    "dynamic_batching.priority_levels": 8,
    "dynamic_batching.default_priority_level": 9,
    "dynamic_batching.default_queue_policy.default_timeout_microseconds": 10,
    "dynamic_batching.priority_queue_policy.2.default_timeout_microseconds": 11,
}
_SEQUENCE = """
sequence_batching {
  max_sequence_idle_microseconds: 12
  state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 13
    initial_state { name: "i" data_type: TYPE_FP32 dims: 14 zero_data: true } }
  %s { max_queue_delay_microseconds: 15 }
}
"""
_SEQUENCE_NUMBERS = {
    "sequence_batching.max_sequence_idle_microseconds": 12,
    "sequence_batching.state.0.dims.0": 13,
    "sequence_batching.state.0.initial_state.0.dims.0": "14",
}
_ENSEMBLE = 'ensemble_scheduling { step { model_name: "a" model_version: 16 } }'
_DEVICES = """
instance_group { secondary_devices { device_id: 17 } }
optimization { cuda { graph_spec { batch_size: 1 input { key: "x" value { dim: 18 } } } } }
"""
_DEVICE_NUMBERS = {
    "instance_group.0.secondary_devices.0.device_id": "17",
    "optimization.cuda.graph_spec.0.input.x.dim.0": "18",
}


@pytest.mark.triton("2.15")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_LONG_NUMBERS, _NUMBERS),
        (_DYNAMIC, _DYNAMIC_NUMBERS),
        (
            _SEQUENCE % "oldest",
            {**_SEQUENCE_NUMBERS, "sequence_batching.oldest.max_queue_delay_microseconds": 15},
        ),
        (
            _SEQUENCE % "direct",
            {**_SEQUENCE_NUMBERS, "sequence_batching.direct.max_queue_delay_microseconds": 15},
        ),
        (_ENSEMBLE, {"ensemble_scheduling.step.0.model_version": 16}),
        (_DEVICES, _DEVICE_NUMBERS),
    ],
)
def test_sixty_four_bit_numbers_are_numbers_where_triton_makes_them_so(
    text: str, expected: dict[str, int | str]
) -> None:
    plain = convert.to_json(convert.loads(text, "c"))
    for path, value in expected.items():
        found: Any = plain
        for step in path.split("."):
            found = found[int(step)] if isinstance(found, list) else found[step]
        assert found == value, path
    # Both forms are read again.
    assert convert.from_json(plain, "c") == convert.loads(text, "c")
    assert convert.from_json(_as_strings(plain), "c") == convert.loads(text, "c")


def _as_strings(plain: Any) -> Any:
    """Write every whole number as protobuf's own JSON writes long ones."""
    if isinstance(plain, dict):
        return {key: _as_strings(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_as_strings(one) for one in plain]
    return str(plain) if isinstance(plain, int) and not isinstance(plain, bool) else plain


@pytest.mark.triton("2.16")
def test_json_is_read_with_any_case_of_enums_and_both_styles_of_names() -> None:
    config = convert.from_json(
        {
            "maxBatchSize": "8",
            "input": [{"name": "x", "data_type": "type_fp32", "dims": ["4", -1]}],
            "instance_group": [{"kind": 2}],
            "dynamic_batching": {},
            "optimization": None,
        },
        "override",
    )
    assert config == ModelConfig(
        max_batch_size=8,
        input=(ModelInput(name="x", data_type=DType.FP32, dims=(4, -1)),),
        instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU),),
        dynamic_batching=DynamicBatching(),
    )


@pytest.mark.triton("2.16")
def test_every_mistake_in_json_is_reported_at_once_with_its_path() -> None:
    with pytest.raises(ConfigError) as caught:
        convert.from_json(
            {
                "max_batch": 4,
                "max_batch_size": "x",
                "input": [{"name": 3, "data_type": "TYPE_FLOAT", "dims": [True, 2]}],
                "parameters": {"a": "b"},
                "instance_group": {},
                "dynamic_batching": {},
                "sequence_batching": {},
            },
            "override",
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "override: max_batch: no such field in ModelConfig; did you mean 'max_batch_size'?",
        "override: max_batch_size: expected a whole number, found 'x'",
        "override: input[0].name: expected a string, found 3",
        "override: input[0].data_type: no such value 'TYPE_FLOAT'; did you mean 'TYPE_FP32'?",
        "override: input[0].dims[0]: expected a whole number, found True",
        "override: parameters.a: expected an object, found 'b'",
        "override: instance_group: expected a list, found {}",
        (
            "override: sequence_batching: cannot be given together with dynamic_batching; "
            "keep one of them"
        ),
    ]


def test_two_schedulers_made_in_memory_are_not_written() -> None:
    config = ModelConfig(dynamic_batching=DynamicBatching(), ensemble_scheduling=())
    with pytest.raises(ConfigError, match="only one of dynamic_batching and ensemble_scheduling"):
        convert.dumps(config)


def test_what_belonged_to_a_group_that_is_gone_is_dropped() -> None:
    text = "instance_group [ { }, { secondary_devices { device_id: 7 } } ]"
    config = convert.loads(text, "c")
    assert list(config.other) == ["instance_group[1].secondary_devices"]
    fewer = ModelConfig(instance_group=config.instance_group[:1], other=config.other)
    assert convert.loads(convert.dumps(fewer), "c").other == {}


@pytest.mark.triton("2.15", "2.16")
def test_what_json_has_no_numbers_for_are_words() -> None:
    text = """
model_metrics { metric_control { metric_identifier { family: "f" }
  histogram_options { buckets: [ 1.5, inf ] } } }
sequence_batching { direct { minimum_slot_utilization: 0.1 } }
"""
    config = convert.loads(text, "c")
    plain = json.loads(json.dumps(convert.to_json(config), allow_nan=False))
    control = plain["model_metrics"]["metric_control"][0]
    assert control["histogram_options"]["buckets"] == [1.5, "Infinity"]
    assert plain["sequence_batching"]["direct"]["minimum_slot_utilization"] == 0.1
    assert convert.from_json(plain, "c") == config
    for wrong in ("much", 10**400, True):
        with pytest.raises(ConfigError, match="expected a number, found"):
            convert.from_json(
                {"sequence_batching": {"direct": {"minimum_slot_utilization": wrong}}}, "c"
            )


def test_brackets_without_end_are_a_problem_and_no_fault() -> None:
    (problem,) = convert.read("input {" * 50_000, "m/config.pbtxt").problems
    assert str(problem).startswith("m/config.pbtxt:1:")


def test_a_string_that_is_no_text_is_told_at_its_place() -> None:
    (problem,) = convert.read("name: 'a'\ninput { name: '\\xff' }", "c").problems
    assert str(problem) == (
        "c:2:15: input[0].name: a string that is not UTF-8 text; write the text as it is"
    )
