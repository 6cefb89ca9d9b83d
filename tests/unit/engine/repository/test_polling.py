"""Polling: what is new, changed and gone is carried out, and nothing else is touched."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from support.conditions import within
from support.fake_registry import turns
from support.model_folders import FakeLoader, write_ensemble, write_model
from support.registries import DEADLINE_S, play, reason, states

from engine.errors import Internal, NotFound
from engine.options import ModelControlMode
from engine.repository.registry import Registry

POLL = ModelControlMode.POLL
ALL = "version_policy { all { } }"


@pytest.mark.triton("3.2")
def test_a_poll_loads_what_is_new_or_changed_and_unloads_what_is_gone(tmp_path: Path) -> None:
    loader = FakeLoader()
    for name in ("changed", "gone", "same"):
        write_model(tmp_path, name)

    async def scene(registry: Registry) -> None:
        before = {model.name: model for model in registry.models()}
        await registry.poll()
        assert len(loader.made) == 3
        write_model(tmp_path, "new")
        write_model(tmp_path, "changed", "max_batch_size: 7")
        shutil.rmtree(tmp_path / "gone")
        await registry.poll()
        assert states(registry) == dict.fromkeys(("changed", "new", "same"), "READY")
        assert registry.get("changed").config.max_batch_size == 7
        assert registry.get("same") is before["same"]
        with pytest.raises(NotFound, match="'gone' is not found"):
            registry.get("gone")
        assert len(loader.made) == 5
        assert sum(model.stopped for model in loader.made) == 2

    play(scene, tmp_path, loader=loader, mode=POLL)


@pytest.mark.triton("3.2")
def test_a_version_that_comes_or_goes_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    loader = FakeLoader()
    folder = write_model(tmp_path, "m", ALL, versions=("1", "2"))

    async def scene(registry: Registry) -> None:
        first, second = (registry.get("m", version) for version in ("1", "2"))
        write_model(tmp_path, "m", ALL, versions=("3",))
        await registry.poll()
        assert registry.ready_versions("m") == (1, 2, 3)
        shutil.rmtree(folder / "1")
        await registry.poll()
        assert registry.ready_versions("m") == (2, 3)
        assert registry.get("m", "2") is second
        assert (first.config, len(loader.made)) == (second.config, 3)
        assert [entry.version for entry in registry.index()] == ["2", "3"]
        (folder / "2" / "model.onnx").write_text("other weights")
        await registry.poll()
        assert registry.get("m", "2") is not second
        assert len(loader.made) == 4
        (folder / "config.pbtxt").write_text("version_policy { latest { num_versions: 1 } }")
        await registry.poll()
        assert registry.ready_versions("m") == (3,)
        assert len(loader.made) == 4
        policy = registry.get("m").config.version_policy
        assert policy is not None
        assert policy.latest == 1

    play(scene, tmp_path, loader=loader, mode=POLL)


@pytest.mark.triton("3.2")
def test_a_label_file_that_changes_loads_the_model_again(tmp_path: Path) -> None:
    loader = FakeLoader()
    folder = write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        (folder / "labels.txt").write_text("cat\ndog\n")
        await registry.poll()
        assert len(loader.made) == 2
        assert registry.get("m")

    play(scene, tmp_path, loader=loader, mode=POLL)


@pytest.mark.triton("3.2", "3.9")
def test_what_is_half_written_fails_leaves_the_old_one_and_is_tried_again_when_it_is_whole(
    tmp_path: Path,
) -> None:
    loader = FakeLoader()
    folder = write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        old = registry.get("m")
        config = folder / "config.pbtxt"
        config.write_text("max_batch_si")
        await registry.poll()
        assert registry.get("m") is old
        config.write_text("max_batch_size: 7")
        loader.broken["m", 1] = Internal("the file ends too soon")
        await registry.poll()
        assert registry.get("m") is old
        assert registry.ready()
        await registry.poll()
        assert loader.order.count("m") == 2, "what has not changed is not tried again"
        loader.broken.clear()
        (folder / "1" / "model.onnx").write_text("all of it")
        await registry.poll()
        assert registry.get("m").config.max_batch_size == 7
        shutil.rmtree(folder / "1")
        await registry.poll()
        assert registry.get("m").config.max_batch_size == 7

    play(scene, tmp_path, loader=loader, mode=POLL)


def test_a_repository_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_model(repository, "m")

    async def scene(registry: Registry) -> None:
        repository.rename(tmp_path / "elsewhere")
        await registry.poll()
        assert registry.get("m")
        (tmp_path / "elsewhere").rename(repository)
        await registry.poll()
        assert states(registry) == {"m": "READY"}

    play(scene, repository, mode=POLL)


@pytest.mark.triton("1.2", "3.2")
def test_a_model_that_comes_to_lie_in_a_second_repository_is_unloaded_until_it_does_not(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    write_model(first, "m")
    second.mkdir()

    async def scene(registry: Registry) -> None:
        assert registry.get("m")
        write_model(second, "m")
        await registry.poll()
        assert states(registry) == {"m": "UNAVAILABLE"}
        assert reason(registry, "m").startswith("model appears in two or more repositories")
        shutil.rmtree(second / "m")
        await registry.poll()
        assert states(registry) == {"m": "READY"}

    play(scene, first, second, mode=POLL)


def test_a_model_that_loads_for_long_does_not_keep_others_from_being_polled(
    tmp_path: Path,
) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "other")

    async def scene(registry: Registry) -> None:
        loop = asyncio.get_running_loop()
        held: asyncio.Event = asyncio.Event()

        def gate(name: str) -> None:
            if name == "slow":
                asyncio.run_coroutine_threadsafe(held.wait(), loop).result(DEADLINE_S)

        loader.gate = gate
        write_model(tmp_path, "slow")
        polled = asyncio.ensure_future(registry.poll())
        await loop.run_in_executor(None, within, lambda: "slow" in loader.order)
        write_model(tmp_path, "slow", "max_batch_size: 5")
        write_model(tmp_path, "other", "max_batch_size: 6")
        again = asyncio.ensure_future(registry.poll())
        ready = lambda: registry.get("other").config.max_batch_size == 6  # noqa: E731 - a condition
        assert await loop.run_in_executor(None, within, ready)
        assert not polled.done()
        held.set()
        await polled
        await again
        assert registry.get("slow").config.max_batch_size == 4
        await registry.poll()
        assert registry.get("slow").config.max_batch_size == 5

    play(scene, tmp_path, loader=loader, mode=POLL)


def test_polls_come_by_themselves_at_the_interval(tmp_path: Path) -> None:
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        write_model(tmp_path, "late")
        loop = asyncio.get_running_loop()
        there = lambda: len(registry.models()) == 2  # noqa: E731 - a condition
        assert await loop.run_in_executor(None, within, there)

    play(scene, tmp_path, mode=POLL, repository_poll_secs=0.02)


def test_an_interval_of_0_is_never(tmp_path: Path) -> None:
    write_model(tmp_path, "m")

    async def scene(registry: Registry) -> None:
        write_model(tmp_path, "late")
        await turns(100)
        assert states(registry) == {"m": "READY", "late": ""}

    play(scene, tmp_path, mode=POLL, repository_poll_secs=0.0)


@pytest.mark.triton("3.2")
def test_an_ensemble_follows_what_it_is_made_of(tmp_path: Path) -> None:
    loader = FakeLoader()
    write_model(tmp_path, "a")
    write_model(tmp_path, "other")
    write_ensemble(tmp_path, "e", "a", "b")

    async def scene(registry: Registry) -> None:
        assert reason(registry, "e") == (
            "ensemble e contains models that are not available or ambiguous: b"
        )
        write_model(tmp_path, "b")
        await registry.poll()
        assert states(registry)["e"] == "READY"
        assert loader.order[-2:] == ["b", "e"]
        write_model(tmp_path, "a", "max_batch_size: 3")
        await registry.poll()
        assert loader.order[-2:] == ["a", "e"]
        assert loader.order.count("other") == loader.order.count("b") == 1
        shutil.rmtree(tmp_path / "b")
        await registry.poll()
        assert states(registry)["e"] == "UNAVAILABLE"
        assert reason(registry, "e").endswith("available or ambiguous: b")

    play(scene, tmp_path, loader=loader, mode=POLL)
