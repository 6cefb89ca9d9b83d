"""Loads and unloads of related models, sent files, retries, threads: through the registry."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from support.conditions import within
from support.model_folders import FakeLoader, write_ensemble, write_model
from support.registries import DEADLINE_S, play, reason, states

from engine.errors import Internal, InvalidArgument, NotFound, Unsupported
from engine.options import ModelControlMode
from engine.repository.registry import Registry
from engine.repository.scan import ModelFolder
from engine.repository.sent import Sent
from engine.repository.sighting import read

CONFIG = json.dumps({"backend": "onnxruntime", "max_batch_size": 9})
READY, GONE = "READY", "UNAVAILABLE"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two ensembles: e of a and b, f of e and c; and d, which is related to none."""
    for name in ("a", "b", "c", "d"):
        write_model(tmp_path, name)
    write_ensemble(tmp_path, "e", "a", "b")
    write_ensemble(tmp_path, "f", "e", "c")
    return tmp_path


@pytest.mark.triton("3.14")
def test_an_ensemble_is_loaded_after_what_it_is_made_of_and_with_it(models: Path) -> None:
    loader = FakeLoader()

    async def scene(registry: Registry) -> None:
        await registry.load("f")
        assert states(registry) == {**dict.fromkeys("abcef", READY), "d": ""}
        assert sorted(loader.order) == ["a", "b", "c", "e", "f"]
        for above, below in (("e", "ab"), ("f", "ec")):
            first = loader.order.index(above)
            assert all(loader.order.index(one) < first for one in below)
        await registry.load("f")
        assert len(loader.order) == 5, "nothing has changed"

    play(scene, models, loader=loader)


def test_what_was_loaded_for_an_ensemble_is_unloaded_with_its_dependents_unless_asked_for(
    models: Path,
) -> None:
    async def scene(registry: Registry) -> None:
        await registry.load("f")
        await registry.load("b")
        await registry.unload("f")
        assert states(registry) == {**dict.fromkeys("abce", READY), "d": "", "f": GONE}
        await registry.load("f")
        await registry.unload("f", unload_dependents=True)
        assert states(registry) == {**dict.fromkeys("acef", GONE), "b": READY, "d": ""}
        assert registry.ready()

    play(scene, models)


def test_what_another_ensemble_is_made_of_stays(models: Path) -> None:
    async def scene(registry: Registry) -> None:
        await registry.load("e")
        await registry.load("f")
        await registry.unload("f", unload_dependents=True)
        assert states(registry) == {
            **dict.fromkeys("abe", READY),
            **dict.fromkeys("cf", GONE),
            "d": "",
        }

    play(scene, models)


def test_an_ensemble_cannot_stay_without_its_models_and_comes_back_with_them(models: Path) -> None:
    async def scene(registry: Registry) -> None:
        await registry.load("f")
        await registry.unload("a")
        assert {name for name, state in states(registry).items() if state == GONE} == {*"aef"}
        assert reason(registry, "e") == (
            "ensemble e contains models that are not available or ambiguous: a"
        )
        assert reason(registry, "f") == (
            f"ensemble 'f' depends on 'e' which is not valid. Model 'e' failed with error: "
            f"{reason(registry, 'e')}"
        )
        await registry.load("a")
        assert states(registry) == {**dict.fromkeys("abcef", READY), "d": ""}

    play(scene, models)


def test_what_does_not_hold_together_is_said_in_tritons_words(tmp_path: Path) -> None:
    loader = FakeLoader()
    loader.broken["broken", 1] = Internal("no memory")
    write_model(tmp_path, "good")
    write_model(tmp_path, "broken")
    write_ensemble(tmp_path, "lacks", "good", "zebra", "yak")
    write_ensemble(tmp_path, "one", "two")
    write_ensemble(tmp_path, "two", "three")
    write_ensemble(tmp_path, "three", "one")
    write_ensemble(tmp_path, "above", "two")
    write_ensemble(tmp_path, "fails", "broken")
    write_ensemble(tmp_path, "later", "good", version=3)

    async def scene(registry: Registry) -> None:
        lacks = "ensemble lacks contains models that are not available or ambiguous: "
        circle = "circular dependency between ensembles: "
        for name, text in {
            "lacks": f"{lacks}yak, zebra",
            "one": f"{circle}one -> ... -> three -> one",
            "above": "ensemble 'above' depends on 'two' which is not valid. Model 'two' failed "
            f"with error: {circle}two -> ... -> one -> two",
            "fails": "ensemble 'fails' depends on 'broken' which has no loaded version. Model "
            "'broken' loading failed with error: Internal: no memory",
            "later": "ensemble 'later' depends on 'good' whose required version 3 is not loaded.",
        }.items():
            with pytest.raises(InvalidArgument) as caught:
                await registry.load(name)
            assert str(caught.value) == f"load failed for model '{name}': {text}\n"
        assert states(registry)["good"] == READY

    play(scene, tmp_path, loader=loader)


