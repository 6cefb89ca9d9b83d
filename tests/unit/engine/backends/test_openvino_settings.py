"""What a configuration makes of OpenVINO's settings: pure, whether it is installed or not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.backend import Placement
from engine.backends.openvino.settings import Settings, read
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig
from engine.shelf import Shelf


def settings(instances: int = 1, threads: int = 1, **parameters: str) -> Settings:
    group = InstanceGroup(kind=InstanceKind.KIND_CPU, count=instances)
    config = ModelConfig(name="m", parameters=parameters, instance_group=(group,))
    return read(config, Placement(threads=threads))


@pytest.mark.triton("2c.12")
def test_instances_are_streams_of_one_model_with_the_cores_that_they_have_together() -> None:
    assert settings(instances=2, threads=4).properties == {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "2",
        "INFERENCE_NUM_THREADS": "8",
    }


def test_passive_instances_and_those_of_a_gpu_are_no_streams() -> None:
    groups = (
        InstanceGroup(kind=InstanceKind.KIND_CPU, count=3),
        InstanceGroup(kind=InstanceKind.KIND_CPU, count=2, passive=True),
        InstanceGroup(kind=InstanceKind.KIND_GPU, count=2, gpus=(0,)),
    )
    found = read(ModelConfig(name="m", instance_group=groups), Placement())
    assert found.properties["NUM_STREAMS"] == "3"


@pytest.mark.triton("2c.12")
@pytest.mark.parametrize(
    ("parameters", "properties"),
    [
        ({"NUM_STREAMS": "AUTO"}, {"NUM_STREAMS": "AUTO"}),
        ({"NUM_STREAMS": "NUMA"}, {"NUM_STREAMS": "NUMA"}),
        ({"NUM_STREAMS": "3"}, {"NUM_STREAMS": "3"}),
        ({"INFERENCE_NUM_THREADS": "7"}, {"INFERENCE_NUM_THREADS": "7"}),
        ({"INFERENCE_NUM_THREADS": "0"}, {"INFERENCE_NUM_THREADS": "0"}),
        ({"HINT_BF16": "YES"}, {"INFERENCE_PRECISION_HINT": "bf16"}),
        ({"HINT_BF16": "NO"}, {"INFERENCE_PRECISION_HINT": "f32"}),
        ({"INFERENCE_PRECISION_HINT": "dynamic"}, {"INFERENCE_PRECISION_HINT": "dynamic"}),
        *(
            (
                {"PERFORMANCE_HINT": hint},
                {"PERFORMANCE_HINT": hint, "PERFORMANCE_HINT_NUM_REQUESTS": "2"},
            )
            for hint in ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")
        ),
    ],
)
def test_parameters_have_the_last_word(
    parameters: Mapping[str, str], properties: Mapping[str, str]
) -> None:
    assert settings(2, **parameters).properties.items() >= properties.items()


def test_a_performance_hint_chooses_the_streams_unless_they_are_given() -> None:
    assert "NUM_STREAMS" not in settings(PERFORMANCE_HINT="LATENCY").properties
    both = settings(PERFORMANCE_HINT="LATENCY", NUM_STREAMS="2").properties
    assert (both["PERFORMANCE_HINT"], both["NUM_STREAMS"]) == ("LATENCY", "2")


@pytest.mark.triton("2c.12")
def test_the_other_parameters_are_read() -> None:
    found = settings(
        CPU_EXTENSION_PATH="/lib/mine.so",
        SKIP_OV_DYNAMIC_BATCHSIZE="YES",
        ENABLE_BATCH_PADDING="yes",
        RESHAPE_IO_LAYERS="YES",
    )
    assert found.extension == "/lib/mine.so"
    assert (found.fixed_batch, found.padding, found.reshape) == (True, True, True)
    assert settings() == Settings(properties=settings().properties)


@pytest.mark.triton("2c.12")
def test_threads_to_compile_with_are_passed_on_to_a_device_that_has_them() -> None:
    assert settings(COMPILATION_NUM_THREADS="2").idle == ("COMPILATION_NUM_THREADS",)
    asked = settings(COMPILATION_NUM_THREADS="2", TARGET_DEVICE="GPU")
    assert (asked.properties, asked.idle) == ({"COMPILATION_NUM_THREADS": "2"}, ())


@pytest.mark.parametrize("device", ["GPU", "GPU.1", "AUTO:GPU,CPU", "HETERO:GPU,CPU", "NPU"])
def test_other_devices_get_only_what_is_written(device: str) -> None:
    found = settings(2, TARGET_DEVICE=device)
    assert (found.device, found.properties) == (device, {})
    asked = settings(2, TARGET_DEVICE=device, NUM_STREAMS="2", INFERENCE_PRECISION_HINT="f16")
    assert asked.properties == {"NUM_STREAMS": "2", "INFERENCE_PRECISION_HINT": "f16"}


@pytest.mark.triton("2c.12")
@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("PERFORMANCE_HINT", "FAST", "one of LATENCY, THROUGHPUT, CUMULATIVE_THROUGHPUT"),
        ("NUM_STREAMS", "many", "AUTO, NUMA or a whole number from 1 on"),
        ("NUM_STREAMS", "0", "a whole number from 1 on"),
        ("INFERENCE_NUM_THREADS", "-1", "a whole number from 0 on"),
        ("COMPILATION_NUM_THREADS", "x", "a whole number from 0 on"),
        ("HINT_BF16", "1", "YES or NO"),
        ("INFERENCE_PRECISION_HINT", "f17", "one of f32, bf16, f16, dynamic"),
        ("TARGET_DEVICE", "TPU", "one of CPU, GPU, NPU"),
    ],
)
def test_a_parameter_that_is_not_what_it_should_be_is_named(
    key: str, value: str, wanted: str
) -> None:
    with pytest.raises(InvalidArgument, match=rf"model 'm': parameters\['{key}'\]: expected") as it:
        settings(**{key: value})
    assert wanted in it.value.message
    assert f"found '{value}'" in it.value.message


def test_two_precisions_exclude_each_other() -> None:
    with pytest.raises(InvalidArgument, match="exclude each other"):
        settings(HINT_BF16="YES", INFERENCE_PRECISION_HINT="f32")


def test_an_nvidia_gpu_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(Unsupported, match="does not run on NVIDIA GPUs; write kind: KIND_CPU"):
        read(ModelConfig(name="m"), Placement(device=0))


def test_a_thing_is_made_once_and_goes_with_its_last_user() -> None:
    shelf: Shelf[object] = Shelf()
    first = shelf.take("a", object)
    assert shelf.take("a", object) is first
    assert shelf.take("b", object) is not first
    shelf.put_back("a")
    assert shelf.take("a", object) is first
    shelf.put_back("a")
    shelf.put_back("a")
    assert len(shelf) == 1
    assert shelf.take("a", object) is not first


def test_what_could_not_be_made_is_not_kept() -> None:
    shelf: Shelf[object] = Shelf()

    def fail() -> object:
        raise InvalidArgument("no")

    with pytest.raises(InvalidArgument):
        shelf.take("a", fail)
    assert len(shelf) == 0
    assert shelf.take("a", object) is not None
