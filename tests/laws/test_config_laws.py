"""Laws of the configuration's edge: what is written is what is read, in every form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.configs import configs
from tritonclient.grpc import model_config_pb2

from engine.errors import ConfigError
from engine.modelconfig import convert
from engine.modelconfig.agree import disagreements
from engine.modelconfig.check import findings
from engine.modelconfig.complete import complete, input_specs
from engine.modelconfig.schema import ModelConfig
from engine.repository.recognise import recognise
from engine.types import DType, TensorSpec


@given(configs())
@settings(max_examples=60, deadline=None)
def test_text_says_again_what_was_written(config: ModelConfig) -> None:
    assert convert.loads(convert.dumps(config), "config.pbtxt") == config


@given(configs())
@settings(max_examples=60, deadline=None)
def test_json_says_again_what_was_written(config: ModelConfig) -> None:
    plain = json.loads(json.dumps(convert.to_json(config), allow_nan=False))
    assert convert.from_json(plain, "override") == config


@given(configs())
@settings(max_examples=50, deadline=None)
def test_bytes_say_again_what_was_written(config: ModelConfig) -> None:
    message = model_config_pb2.ModelConfig()
    message.ParseFromString(convert.to_proto(config).SerializeToString())
    assert convert.from_proto(message) == config


_FRAGMENTS = st.sampled_from(
    [
        'name: "m"',
        "max_batch_size: 8",
        "max_batch_size: eight",
        "max_batch: 3",
        "input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 2 ] }",
        "input [ { name: 'x' data_type: TYPE_FLOAT dims: 3 } ]",
        "input [ { name: 'x' dims: [ a ] } ]",
        "instance_group { kind: KIND_CPU count: 2 }",
        "instance_group { kind: KIND_TPU }",
        "dynamic_batching { }",
        "sequence_batching { direct { } }",
        "dynamic_batching 3",
        "# a comment\n",
        "{",
        "}",
        "[",
        "]",
        '"',
        "\n",
        "é",
        ": , ;",
    ]
)


@given(st.lists(_FRAGMENTS | st.text(max_size=5), max_size=8).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_places_inside_it(text: str) -> None:
    lines = text.split("\n")
    found = convert.read(text, "c")
    for problem in found.problems:
        assert problem.line is not None
        assert problem.column is not None
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
    if not found.problems:
        assert convert.loads(convert.dumps(found.config), "c") == found.config


@given(configs(), st.sampled_from(["onnxruntime", "synthetic"]), st.sampled_from([-1, 1]))
@settings(max_examples=50, deadline=None)
def test_completing_twice_is_completing_once(config: ModelConfig, backend: str, first: int) -> None:
    batchable = first == -1
    spec = (TensorSpec("x", DType.FP32, (first, 4)),)

    def completed(config: ModelConfig) -> ModelConfig:
        named = recognise(replace(config, backend=config.backend or backend), "m", ("model.onnx",))
        return complete(named, inputs=spec, outputs=spec, batchable=batchable)

    try:
        once = completed(config)
    except ConfigError:
        assert config.max_batch_size != 0
        assert not batchable
    else:
        assert completed(once) == once
        assert once.name
        assert once.version_policy is not None
        assert once.output or once.is_ensemble or "x" in once.kept_outputs
        assert once.input or once.is_ensemble or once.batch_input or "x" in once.filled_inputs


@given(configs())
@settings(max_examples=50, deadline=None)
def test_a_client_sees_a_batch_dimension_exactly_where_the_model_batches(
    config: ModelConfig,
) -> None:
    batched = (-1,) if config.max_batch_size > 0 else ()
    for tensor, spec in zip(config.input, input_specs(config), strict=True):
        leading = () if tensor.is_shape_tensor else batched
        assert spec.shape == (*leading, *tensor.dims)


_FIELDS = {field.name for field in model_config_pb2.ModelConfig.DESCRIPTOR.fields}


@given(configs(), st.none() | st.just(()) | st.just((0, 1)))
@settings(max_examples=40, deadline=None)
def test_any_configuration_is_judged_and_every_finding_has_a_place(
    config: ModelConfig, gpus: tuple[int, ...] | None
) -> None:
    text = convert.dumps(config)
    places = convert.read(text, "c").places
    specs = (TensorSpec("x", DType.FP32, (-1, 4)),)
    for finding in (*findings(config, gpus), *disagreements(config, specs, specs)):
        assert finding.what
        assert finding.path[0] in _FIELDS, finding
        line, column = places.find(finding.path)
        if line is not None and column is not None:
            assert len(text.split("\n")[line - 1]) >= column


_KEYS = st.sampled_from(sorted(_FIELDS)) | st.sampled_from(
    ["dims", "kind", "value", "key", "step", "latest", "oldest", "maxBatchSize", "", "x"]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**320), 10**320)
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["TYPE_FP32", "kind_cpu", "1", "-7", "1e3", "Infinity", "\ud800"])
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _JSON, max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_json_is_a_configuration_or_is_refused(plain: dict[str, Any]) -> None:
    try:
        config = convert.from_json(plain, "c")
    except ConfigError:
        return  # refused, and by nothing else
    assert convert.from_json(convert.to_json(config), "c") == config
