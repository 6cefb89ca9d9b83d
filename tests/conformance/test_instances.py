"""Rows 2b: how many instances there are, what they are called, and where their threads run."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as triton_grpc
from support.in_thread import listening
from support.recorder import Recorder, recording, write
from support.serving import LOCAL, refused, until

from engine import examples
from engine.clock import SystemClock
from engine.execution.host import Host
from engine.options import ServeOptions
from engine.repository.registry import Registry

HERE = sorted(os.sched_getaffinity(0))
two_cores = pytest.mark.skipif(len(HERE) < 2, reason="pinning shows on two cores or more")


@dataclass(frozen=True)
class World:
    recorder: Recorder
    registry: Registry
    grpc: triton_grpc.InferenceServerClient

    def ask(self, model: str) -> None:
        given = triton_grpc.InferInput("X", [1, 2], "FP32")
        given.set_data_from_numpy(np.ones((1, 2), np.float32))
        self.grpc.infer(model, [given])


@contextmanager
def world(repository: Path, host: Host) -> Iterator[World]:
    recorder = Recorder()
    options = ServeOptions(model_repository=(repository,), exit_on_error=False)
    with (
        recording(options, host, recorder) as (ports, registry),
        triton_grpc.InferenceServerClient(f"127.0.0.1:{ports.grpc.port}") as grpc,
    ):
        yield World(recorder, registry, grpc)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    repository = tmp_path_factory.mktemp("models")
    write(repository, "plain")
    write(
        repository,
        "groups",
        'instance_group [ { kind: KIND_CPU count: 2 }, { name: "other" kind: KIND_MODEL } ]',
    )
    write(
        repository,
        "passive",
        "instance_group [ { kind: KIND_CPU }, { kind: KIND_CPU count: 3 passive: true } ]",
    )
    write(
        repository,
        "mine",
        'instance_group [ { kind: KIND_CPU count: 2 host_policy: "mine" } ]',
    )
    write(repository, "own", "instance_group [ { kind: KIND_MODEL } ]")
    policies = {"cpu": frozenset(HERE), "mine": frozenset(HERE[-1:])}
    with world(repository, Host(cores=8, policies=policies)) as opened:
        yield opened


@pytest.mark.triton("2b.3")
def test_instances_are_called_by_their_group_and_number(town: World) -> None:
    def names(model: str) -> list[str]:
        return [one.instance for name, one in town.recorder.placed if name == model]

    assert names("plain") == ["plain_0"]
    assert names("groups") == ["groups_0_0", "groups_0_1", "other_0"]


@pytest.mark.triton("2b.3")
def test_so_many_requests_run_at_once_as_there_are_instances(town: World) -> None:
    _run_at_once(town, "groups", 3)


@pytest.mark.triton("2b.4")
def test_a_passive_instance_is_loaded_and_gets_no_requests(town: World) -> None:
    assert sum(name == "passive" for name, _ in town.recorder.placed) == 4
    _run_at_once(town, "passive", 1)


def _run_at_once(town: World, model: str, most: int) -> None:
    with ThreadPoolExecutor(6) as workers:
        with town.recorder.doors_closed():
            asked = [workers.submit(town.ask, model) for _ in range(6)]
            town.recorder.wait_for(most, model)
            until(lambda: town.registry.get(model).pending == 6 - most, "the others to wait")
        for one in asked:
            one.result(20)
    assert town.recorder.most[model] == most


@pytest.mark.triton("2b.1", "2b.2", "2b.3")
def test_instances_are_put_on_the_gpus_that_there_are(tmp_path: Path) -> None:
    """Which GPU an instance is on is told to its backend, and shown in its name and policy."""
    write(tmp_path, "auto")
    write(tmp_path, "one", "instance_group [ { kind: KIND_GPU gpus: [ 1 ] count: 2 } ]")
    write(tmp_path, "mixed", "instance_group [ { kind: KIND_CPU }, { kind: KIND_AUTO gpus: 0 } ]")
    write(tmp_path, "absent", "instance_group [ { kind: KIND_AUTO gpus: [ 0, 7 ] } ]")
    write(tmp_path, "model", "instance_group [ { kind: KIND_MODEL } ]")
    with world(tmp_path, Host(cores=4, gpus=(0, 1))) as opened:
        placed = sorted(
            (one.instance, one.device, one.by_model) for _, one in opened.recorder.placed
        )
        opened.ask("one")
    assert placed == [
        ("absent_0_0", None, False),
        ("auto_0_gpu0", 0, False),
        ("auto_0_gpu1", 1, False),
        ("mixed_0_0", None, False),
        ("mixed_1_0_gpu0", 0, False),
        ("model_0_0", None, True),
        ("one_0_0_gpu1", 1, False),
        ("one_0_1_gpu1", 1, False),
    ]


@pytest.mark.triton("2b.1")
@pytest.mark.parametrize(
    ("gpus", "group", "said"),
    [
        ((), "kind: KIND_GPU", "has kind KIND_GPU but no GPUs are available"),
        ((0,), "kind: KIND_GPU gpus: [ 0, 3 ]", "invalid or unsupported gpu id 3"),
        ((0,), "kind: KIND_CPU gpus: [ 0 ]", "has kind KIND_CPU but specifies one or more GPUs"),
    ],
)
def test_a_gpu_that_is_not_there_fails_the_load(
    tmp_path: Path, gpus: tuple[int, ...], group: str, said: str
) -> None:
    write(tmp_path, "wrong", f"instance_group [ {{ {group} }} ]")
    with world(tmp_path, Host(cores=1, gpus=gpus)) as opened:
        (entry,) = opened.registry.index()
    assert said in entry.reason
    assert opened.recorder.placed == []


@two_cores
@pytest.mark.triton("2b.5")
def test_a_host_policy_pins_where_an_instance_runs_and_limits_its_threads(town: World) -> None:
    """Also of a model so small that it would else move to the event loop."""
    for _ in range(40):
        town.ask("mine")
    assert town.recorder.cores["mine"] == set(HERE[-1:])
    assert town.recorder.threads["mine"].startswith("mine_0_")
    town.ask("own")
    assert town.recorder.cores["own"] == set(HERE)
    threads = {one.instance: one.threads for _, one in town.recorder.placed}
    assert threads["mine_0_0"] == 1
    assert threads["plain_0"] == min(8, len(HERE))


@pytest.mark.triton("2b.5")
def test_a_policy_that_no_flag_sets_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "other", 'instance_group [ { kind: KIND_CPU host_policy: "nobodys" } ]')
    with world(tmp_path, Host(cores=1)) as opened:
        opened.ask("other")
        assert opened.recorder.cores["other"] == set(HERE)
    assert "no --host-policy sets anything for 'nobodys'" in caplog.text


@pytest.fixture(scope="module")
def add_sub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert onnxruntime.__version__, "imported here: that starts a thread, too"
    folder = tmp_path_factory.mktemp("onnx")
    examples.build("add_sub", folder)
    return folder


@contextmanager
def started(
    folder: Path, add_sub: Path, more: str, host: Host
) -> Iterator[tuple[Registry, list[int]]]:
    """Serve add_sub with this added to its configuration; tell which threads came with it."""
    repository = folder / "models"
    model = repository / "add_sub"
    model.mkdir(parents=True)
    (model / "1").symlink_to(add_sub / "add_sub" / "1")
    text = (add_sub / "add_sub" / "config.pbtxt").read_text(encoding="utf-8")
    text = text.split("instance_group", maxsplit=1)[0]
    (model / "config.pbtxt").write_text(text + more, encoding="utf-8")
    opened: list[Registry] = []
    before = tasks()
    own: list[int] = []

    async def open_registry(loop: asyncio.AbstractEventLoop) -> Registry:
        registry = Registry(
            ServeOptions(model_repository=(repository,)), clock=SystemClock(), loop=loop, host=host
        )
        await registry.start()
        python = {one.native_id for one in threading.enumerate() if "add_sub" not in one.name}
        own.extend(tasks() - before - python)
        opened.append(registry)
        return registry

    async def close_registry() -> None:
        await opened[0].stop(20)

    with listening(open_registry, close_registry):
        yield opened[0], own


def tasks() -> set[int]:
    """List this process's threads, without gRPC's, which come and go and have names."""
    every = list(Path("/proc/self/task").iterdir())
    own = _named(Path("/proc/self"))
    return {int(one.name) for one in every if _named(one) == own}


def _named(thread: Path) -> str:
    try:
        return (thread / "comm").read_text()
    except OSError:  # it has ended
        return ""


@pytest.mark.triton("2b.5")
@two_cores
def test_a_host_policy_pins_the_runtimes_threads_as_well(tmp_path: Path, add_sub: Path) -> None:
    more = (
        "instance_group [ { kind: KIND_CPU count: 1 } ] "
        'parameters { key: "intra_op_thread_count" value: { string_value: "3" } }'
    )
    host = Host(cores=2, policies={"cpu": frozenset(HERE[:1])})
    with started(tmp_path, add_sub, more, host) as (_, own):
        assert len(own) == 3, "the instance's, and two of the runtime's"
        assert [os.sched_getaffinity(task) for task in own] == [set(HERE[:1])] * 3


@pytest.mark.triton("2b.3")
@pytest.mark.parametrize(("count", "threads"), [(1, 4), (2, 2), (3, 1), (4, 1)])
def test_by_default_all_instances_together_have_no_more_threads_than_there_are_cores(
    tmp_path: Path, add_sub: Path, count: int, threads: int
) -> None:
    more = f"instance_group [ {{ kind: KIND_CPU count: {count} }} ]"
    with started(tmp_path, add_sub, more, Host(cores=4)) as (registry, own):
        runtime = registry.get("add_sub").runtime
        assert runtime["intra_op_threads"] == str(threads)
        assert count * threads <= 4
        assert len(own) == count * threads, "an instance's own thread computes, too"


@pytest.mark.triton("2b.5")
def test_a_policy_for_cores_that_are_not_there_ends_the_start(tmp_path: Path) -> None:
    repository = f"--model-repository={tmp_path}"
    code, said = refused(*LOCAL, repository, "--host-policy=cpu,cpu-cores=9000-9001")
    assert code == 1
    assert "--host-policy=cpu,cpu-cores: this server may not use core 9000, 9001; it has" in said
