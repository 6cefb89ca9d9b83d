"""Defaults and auto-completion, by Triton's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import ConfigError
from engine.modelconfig import convert
from engine.modelconfig.complete import (
    complete,
    input_specs,
    output_specs,
    problems,
    unnamed_batch,
)
from engine.modelconfig.schema import InstanceKind, ModelConfig, VersionPolicy
from engine.repository.recognise import recognise
from engine.types import DType, TensorSpec

_BATCHED = TensorSpec("x", DType.FP32, (-1, 3))
_FIXED = TensorSpec("x", DType.FP32, (1, 3))


def _complete(
    text: str,
    *,
    spec: TensorSpec | None = _BATCHED,
    backend: str = "onnxruntime",
    auto: bool = True,
    gpus: tuple[int, ...] = (),
    auto_gpu: bool = True,
) -> ModelConfig:
    specs = () if spec is None else (spec,)
    config = convert.loads(text, "c")
    if not config.is_ensemble:
        config = replace(config, backend=backend)
    return complete(
        recognise(config, "m", ()),
        inputs=specs,
        outputs=specs,
        batchable=all(spec.shape[:1] == (-1,) for spec in specs),
        auto=auto,
        gpus=gpus,
        auto_gpu=auto_gpu,
    )


def test_a_model_without_inputs_is_completed_too() -> None:
    config = complete(
        recognise(ModelConfig(backend="onnxruntime"), "m", ()),
        inputs=(),
        outputs=(TensorSpec("y", DType.FP32, (2,)),),
        batchable=False,
    )
    assert config.max_batch_size == 0
    assert output_specs(config) == (TensorSpec("y", DType.FP32, (2,)),)


def test_an_empty_file_is_completed_from_a_batching_model() -> None:
    config = _complete("")
    assert (config.name, config.backend, config.platform, config.default_model_filename) == (
        "m",
        "onnxruntime",
        "onnxruntime_onnx",
        "model.onnx",
    )
    assert config.max_batch_size == 4
    assert config.dynamic_batching is not None
    assert config.dynamic_batching.preferred_batch_size == (4,)
    assert config.input[0].dims == (3,)
    assert input_specs(config) == (_BATCHED,)
    assert output_specs(config) == (_BATCHED,)
    assert config.version_policy == VersionPolicy(latest=1)
    assert config.optimization is not None
    assert config.optimization.input_pinned_memory is True
    (group,) = config.instance_group
    assert (group.name, group.kind, group.count) == ("m", InstanceKind.KIND_CPU, 2)


def test_an_explicit_zero_is_overridden_when_tensors_are_missing() -> None:
    assert _complete("max_batch_size: 0").max_batch_size == 4


def test_tensors_in_the_file_switch_completion_off() -> None:
    config = _complete(
        'input { name: "x" data_type: TYPE_FP32 dims: 3 }\n'
        'output { name: "x" data_type: TYPE_FP32 dims: 3 }\nmax_batch_size: 8'
    )
    assert config.dynamic_batching is None
    assert config.max_batch_size == 8


@pytest.mark.triton("2a.9")
def test_completion_switched_off_still_fills_groups_and_policy() -> None:
    config = _complete("", auto=False)
    assert config.input == ()
    assert config.max_batch_size == 0
    assert len(config.instance_group) == 1
    assert config.version_policy == VersionPolicy(latest=1)


def test_a_batch_size_of_one_turns_no_batcher_on() -> None:
    assert _complete("max_batch_size: 1").dynamic_batching is None


def test_a_sequence_model_gets_no_dynamic_batcher() -> None:
    config = _complete("max_batch_size: 2 sequence_batching { direct { } }")
    assert config.dynamic_batching is None


def test_what_a_batcher_fills_or_keeps_is_not_completed_as_the_requests() -> None:
    text = """
