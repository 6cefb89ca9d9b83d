"""Laws of model control as a whole: whatever is written, polled, loaded and unloaded."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_folders import FakeLoader, write_ensemble, write_model
from support.registries import play, states

from engine.errors import Internal, InvalidArgument
from engine.options import ModelControlMode
from engine.repository.registry import Registry

_NAMES = "abcdef"
# What is in a model's folder: nothing, a model with this batch size, or an ensemble of these.
_Content = None | int | tuple[str, ...]
_CONTENT: st.SearchStrategy[_Content] = st.one_of(
    st.none(),
    st.integers(1, 3),
    st.lists(st.sampled_from(_NAMES), min_size=1, max_size=2, unique=True).map(tuple),
)
_ROUNDS = st.lists(
    st.dictionaries(st.sampled_from(_NAMES), _CONTENT, max_size=4), min_size=1, max_size=4
)


def _write(repository: Path, name: str, content: _Content) -> None:
    shutil.rmtree(repository / name, ignore_errors=True)
    if isinstance(content, int):
        write_model(repository, name, f"max_batch_size: {content}")
    elif content is not None:
        write_ensemble(repository, name, *content)


def _servable(there: Mapping[str, _Content]) -> set[str]:
    """Say what can be served: models, and ensembles of what can be served."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name, content in there.items()
            if isinstance(content, int) or (content is not None and found.issuperset(content))
        }
        if more == found:
            return found
        found = more


def _above(there: Mapping[str, _Content], names: set[str]) -> set[str]:
    found = set(names)
    while True:
        more = found | {
            name
            for name, content in there.items()
            if isinstance(content, tuple) and not found.isdisjoint(content)
        }
        if more == found:
            return found
        found = more


@given(_ROUNDS)
@settings(max_examples=40, deadline=None)
def test_after_a_poll_all_that_can_be_served_is_and_nothing_was_loaded_needlessly(
    rounds: list[dict[str, _Content]],
) -> None:
    loader = FakeLoader()
    there: dict[str, _Content] = {}

    async def scene(registry: Registry) -> None:
        for changes in rounds:
            changed = {name for name, content in changes.items() if there.get(name) != content}
            for name in changed:
                _write(repository, name, changes[name])
            before = dict(there)
            there.update(changes)
            loader.order.clear()
            await registry.poll()
            ready = {name for name, state in states(registry).items() if state == "READY"}
            assert ready == _servable(there)
            touched = _above(there, changed) | _above(before, changed)
            assert set(loader.order) <= touched
            assert len(loader.order) == len(set(loader.order))
            for place, name in enumerate(loader.order):
                content = there[name]
                if isinstance(content, tuple):
                    assert not set(content) & set(loader.order[place + 1 :])
            serving = sum(not model.stopped for model in loader.made)
            assert serving == len(ready)

    with TemporaryDirectory() as folder:
        repository = Path(folder)
        play(scene, repository, loader=loader, mode=ModelControlMode.POLL)
    assert all(model.stopped == 1 for model in loader.made)


_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["load", "unload", "unload all", "override"]), st.sampled_from(_NAMES)
    ),
    max_size=12,
)
_SHELF: Mapping[str, _Content] = {
    "a": 1, "b": 2, "c": ("a", "b"), "d": ("c", "b"), "e": ("a", "none"), "f": ("f",),
}  # fmt: skip


@given(requests=_REQUESTS, together=st.booleans())
@settings(max_examples=40, deadline=None)
def test_requests_side_by_side_or_not_leave_nothing_that_cannot_answer(
    requests: list[tuple[str, str]], *, together: bool
) -> None:
    loader = FakeLoader()

    async def ask(registry: Registry, verb: str, name: str) -> None:
        try:
            match verb:
                case "load":
                    await registry.load(name)
                case "override" if isinstance(_SHELF[name], int):
                    await registry.load(name, {"config": '{"backend": "onnxruntime"}'})
                case _:
                    await registry.unload(name, unload_dependents=verb == "unload all")
        except (InvalidArgument, Internal):
            assert name in "ef", "all others can be loaded"

    async def scene(registry: Registry) -> None:
        if together:
            await asyncio.gather(*(ask(registry, verb, name) for verb, name in requests))
        for verb, name in requests if not together else []:
            await ask(registry, verb, name)
            served = name in {model.name for model in registry.models()}
            assert served == (verb in {"load", "override"} and name not in "ef") or (
                verb == "override" and not isinstance(_SHELF[name], int)
            )
        ready = {model.name for model in registry.models()}
        for name in ready:
            content = _SHELF[name]
            assert isinstance(content, int) or (content is not None and ready.issuperset(content))
        assert sum(not model.stopped for model in loader.made) == len(ready)

    with TemporaryDirectory() as folder:
        for name, content in _SHELF.items():
            _write(Path(folder), name, content)
        play(scene, Path(folder), loader=loader)
    assert all(model.stopped == 1 for model in loader.made)
