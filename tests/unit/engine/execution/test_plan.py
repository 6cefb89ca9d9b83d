"""Which instances a configuration asks for, and what it asks for in vain (spec 2b)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.fake_backend import config

from engine.execution.host import Host
from engine.execution.plan import plan, unsupported
from engine.modelconfig.schema import (
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    SequenceBatching,
)

CPU, GPU, AUTO = InstanceKind.KIND_CPU, InstanceKind.KIND_GPU, InstanceKind.KIND_AUTO
ITERATIVE = SequenceBatching(iterative_sequence=True)


@pytest.mark.parametrize(
    ("count", "cores", "threads"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (4, 2, 1)]
)
def test_cores_are_dealt_out_to_the_cpu_instances(count: int, cores: int, threads: int) -> None:
    planned = plan(config(groups=(InstanceGroup(kind=CPU, count=count),)), Host(cores=cores))
    assert [one.placement.threads for one in planned] == [threads] * count
    assert [one.placement.device for one in planned] == [None] * count


@pytest.mark.triton("2b.3")
@pytest.mark.triton("2b.3")
def test_a_gpu_group_has_its_count_on_each_gpu_and_takes_no_share_of_the_cores() -> None:
    groups = (
        InstanceGroup(name="g", kind=GPU, count=2, gpus=(0, 3)),
        InstanceGroup(name="c", kind=CPU, count=1),
    )
    planned = plan(config(groups=groups), Host(cores=4))
    assert [(one.name, one.placement.device) for one in planned] == [
        ("g_0_gpu0", 0),
        ("g_0_gpu3", 3),
        ("g_1_gpu0", 0),
        ("g_1_gpu3", 3),
        ("c_0", None),
    ]
    assert planned[-1].placement.threads == 4


@pytest.mark.triton("2b.1")
def test_auto_is_a_gpu_where_gpus_are_named_and_else_the_cpu() -> None:
    groups = (InstanceGroup(kind=AUTO, gpus=(1,)), InstanceGroup(kind=AUTO))
    assert [one.placement.device for one in plan(config(groups=groups), Host(cores=4))] == [1, None]


@pytest.mark.triton("2b.4")
def test_passive_instances_come_last_and_share_no_cores() -> None:
    groups = (
        InstanceGroup(name="idle", kind=CPU, count=1, passive=True),
        InstanceGroup(name="busy", kind=CPU, count=2),
    )
    planned = plan(config(groups=groups), Host(cores=8))
    assert [(one.name, one.passive) for one in planned] == [
        ("busy_0", False),
        ("busy_1", False),
        ("idle_0", True),
    ]
    assert planned[0].placement.threads == 4


def test_there_is_always_somebody_to_run() -> None:
    groups = (InstanceGroup(kind=CPU, count=1, passive=True),)
    assert [one.passive for one in plan(config(groups=groups), Host(cores=8))] == [False, True]
    assert len(plan(config(groups=()), Host(cores=8))) == 1


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (replace(config(), sequence_batching=ITERATIVE), "iterative_sequence"),
        (replace(config(), other={"model_operations": ""}), "model_operations"),
        (replace(config(), other={"model_repository_agents": ""}), "model_repository_agents"),
        (
            replace(
                config(groups=(InstanceGroup(kind=GPU, gpus=(0,)),)),
                cc_model_filenames={"8.0": "a.onnx"},
            ),
            "cc_model_filenames",
        ),
        (config(groups=(InstanceGroup(kind=GPU, count=1),)), "no GPU was found"),
    ],
)
def test_what_cannot_be_served_is_named(asked: ModelConfig, named: str) -> None:
    (text,) = unsupported(asked)
    assert named in text


def test_everything_is_named_at_once_and_nothing_without_cause() -> None:
    many = replace(config(), sequence_batching=ITERATIVE, other={"model_operations": ""})
    assert len(unsupported(many)) == 2
    assert unsupported(config(batching=DynamicBatching(preserve_ordering=True))) == ()
    assert unsupported(replace(config(), sequence_batching=SequenceBatching())) == ()


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16])
def test_instances_never_have_more_threads_than_cores_by_default(count: int, cores: int) -> None:
    """Unless there are more instances than cores; then each has one."""
    groups = (
        InstanceGroup(kind=CPU, count=count),
        InstanceGroup(kind=GPU, gpus=(0,)),
        InstanceGroup(kind=CPU, count=3, passive=True),
    )
    planned = plan(config(groups=groups), Host(cores=cores))
    threads = [one.placement.threads for one in planned if one.placement.device is None]
    assert sum(threads[:count]) <= max(cores, count)
    assert min(threads) >= 1


def test_host_policies_are_named_by_the_group_or_by_where_it_runs() -> None:
    groups = (
        InstanceGroup(kind=CPU),
        InstanceGroup(kind=InstanceKind.KIND_MODEL),
        InstanceGroup(kind=GPU, gpus=(1,)),
        InstanceGroup(kind=CPU, host_policy="mine"),
    )
    policies = {"cpu": frozenset({0}), "gpu_1": frozenset({1, 2}), "mine": frozenset({3})}
    planned = plan(config(groups=groups), Host(cores=8, policies=policies))
    assert [(one.policy, one.cores) for one in planned] == [
        ("cpu", {0}),
        ("model", None),
        ("gpu_1", {1, 2}),
        ("mine", {3}),
    ]


def test_the_instances_of_a_policy_share_its_cores_and_the_others_what_is_left() -> None:
    groups = (
        InstanceGroup(kind=CPU, count=2, host_policy="mine"),
        InstanceGroup(kind=CPU, count=2),
    )
    host = Host(cores=8, policies={"mine": frozenset({0, 1, 2, 3}), "another": frozenset({4})})
    threads = [one.placement.threads for one in plan(config(groups=groups), host)]
    assert threads == [2, 2, 2, 2]
    few = Host(cores=2, policies={"mine": frozenset({0, 1, 2, 3})})
    assert [one.placement.threads for one in plan(config(groups=groups), few)] == [1, 1, 1, 1]
