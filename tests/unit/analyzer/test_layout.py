"""A search laid out: what of the machine's description decides by what a model is run."""

from __future__ import annotations

from typing import Any

from analyzer import layout
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.ranking.goal import Goal
from analyzer.space import BACKEND, PRECISION, Axis, Limits, Value
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

BASE = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    default_model_filename="model.onnx",
    instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=1),),
)
MACHINE = {
    "cores": 2,
    "cpu_precisions": ["BF16"],
    "versions": {"onnxruntime": "1.30", "openvino": "2026.4", "torch": "2.13"},
}
FILES = {"m": frozenset({"model.onnx"})}


def laid(
    options: ProfileOptions, machine: dict[str, Any], *, settings: bool = True
) -> layout.Layout:
    return layout.lay_out(options, Goal(), BASE, machine, settings=settings, files=FILES)


def values(made: layout.Layout) -> dict[str, tuple[Value, ...]]:
    return {each.name: each.values for each in made.space.dimensions if each.axis is Axis.SETTING}


def test_packages_and_processor_say_by_what_a_model_can_be_run() -> None:
    made = laid(ProfileOptions(model="m", search_mode="auto"), MACHINE)
    assert values(made)[BACKEND] == ("onnxruntime", "openvino")
    assert values(made)[PRECISION] == ("FP32", "BF16")
    assert made.plan.means[""].machine.backends == {"onnxruntime", "openvino", "pytorch"}


def test_of_a_server_elsewhere_only_what_the_user_names_is_tried() -> None:
    remote = ProfileOptions(model="m", search_mode="auto", launch_mode=LaunchMode.REMOTE)
    assert BACKEND not in values(laid(remote, MACHINE))
    named = ProfileOptions(
        model="m", launch_mode=LaunchMode.REMOTE, limits=Limits(backends=("openvino",))
    )
    assert values(laid(named, MACHINE))[BACKEND] == ("openvino",)
    assert values(laid(named, MACHINE, settings=False)) == {}


def test_a_machine_described_before_there_were_such_dimensions_has_none() -> None:
    assert BACKEND not in values(laid(ProfileOptions(model="m", search_mode="auto"), {"cores": 2}))


def test_model_analyzers_searches_vary_them_only_where_they_are_listed() -> None:
    assert BACKEND not in values(laid(ProfileOptions(model="m", search_mode="quick"), MACHINE))
    listed = ProfileOptions(
        model="m", search_mode="quick", limits=Limits(backends=("onnxruntime", "openvino"))
    )
    assert values(laid(listed, MACHINE))[BACKEND] == ("onnxruntime", "openvino")
