"""``model_config_parameters``: any field, every leaf a choice; and what becomes of the choices."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from analyzer import variant
from analyzer.config.parameters import dimensions
from analyzer.config.values import Wrong
from analyzer.errors import UsageError
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Limits,
)
from engine.modelconfig.schema import (
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    SequenceBatching,
)

MODEL = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    dynamic_batching=DynamicBatching(),
    instance_group=(InstanceGroup(name="m_0", kind=InstanceKind.KIND_GPU, count=1, gpus=(0,)),),
    parameters={"inter_op_thread_count": "1"},
)


def tried(value: object) -> dict[str, list[object]]:
    """The values of each dimension, those of fields read back."""
    return {
        each.name: [
            json.loads(one) if isinstance(one, str) else one for one in each.values
        ]
        for each in dimensions(value)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"max_batch_size": [8, 1, 4]}, {MAX_BATCH_SIZE: [1, 4, 8]}),
        ({"max_batch_size": 16}, {MAX_BATCH_SIZE: [16]}),
        ({"dynamic_batching": {"max_queue_delay_microseconds": [200, 400]}},
         {QUEUE_DELAY: [200, 400]}),
        ({"dynamic_batching": {}}, {QUEUE_DELAY: [0]}),
        # One list is the field's value where the field repeats, and a list of lists is a choice.
        ({"dynamic_batching": {"preferred_batch_size": [4, 8]}},
         {"dynamic_batching": [{"preferred_batch_size": [4, 8]}]}),
        ({"dynamic_batching": {"preferred_batch_size": [[4], [4, 8]],
                               "max_queue_delay_microseconds": [0, 9]}},
         {"dynamic_batching": [
             {"preferred_batch_size": [4], "max_queue_delay_microseconds": 0},
             {"preferred_batch_size": [4], "max_queue_delay_microseconds": 9},
             {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 0},
             {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 9}]}),
        ({"instance_group": [{"kind": "KIND_CPU", "count": [1, 2]}]},
         {"instance_group": [[{"kind": "KIND_CPU"}]], INSTANCE_COUNT: [1, 2]}),
        ({"instance_group": [[{"kind": "KIND_CPU", "count": 1}],
                             [{"kind": "KIND_GPU", "count": 1}, {"kind": "KIND_CPU"}]]},
         {"instance_group": [[{"kind": "KIND_CPU", "count": 1}],
                             [{"kind": "KIND_GPU", "count": 1}, {"kind": "KIND_CPU"}]]}),
        ({"instance_group": [{"kind": ["KIND_CPU", "KIND_GPU"], "count": 2}]},
         {"instance_group": [[{"kind": "KIND_CPU", "count": 2}],
                             [{"kind": "KIND_GPU", "count": 2}]]}),
        ({"parameters": {"intra_op_thread_count": [1, 2]}}, {INTRA_OP_THREADS: [1, 2]}),
        ({"parameters": {"mode": ["a", "b"], "x": {"string_value": "y"}}},
         {"parameters": [{"mode": {"string_value": "a"}, "x": {"string_value": "y"}},
                         {"mode": {"string_value": "b"}, "x": {"string_value": "y"}}]}),
        ({"optimization": {"cuda": {"graphs": [True, False]}}},
         {"optimization": [{"cuda": {"graphs": True}}, {"cuda": {"graphs": False}}]}),
        ({"optimization": {"execution_accelerators": {"cpu_execution_accelerator": [
            [{"name": "openvino"}], []]}}},
         {"optimization": [
             {"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}},
             {"execution_accelerators": {"cpu_execution_accelerator": []}}]}),
    ],
)  # fmt: skip
def test_a_field_is_what_there_is_to_try_of_it(
    value: object, expected: dict[str, list[object]]
) -> None:
    assert tried(value) == expected


def test_fields_are_multiplied_by_the_search_and_the_batch_size_varies_last() -> None:
    value = {"max_batch_size": [1, 2], "instance_group": [{"count": [1, 2]}]}
    assert [each.name for each in dimensions(value)] == [INSTANCE_COUNT, MAX_BATCH_SIZE]


@pytest.mark.parametrize(
    ("value", "way", "words"),
    [
        ({"max_batchsize": 4}, ("max_batchsize",), "no such field in ModelConfig; did you mean"),
        ({"max_batch_size": ["big"]}, ("max_batch_size",), "expected a whole number"),
        ({"max_batch_size": []}, ("max_batch_size",), "expected at least one value"),
        (
            {"instance_group": [{"kind": ["KIND_CPU", "KIND_TPU"]}]},
            ("instance_group", 0, "kind"),
            "no such value 'KIND_TPU'",
        ),
        (
            {"dynamic_batching": {"max_queue_delay": 4}},
            ("dynamic_batching", "max_queue_delay"),
            "did you mean 'max_queue_delay_microseconds'?",
        ),
        ({"dynamic_batching": "on"}, ("dynamic_batching",), "expected an object"),
        ({"version_policy": {"latest": {"num_versions": list(range(1001))}}}, ("version_policy",),
         "more than 1000 values"),
    ],
)  # fmt: skip
def test_what_no_configuration_has_is_said_with_the_way_to_it(
    value: object, way: tuple[object, ...], words: str
) -> None:
    with pytest.raises(Wrong) as caught:
        dimensions(value)
    (found,) = caught.value.found
    assert found[0] == way
    assert words in found[1]


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValueError, match="expected fields of a model's configuration, found 4"):
        dimensions(4)


def test_choices_take_the_place_of_the_usual_settings_and_are_made() -> None:
    choices = dimensions({
        "instance_group": [{"kind": "KIND_CPU", "count": [1, 2]}],
        "parameters": {"x": ["y"]},
        "dynamic_batching": {"preferred_batch_size": [[2], [4]]},
    })  # fmt: skip
    space = variant.space(MODEL, variant.Machine(4), Limits(concurrencies=(1,)), choices)
    every = list(space)
    assert len(every) == 4
    assert {each.name for each in space.dimensions if each.axis is Axis.LOAD} == {CONCURRENCY}
    made = [variant.make(candidate, MODEL) for candidate in every]
    assert len({variant.digest(config) for config in made}) == 4
    assert {config.instance_group[0].count for config in made} == {1, 2}
    assert {config.instance_group[0].kind for config in made} == {InstanceKind.KIND_CPU}
    assert all(config.parameters == {"inter_op_thread_count": "1", "x": "y"} for config in made)
    sizes = {config.dynamic_batching.preferred_batch_size for config in made
             if config.dynamic_batching}  # fmt: skip
    assert sizes == {(2,), (4,)}
    assert variant.make(Candidate.of(concurrency=1), MODEL) == MODEL


def test_a_choice_that_excludes_what_the_model_has_is_refused_before_anything_is_measured() -> None:
    model = replace(MODEL, dynamic_batching=None, sequence_batching=SequenceBatching())
    choices = dimensions({"dynamic_batching": {"preserve_ordering": [True, False]}})
    with pytest.raises(UsageError, match=r"model_config_parameters: .*cannot be given together"):
        variant.space(model, variant.Machine(1), Limits(), choices)


def test_without_choices_the_load_alone_is_varied() -> None:
    space = variant.space(MODEL, variant.Machine(4), Limits(concurrencies=(1, 2)), ())
    assert [each.name for each in space.dimensions] == [CONCURRENCY]


def test_a_model_kept_off_the_gpus_has_every_instance_on_the_cpu() -> None:
    (group,) = variant.on_cpu(MODEL).instance_group
    assert (group.kind, group.gpus, group.count) == (InstanceKind.KIND_CPU, (), 1)
    (made,) = variant.on_cpu(replace(MODEL, instance_group=())).instance_group
    assert made.kind is InstanceKind.KIND_CPU