@pytest.mark.triton("3.9")
def test_a_failed_reload_of_a_model_leaves_the_ensemble_as_it_is(models: Path) -> None:
    loader = FakeLoader()

    async def scene(registry: Registry) -> None:
        await registry.load("e")
        ensemble = registry.get("e")
        write_model(models, "a", "max_batch_size: 3")
        loader.broken["a", 1] = Internal("no memory")
        with pytest.raises(InvalidArgument, match="no memory"):
            await registry.load("a")
        assert registry.get("e") is ensemble
        loader.broken.clear()
        await registry.load("a")
        assert registry.get("e") is not ensemble

    play(scene, models, loader=loader)


@pytest.mark.triton("3.14")
def test_a_load_of_something_related_waits_and_of_something_else_does_not(models: Path) -> None:
    loader = FakeLoader()

    async def scene(registry: Registry) -> None:
        loop = asyncio.get_running_loop()
        held = asyncio.Event()

        def gate(name: str) -> None:
            if name == "a" and loader.order.count("a") == 1:
                asyncio.run_coroutine_threadsafe(held.wait(), loop).result(DEADLINE_S)

        loader.gate = gate
        first = asyncio.ensure_future(registry.load("e"))
        await registry.load("d")
        await loop.run_in_executor(None, within, lambda: "a" in loader.order)
        related = asyncio.ensure_future(registry.load("a", {"config": CONFIG}))
        gone = asyncio.ensure_future(registry.unload("b"))
        await registry.unload("d")
        assert not any(one.done() for one in (first, related, gone))
        held.set()
        await asyncio.gather(first, related, gone)
        assert registry.get("a").config.max_batch_size == 9
        assert states(registry) == {"a": READY, "b": GONE, "c": "", "d": GONE, "e": GONE, "f": ""}

    play(scene, models, loader=loader)


@pytest.mark.triton("3.13")
def test_the_index_says_what_is_loading_and_that_a_reload_does_not_take_away(
    tmp_path: Path,
) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        loop = asyncio.get_running_loop()
        for loads, state in ((1, "LOADING"), (2, READY)):
            held = asyncio.Event()

            def gate(name: str, held: asyncio.Event = held) -> None:
                assert name == "m"
                asyncio.run_coroutine_threadsafe(held.wait(), loop).result(DEADLINE_S)

            loader.gate = gate
            loading = asyncio.ensure_future(registry.load("m", {"config": CONFIG}))
            begun = lambda loads=loads: len(loader.order) == loads  # noqa: E731 - a condition
            await loop.run_in_executor(None, within, begun)
            assert states(registry) == {"m": state}
            assert registry.ready() is (state == READY)
            held.set()
            await loading
            assert states(registry) == {"m": READY}

    play(scene, tmp_path, loader=loader)


def test_ensembles_are_refused_where_nothing_makes_them_and_the_rest_is_served(
    models: Path,
) -> None:
    async def scene(registry: Registry) -> None:
        assert {name for name, state in states(registry).items() if state == READY} == {*"abcd"}
        assert "is not served here" in reason(registry, "e")
        assert registry.ready()

    play(scene, models, composes=False, mode=ModelControlMode.NONE)


@pytest.mark.triton("3.14")
def test_as_many_models_load_at_once_as_there_are_threads_for_it(tmp_path: Path) -> None:
    loader = FakeLoader()
    together = threading.Barrier(3)
    most, now, lock = [0], [0], threading.Lock()

    def gate(name: str) -> None:
        del name
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(DEADLINE_S)
        with lock:
            now[0] -= 1

    loader.gate = gate
    for name in "abcdef":
        write_model(tmp_path, name)

    async def scene(registry: Registry) -> None:
        assert len(registry.models()) == 6

    play(scene, tmp_path, loader=loader, mode=ModelControlMode.NONE, model_load_thread_count=3)
    assert most == [3]