sequence_batching {
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: 0
    int32_false_true: 1 } }
  state { input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 3 }
}
"""
    config = complete(
        recognise(convert.loads(text, "c"), "m", ("model.onnx",)),
        inputs=(
            _BATCHED,
            TensorSpec("START", DType.INT32, (-1, 1)),
            TensorSpec("s", DType.FP32, (-1, 3)),
        ),
        outputs=(_BATCHED, TensorSpec("t", DType.FP32, (-1, 3))),
        batchable=True,
    )
    assert [tensor.name for tensor in config.input] == ["x"]
    assert [tensor.name for tensor in config.output] == ["x"]
    assert config.max_batch_size == 4


def test_batch_inputs_count_as_inputs() -> None:
    config = _complete(
        'batch_input { target_name: "x" data_type: TYPE_INT32 source_input: "x" }\n'
        'output { name: "x" data_type: TYPE_FP32 dims: 3 }'
    )
    assert (config.input, config.max_batch_size) == ((), 0)


def test_a_fixed_batch_dimension_refuses_a_batch_size() -> None:
    expected = (
        "autofill failed for model 'm': model does not support batching while non-zero "
        "max_batch_size is specified; set max_batch_size: 0, or export"
    )
    with pytest.raises(ConfigError, match=expected):
        _complete("max_batch_size: 8", spec=_FIXED)


def test_a_fixed_model_keeps_its_whole_shape() -> None:
    config = _complete("", spec=_FIXED)
    assert config.max_batch_size == 0
    assert input_specs(config) == (_FIXED,)


def test_a_scalar_is_one_element_reshaped() -> None:
    config = _complete("", spec=TensorSpec("x", DType.INT64, (-1,)))
    assert (config.input[0].dims, config.input[0].reshape) == ((1,), ())
    assert input_specs(config)[0].shape == (-1, 1)
    assert problems(config, "c") == ()


def test_a_scalar_without_a_batch_has_no_reshape() -> None:
    config = _complete("", spec=TensorSpec("x", DType.INT64, ()))
    assert (config.input[0].dims, config.input[0].reshape) == ((1,), None)
    assert input_specs(config)[0].shape == (1,)
    assert problems(config, "c") == ()


def test_a_model_without_a_signature_keeps_what_the_file_says() -> None:
    config = _complete("max_batch_size: 3", spec=None, backend="python")
    assert config.max_batch_size == 3
    assert config.dynamic_batching is None
    assert config.default_model_filename == "model.py"
    assert config.instance_group[0].count == 1


@pytest.mark.triton("2b.1", "2b.2")
@pytest.mark.parametrize(
    ("group", "gpus", "kind", "count", "devices"),
    [
        ("", (), InstanceKind.KIND_CPU, 2, ()),
        ("", (0, 1), InstanceKind.KIND_GPU, 1, (0, 1)),
        ("kind: KIND_AUTO gpus: 1", (0, 1), InstanceKind.KIND_GPU, 1, (1,)),
        ("kind: KIND_AUTO gpus: 7", (0, 1), InstanceKind.KIND_CPU, 2, ()),
        ("kind: KIND_CPU count: 5", (0,), InstanceKind.KIND_CPU, 5, ()),
        ("kind: KIND_GPU", (0, 1), InstanceKind.KIND_GPU, 1, (0, 1)),
        ("kind: KIND_MODEL", (0,), InstanceKind.KIND_MODEL, 1, ()),
    ],
)
def test_an_instance_group_is_resolved_by_the_devices_that_are_there(
    group: str,
    gpus: tuple[int, ...],
    kind: InstanceKind,
    count: int,
    devices: tuple[int, ...],
) -> None:
    (resolved,) = _complete(f"instance_group {{ {group} }}", gpus=gpus).instance_group
    assert (resolved.kind, resolved.count, resolved.gpus) == (kind, count, devices)
    assert resolved.name == "m_0"


def test_an_ensemble_gets_no_instances_and_no_memory_settings() -> None:
    config = _complete('ensemble_scheduling { step { model_name: "a" } }', spec=None, backend="")
    assert config.platform == "ensemble"
    assert config.instance_group == ()
    assert config.optimization is None


def _named(text: str, spec: TensorSpec, *, named: bool) -> ModelConfig:
    return complete(
        replace(convert.loads(text, "c"), name="m", backend="openvino"),
        inputs=(spec,),
        outputs=(spec,),
        batchable=named,
        named_batch=named,
        default_max_batch_size=4,
    )


_WHOLE = "\n".join(
    f'{kind} {{ name: "x" data_type: TYPE_FP32 dims: 3 }}' for kind in ("input", "output")
)


@pytest.mark.triton("2a.4")
@pytest.mark.parametrize("text", ["", _WHOLE])
def test_a_named_batch_dimension_is_completed_whatever_the_configuration_says(text: str) -> None:
    found = _named(text, _FIXED, named=True)
    assert (found.max_batch_size, found.dynamic_batching is not None) == (4, True)
    assert found.input[0].dims == (3,)
    assert list(unnamed_batch(found, named_batch=True)) == []


def test_dims_of_the_models_whole_rank_leave_no_room_for_a_batch() -> None:
    found = _named(_WHOLE.replace("dims: 3", "dims: [ 1, 3 ]"), _FIXED, named=True)
    assert (found.max_batch_size, found.dynamic_batching) == (0, None)


@pytest.mark.triton("2a.4")
def test_a_model_that_names_no_batch_is_only_warned_of_its_batch_size() -> None:
    found = _named("max_batch_size: 8", _FIXED, named=False)
    assert (found.max_batch_size, found.dynamic_batching) == (8, None)
    (warning,) = unnamed_batch(found, named_batch=False)
    assert warning.warning
    assert "model does not support batching while non-zero max_batch_size" in warning.what
    assert list(unnamed_batch(found, named_batch=None)) == []


@pytest.mark.triton("2b.1")
def test_where_a_backend_cannot_use_gpus_only_a_group_that_says_so_is_on_one() -> None:
    text = "instance_group [ { }, { gpus: 0 }, { kind: KIND_GPU } ]"
    found = _complete(text, gpus=(0,), auto_gpu=False).instance_group
    assert [(one.kind.value, one.gpus) for one in found] == [
        ("KIND_CPU", ()),
        ("KIND_CPU", ()),
        ("KIND_GPU", (0,)),
    ]
