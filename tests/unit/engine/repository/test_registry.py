"""The registry: what is loaded when, found by which name, and what is said otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.model_folders import FakeLoader, FakeModel, find, write_model

from engine.clock import ManualClock
from engine.errors import (
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from engine.execution.host import Host
from engine.options import ModelControlMode, ServeOptions
from engine.repository.lifecycle import ModelState
from engine.repository.registry import IndexEntry, Registry

_T = TypeVar("_T")
_DEADLINE_S = 10.0
_TWO_VERSIONS = "version_policy { all { } }"


def serve(
    repository: Path,
    scene: Callable[[Registry], Awaitable[_T]],
    *,
    loader: FakeLoader | None = None,
    mode: ModelControlMode = ModelControlMode.NONE,
    load_model: tuple[str, ...] = (),
    exit_on_error: bool = False,
    strict_readiness: bool = True,
) -> _T:
    async def play() -> _T:
        registry = Registry(
            ServeOptions(
                model_repository=(repository,),
                model_control_mode=mode,
                load_model=load_model,
                exit_on_error=exit_on_error,
                strict_readiness=strict_readiness,
            ),
            clock=ManualClock(),
            loop=asyncio.get_running_loop(),
            host=Host(cores=2),
            find=find,
            load=loader or FakeLoader(),
        )
        assert not registry.ready()
        await registry.start()
        try:
            return await asyncio.wait_for(_awaited(scene(registry)), _DEADLINE_S)
        finally:
            await registry.stop(0.0)

    return asyncio.run(play())


async def _awaited(scene: Awaitable[_T]) -> _T:
    return await scene


def explicit(
    repository: Path,
    scene: Callable[[Registry], Awaitable[_T]],
    loader: FakeLoader | None = None,
    load_model: tuple[str, ...] = (),
) -> _T:
    return serve(
        repository,
        scene,
        loader=loader,
        mode=ModelControlMode.EXPLICIT,
        load_model=load_model,
    )


def same(one: object, other: object) -> bool:
    """Compare what the types keep apart: a served model, and the fake that stands for it."""
    return one is other


async def index(registry: Registry) -> tuple[IndexEntry, ...]:
    return registry.index()


def test_every_model_is_loaded_at_the_start(tmp_path: Path) -> None:
    write_model(tmp_path, "b")
    write_model(tmp_path, "a", versions=("1", "3"))
    (tmp_path / "notes.txt").write_text("not a model")
    (tmp_path / ".git").mkdir()

    async def scene(registry: Registry) -> None:
        assert registry.index() == (
            IndexEntry("a", "3", ModelState.READY),
            IndexEntry("b", "1", ModelState.READY),
        )
        assert registry.ready()
        assert [(model.name, model.version) for model in registry.models()] == [("a", 3), ("b", 1)]
        model = registry.get("a")
        assert model is registry.get("a", "3") is registry.get("a", "-1")
        assert model.config.max_batch_size == 4
        assert model.config.platform == "onnxruntime_onnx"

    serve(tmp_path, scene)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", (3,)),
        ("version_policy { latest { num_versions: 2 } }", (2, 3)),
        (_TWO_VERSIONS, (1, 2, 3)),
        ("version_policy { specific { versions: [ 1, 3, 9 ] } }", (1, 3)),
    ],
)
def test_the_version_policy_chooses(tmp_path: Path, policy: str, served: tuple[int, ...]) -> None:
    write_model(tmp_path, "m", policy, versions=("1", "2", "3", "04", "five"))

    async def scene(registry: Registry) -> tuple[int, ...]:
        return registry.ready_versions("m")

    assert serve(tmp_path, scene) == served


def test_what_is_not_found_is_said_in_tritons_words(tmp_path: Path) -> None:
    write_model(tmp_path, "m")
    write_model(tmp_path, "bad", "max_batch_size: x")
    loader = FakeLoader()
    loader.broken["late", 1] = Internal("no memory")
    write_model(tmp_path, "late")

    async def scene(registry: Registry) -> None:
        for name, version, kind, text in (
            ("n", "", NotFound, "Request for unknown model: 'n' is not found"),
            ("m", "7", NotFound, "Request for unknown model: 'm' version 7 is not found"),
            ("bad", "", NotFound, "Request for unknown model: 'bad' has no available versions"),
            (
                "late",
                "1",
                Unavailable,
                "Request for unknown model: 'late' version 1 is not at ready state",
            ),
            (
                "m",
                "one",
                InvalidArgument,
                (
                    "failed to get model version from specified version string 'one', version "
                    "should be an integral value > 0"
                ),
            ),
        ):
            with pytest.raises(kind) as caught:
                registry.get(name, version)
            assert str(caught.value) == text
        with pytest.raises(NotFound, match="Request for unknown model: 'n' is not found"):
            registry.ready_versions("n")

    serve(tmp_path, scene, loader=loader)


def test_a_model_that_fails_leaves_the_others_served_and_says_why(tmp_path: Path) -> None:
    write_model(tmp_path, "good")
    write_model(tmp_path, "typo", 'max_batch_size: "eight"')
    write_model(tmp_path, "nofile", 'backend: "onnxruntime"', file="")
    write_model(tmp_path, "nothing", versions=())
    write_model(tmp_path, "shape", 'input { name: "q" data_type: TYPE_FP32 dims: 3 }')
    write_model(tmp_path, "elsewhere", 'backend: "tensorrt" default_model_filename: "model.onnx"')

    async def scene(registry: Registry) -> dict[str, IndexEntry]:
        assert not registry.ready()
        return {entry.name: entry for entry in registry.index()}

    entries = serve(tmp_path, scene)
    assert entries["good"].state is ModelState.READY
    assert {entries[name].state for name in entries if name != "good"} == {ModelState.UNAVAILABLE}
    assert entries["typo"].reason == (
        f'{tmp_path}/typo/config.pbtxt:1:17: max_batch_size: expected a whole number, found "eight"'
    )
    assert entries["nofile"].reason == (
        f"Not found: {tmp_path}/nofile/1/model.onnx: the model file is missing; the folder is empty"
    )
    assert "at least one version must be available" in entries["nothing"].reason
    assert "unexpected inference input 'q', allowed inputs are: x" in entries["shape"].reason
    assert "no backend named 'tensorrt'; there are: onnxruntime" in entries["elsewhere"].reason


def test_a_missing_model_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    write_model(tmp_path, "m", 'backend: "onnxruntime"', file="net.onnx")
    (entry,) = serve(tmp_path, index)
    assert entry.reason == (
        f"Not found: {tmp_path}/m/1/model.onnx: the model file is missing; the folder holds "
        'net.onnx; rename net.onnx, or write default_model_filename: "net.onnx"'
    )


@pytest.mark.triton("3.4")
def test_exit_on_error_ends_the_start_with_every_reason(tmp_path: Path) -> None:
    write_model(tmp_path, "a", "max_batch_size: x")
    write_model(tmp_path, "b", 'name: "c"')
    write_model(tmp_path, "ok")
    with pytest.raises(EngineError) as caught:
        serve(tmp_path, index, exit_on_error=True)
    lines = str(caught.value).split("\n")
    assert lines[0] == "failed to load all models"
    assert lines[1].startswith(f"  a: {tmp_path}/a/config.pbtxt:1:17: max_batch_size: expected")
    assert "unexpected directory name 'b' for model 'c'" in lines[2]
    assert len(lines) == 3


def test_what_is_not_served_stops_nobody_else(tmp_path: Path) -> None:
    write_model(tmp_path, "e", 'platform: "ensemble" ensemble_scheduling { }')
    write_model(tmp_path, "ok")

    async def scene(registry: Registry) -> dict[str, IndexEntry]:
        assert registry.ready()
        return {entry.name: entry for entry in registry.index()}

    entries = serve(tmp_path, scene, exit_on_error=True)
    assert entries["ok"].state is ModelState.READY
    assert entries["e"].state is ModelState.UNAVAILABLE
    assert "is not served here" in entries["e"].reason


def test_a_model_in_two_repositories_is_in_neither(tmp_path: Path) -> None:
    for repository in ("one", "two"):
        write_model(tmp_path / repository, "m")

    async def play() -> tuple[IndexEntry, ...]:
        registry = Registry(
            ServeOptions(
                model_repository=(tmp_path / "one", tmp_path / "two"), exit_on_error=False
            ),
            clock=ManualClock(),
            loop=asyncio.get_running_loop(),
            host=Host(cores=1),
            find=find,
            load=FakeLoader(),
        )
        return await registry.start()

    (entry,) = asyncio.run(play())
    assert entry.state is ModelState.UNAVAILABLE
    assert entry.reason.startswith("model appears in two or more repositories")


def test_a_repository_that_is_not_there_is_an_error_in_any_case(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot read the model repository: No such file"):
        serve(tmp_path / "nowhere", index)


def test_versions_become_ready_together_or_not_at_all(tmp_path: Path) -> None:
    loader = FakeLoader()
    loader.broken["m", 2] = Internal("no memory")
    write_model(tmp_path, "m", _TWO_VERSIONS, versions=("1", "2"))
    entries = serve(tmp_path, index, loader=loader)
    assert [(entry.version, entry.state) for entry in entries] == [
        ("1", ModelState.UNAVAILABLE),
        ("2", ModelState.UNAVAILABLE),
    ]
    assert entries[1].reason == "Internal: no memory"
    (made,) = loader.made
    assert made.stopped == 1


def test_a_fault_without_words_is_a_reason_too(tmp_path: Path) -> None:
    loader = FakeLoader()
    loader.broken["m", 1] = ZeroDivisionError("division by zero")
    write_model(tmp_path, "m")
    (entry,) = serve(tmp_path, index, loader=loader)
    assert entry.reason == "Internal: ZeroDivisionError: division by zero"


def test_only_strict_readiness_asks_for_every_model(tmp_path: Path) -> None:
    write_model(tmp_path, "bad", "max_batch_size: x")

    async def ready(registry: Registry) -> bool:
        return registry.ready()

    assert serve(tmp_path, ready) is False
    assert serve(tmp_path, ready, strict_readiness=False) is True


def test_loading_is_for_the_explicit_mode_only(tmp_path: Path) -> None:
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        expected = "explicit model load / unload is not allowed if polling is enabled"
        with pytest.raises(Unavailable, match=expected):
            await registry.load("m", {})
        with pytest.raises(Unavailable, match=expected):
            await registry.unload("m")

    serve(tmp_path, scene)
    with pytest.raises(InvalidArgument, match="'--load-model' requires"):
        serve(tmp_path, index, load_model=("m",))


def test_the_explicit_mode_loads_what_it_is_told(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    write_model(tmp_path, "b")
    assert explicit(tmp_path, index) == (
        IndexEntry("a", "", ModelState.UNKNOWN),
        IndexEntry("b", "", ModelState.UNKNOWN),
    )
    assert explicit(tmp_path, index, load_model=("b",)) == (
        IndexEntry("a", "", ModelState.UNKNOWN),
        IndexEntry("b", "1", ModelState.READY),
    )
    everything = explicit(tmp_path, index, load_model=("*",))
    assert {entry.state for entry in everything} == {ModelState.READY}
    (missing, *_) = [one for one in explicit(tmp_path, index, load_model=("c",)) if one.name == "c"]
    assert missing.reason.startswith("failed to load 'c', failed to poll from model repository")

    async def ready_only(registry: Registry) -> tuple[IndexEntry, ...]:
        return registry.index(ready=True)

    assert explicit(tmp_path, ready_only, load_model=("b",)) == (
        IndexEntry("b", "1", ModelState.READY),
    )


def test_a_load_request_that_cannot_be_is_refused_in_tritons_words(tmp_path: Path) -> None:
    write_model(tmp_path, "mine")
    write_model(tmp_path, "bad")
    loader = FakeLoader()
    loader.broken["bad", 1] = Internal("no memory")

    async def scene(registry: Registry) -> None:
        cases: list[tuple[str, dict[str, str | bytes | bool], type[EngineError], str]] = [
            (
                "",
                {},
                InvalidArgument,
                "Model name cannot be empty. Please enter a valid name to deploy.",
            ),
            (
                "../mine",
                {},
                InvalidArgument,
                (
                    "invalid model name '../mine', model name must not contain path traversal "
                    "characters"
                ),
            ),
            ("mine", {"colour": "red"}, InvalidArgument, "unrecognized load parameter 'colour'."),
            (
                "mine",
                {"file:1/model.onnx": b""},
                InvalidArgument,
                "Load parameter 'config' must be specified for model file override",
            ),
            (
                "nine",
                {},
                Internal,
                (
                    "failed to load 'nine', failed to poll from model repository: no model of that "
                    "name; did you mean 'mine'?"
                ),
            ),
            (
                "bad",
                {},
                InvalidArgument,
                (
                    "load failed for model 'bad': version 1 is at UNAVAILABLE state: Internal: no "
                    "memory;\n"
                ),
            ),
        ]
        for name, parameters, kind, text in cases:
            with pytest.raises(kind) as caught:
                await registry.load(name, parameters)
            assert str(caught.value) == text
        for config in ("{", '{"max_batch": 3}', "[]"):
            with pytest.raises(InvalidArgument, match="Invalid config override: "):
                await registry.load("mine", {"config": config})
        for kinds in ({"config": b"{}"}, {"config": "{}", "file:1/model.onnx": "text"}):
            with pytest.raises(InvalidArgument, match=r"parameter '.*' must have .* type for its"):
                await registry.load("mine", kinds)

    explicit(tmp_path, scene, loader)


def test_a_model_unchanged_is_not_loaded_again_and_a_changed_one_is(tmp_path: Path) -> None:
    loader = FakeLoader()
    folder = write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        await registry.load("m")
        await registry.load("m")
        assert len(loader.made) == 1
        (folder / "config.pbtxt").write_text("max_batch_size: 7")
        await registry.load("m")
        assert registry.get("m").config.max_batch_size == 7
        assert [model.stopped for model in loader.made] == [1, 0]
        write_model(tmp_path, "m", "max_batch_size: 7", versions=("2",))
        await registry.load("m")
        assert registry.get("m").version == 2
        assert [model.stopped for model in loader.made] == [1, 1, 0]
        # Version 1 is not within the policy any more.
        with pytest.raises(Unavailable):
            registry.get("m", "1")

    explicit(tmp_path, scene, loader)


def test_an_override_replaces_the_file_until_the_next_load_without_one(tmp_path: Path) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "m", "max_batch_size: 2")

    async def scene(registry: Registry) -> None:
        override = json.dumps({"max_batch_size": 16, "backend": "onnxruntime"})
        await registry.load("m", {"config": override})
        assert registry.get("m").config.max_batch_size == 16
        await registry.load("m", {"config": override})
        assert len(loader.made) == 2
        await registry.load("m")
        assert registry.get("m").config.max_batch_size == 2

    explicit(tmp_path, scene, loader)


def test_a_failed_reload_leaves_the_old_one_ready(tmp_path: Path) -> None:
    loader = FakeLoader()
    folder = write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        await registry.load("m")
        old = registry.get("m")
        (folder / "config.pbtxt").write_text("max_batch_size: x")
        with pytest.raises(InvalidArgument, match=r"load failed for model 'm': .*expected a whole"):
            await registry.load("m")
        assert registry.get("m") is old
        (folder / "config.pbtxt").write_text("max_batch_size: 3")
        loader.broken["m", 1] = Internal("no memory")
        with pytest.raises(InvalidArgument, match="Internal: no memory"):
            await registry.load("m")
        assert registry.get("m") is old
        assert registry.index() == (IndexEntry("m", "1", ModelState.READY),)
        assert registry.ready()
        loader.broken.clear()
        await registry.load("m")
        assert registry.get("m") is not old

    explicit(tmp_path, scene, loader)


def test_unloading_answers_before_the_last_request_and_says_when_it_is_done(
    tmp_path: Path,
) -> None:
    loader = FakeLoader(at_once=False)
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        await registry.load("m")
        (model,) = loader.made
        await registry.unload("m")
        assert registry.index() == (IndexEntry("m", "1", ModelState.UNLOADING),)
        with pytest.raises(NotFound, match="has no available versions"):
            registry.get("m")
        model.drain()
        assert registry.index() == (IndexEntry("m", "1", ModelState.UNAVAILABLE, "unloaded"),)
        assert registry.ready()
        await registry.unload("m")
        await registry.unload("stranger")
        assert model.stopped == 1
        await registry.load("m")
        assert not same(registry.get("m"), model)

    explicit(tmp_path, scene, loader)


def test_while_a_reload_drains_the_new_one_serves(tmp_path: Path) -> None:
    loader = FakeLoader(at_once=False)
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        await registry.load("m")
        await registry.load("m", {"config": '{"backend": "onnxruntime"}'})
        old, new = loader.made
        assert (old.stopped, new.stopped) == (1, 0)
        assert same(registry.get("m"), new)
        old.drain()
        assert registry.index() == (IndexEntry("m", "1", ModelState.READY),)

    explicit(tmp_path, scene, loader)


def test_many_loads_of_one_model_take_turns(tmp_path: Path) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        config = {"config": '{"backend": "onnxruntime"}'}
        await asyncio.gather(*(registry.load("m", config) for _ in range(8)))
        assert len(loader.made) == 8
        assert sum(model.stopped for model in loader.made) == 7
        serving = [model for model in loader.made if not model.stopped]
        assert same(registry.get("m"), serving[0])

    explicit(tmp_path, scene, loader)


def test_stopping_stops_every_model_and_waits_for_their_end(tmp_path: Path) -> None:
    loader = FakeLoader(at_once=False)
    write_model(tmp_path, "a")
    write_model(tmp_path, "b")

    async def scene(registry: Registry) -> None:
        stopping = asyncio.ensure_future(registry.stop(_DEADLINE_S))
        one_turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(one_turn.set_result, None)
        await one_turn
        assert all(model.stopped for model in loader.made)
        assert not stopping.done()
        assert not registry.ready()
        for model in loader.made:
            model.drain()
        await stopping

    serve(tmp_path, scene, loader=loader)
    assert all(isinstance(model, FakeModel) and model.stopped == 1 for model in loader.made)
