"""A search laid out: what of the machine's description decides by what a model is run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analyzer import layout, provision
from analyzer.assembly import Assembly
from analyzer.config.schema import Composing, LaunchMode, ProfileOptions
from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.space import BACKEND, PRECISION, Axis, Dimension, Limits, Value
from analyzer.stages import Plan
from engine.modelconfig.schema import EnsembleStep, InstanceGroup, InstanceKind, ModelConfig

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


def test_the_models_of_a_pipeline_have_each_their_own_settings_and_what_is_said_of_them() -> None:
    steps = tuple(EnsembleStep(model_name=name) for name in ("a", "b"))
    top = ModelConfig(name="p", platform="ensemble", max_batch_size=4, ensemble_scheduling=steps)
    whole = Assembly("p", top, {"a": replace(BASE, name="a"), "b": replace(BASE, name="b")})
    said = (Composing(name="b", parameters=(Dimension("max_batch_size", (1, 2)),)),)
    options = ProfileOptions(model="p", ensemble_composing=said)
    made = layout.lay_out(options, Goal(), whole, MACHINE, files={"a": FILES["m"]})
    names = values(made)
    assert names["a::backend"] == ("onnxruntime", "openvino")
    assert {name: given for name, given in names.items() if name.startswith("b::")} == {
        "b::max_batch_size": (1, 2)
    }
    assert not {name for name in names if "::" not in name}
    assert made.plan.means["a"].files == FILES["m"]
    assert made.plan.means["b"].files is None
    assert [str(each) for each in made.plan.default] == ["concurrency=1", "concurrency=4"]


def test_models_side_by_side_have_each_their_own_options_and_load() -> None:
    every = tuple(
        ProfileOptions(model=name, limits=Limits(concurrencies=loads, max_instance_count=most))
        for name, loads, most in (("a", (1, 4), 1), ("b", (2,), 2))
    )
    whole = Assembly.beside({name: replace(BASE, name=name) for name in "ab"})
    made = layout.lay_out(provision.joint(every), Goal(), whole, {"cores": 2})
    assert values(made)["a::instance_count"] == (1,)
    assert values(made)["b::instance_count"] == (1, 2)
    assert [str(each) for each in made.plan.default] == [
        "a::concurrency=1 b::concurrency=2", "a::concurrency=4 b::concurrency=2"
    ]  # fmt: skip
    assert not made.plan.curve
    assert made.problem.base is None


def test_models_that_share_a_server_have_one_set_of_its_flags() -> None:
    every = (ProfileOptions(model="a"), ProfileOptions(model="b", server_flags=("--x",)))
    with pytest.raises(UsageError, match="b: server flags differ from a's: models that are"):
        provision.joint(every)


def test_a_machine_described_before_there_were_such_dimensions_has_none() -> None:
    assert BACKEND not in values(laid(ProfileOptions(model="m", search_mode="auto"), {"cores": 2}))


def test_model_analyzers_searches_vary_them_only_where_they_are_listed() -> None:
    assert BACKEND not in values(laid(ProfileOptions(model="m", search_mode="quick"), MACHINE))
    listed = ProfileOptions(
        model="m", search_mode="quick", limits=Limits(backends=("onnxruntime", "openvino"))
    )
    assert values(laid(listed, MACHINE))[BACKEND] == ("onnxruntime", "openvino")


def test_searches_for_the_highest_rate_take_their_share_of_a_time_that_was_given() -> None:
    goal = parse_goal(["goodput"], latency_budget=10.0)

    def plan(**options: Any) -> Plan:
        return layout.lay_out(ProfileOptions(model="m", **options), goal, BASE, MACHINE).plan

    assert plan().goodput_seconds == layout.GOODPUT_SECONDS
    assert plan().whole_seconds == layout.WHOLE_SECONDS
    short, long = plan(max_time=100.0), plan(max_time=1000.0)
    assert (short.goodput_seconds, short.whole_seconds) == (20.0, 60.0)
    assert (long.goodput_seconds, long.whole_seconds) == (40.0, 920.0)
    assert laid(ProfileOptions(model="m"), MACHINE).plan.goodput_seconds == 0.0