@pytest.mark.triton("3.14")
def test_a_load_that_fails_is_tried_again_as_often_as_is_said(tmp_path: Path) -> None:
    write_model(tmp_path, "m")
    for retries, state in ((2, READY), (1, GONE)):
        loader = FakeLoader()
        loader.broken["m", 1] = Internal("busy")

        def gate(name: str, loader: FakeLoader = loader) -> None:
            if loader.order.count(name) == 3:
                loader.broken.clear()

        loader.gate = gate

        async def scene(registry: Registry) -> dict[str, str]:
            return states(registry)

        found = play(
            scene,
            tmp_path,
            loader=loader,
            mode=ModelControlMode.NONE,
            model_load_retry_count=retries,
        )
        assert found == {"m": state}


@pytest.mark.triton("3.8")
def test_sent_files_make_a_folder_that_lasts_as_long_as_the_model(tmp_path: Path) -> None:
    loader = FakeLoader(at_once=False)
    (tmp_path / "models").mkdir()

    async def scene(registry: Registry) -> None:
        files = {"config": CONFIG, "file:1/model.onnx": b"weights", "file:labels.txt": b"cat"}
        await registry.load("sent", files)
        (there,) = loader.directories
        assert (there / "model.onnx").read_bytes() == b"weights"
        assert (there.parent / "labels.txt").read_bytes() == b"cat"
        assert not there.is_relative_to(tmp_path / "models")
        assert registry.get("sent").config.max_batch_size == 9
        await registry.load("sent", files | {"file:1/model.onnx": b"others"})
        assert loader.directories[1] != there
        assert there.exists(), "requests in flight still use it"
        loader.made[0].drain()
        assert not there.exists()
        with pytest.raises(Internal, match="failed to poll from model repository"):
            await registry.load("sent")
        write_model(tmp_path / "models", "sent", "max_batch_size: 2")
        await registry.load("sent")
        assert registry.get("sent").config.max_batch_size == 2
        loader.made[1].drain()
        assert not loader.directories[1].exists()

    play(scene, tmp_path / "models", loader=loader)


@pytest.mark.triton("3.8")
def test_sent_files_of_a_load_that_fails_are_removed_and_the_old_one_serves(tmp_path: Path) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        await registry.load("m")
        old = registry.get("m")
        loader.broken["m", 1] = Internal("no memory")
        with pytest.raises(InvalidArgument, match="no memory"):
            await registry.load("m", {"config": CONFIG, "file:1/model.onnx": b"weights"})
        assert registry.get("m") is old
        assert not loader.directories[-1].exists()
        with pytest.raises(InvalidArgument, match="at least one version must be available"):
            await registry.load("m", {"config": CONFIG, "file:labels.txt": b""})

    play(scene, tmp_path, loader=loader)


@pytest.mark.triton("3.8")
@pytest.mark.parametrize("path", ["../m/x", "/etc/passwd", "1/../../x", "..", "", ".", "1/\0"])
def test_no_sent_file_lands_outside_of_its_folder(path: str) -> None:
    with pytest.raises(InvalidArgument, match="must stay within model directory"):
        Sent("m", {"1/model.onnx": b"", path: b""})


def test_a_sent_path_may_wind_as_long_as_it_stays_inside_and_no_file_is_a_folder() -> None:
    sent = Sent("m", {"1/../2/./model.onnx": b"x"})
    assert (sent.directory / "2" / "model.onnx").read_bytes() == b"x"
    sent.let_go()
    assert not sent.directory.exists()
    with pytest.raises(InvalidArgument, match="directory has been created as a file"):
        Sent("m", {"1": b"", "1/model.onnx": b""})
    with pytest.raises(InvalidArgument, match="a directory of that name"):
        Sent("m", {"1/model.onnx": b"", "1": b""})


@pytest.mark.triton("3.11")
def test_what_failed_is_forgotten_when_it_is_unloaded(tmp_path: Path) -> None:
    write_model(tmp_path, "bad", "max_batch_size: x")

    async def scene(registry: Registry) -> None:
        with pytest.raises(InvalidArgument):
            await registry.load("bad")
        assert not registry.ready()
        await registry.unload("bad")
        assert registry.ready()
        assert states(registry) == {"bad": ""}

    play(scene, tmp_path)


def test_a_deferred_model_answers_a_load_with_why(tmp_path: Path) -> None:
    write_ensemble(tmp_path, "e", "e2")

    async def scene(registry: Registry) -> None:
        with pytest.raises((InvalidArgument, Unsupported)):
            await registry.load("e")
        with pytest.raises(NotFound):
            registry.get("e")

    play(scene, tmp_path, composes=False)


def test_a_fault_of_ours_that_one_model_meets_is_its_own() -> None:
    text: Any = 7
    folder = ModelFolder(name="m", directory=Path("m"), config_text=text)
    fault = read(folder).fault
    assert isinstance(fault, Internal)
    assert str(fault).startswith("m/config.pbtxt: ")
