"""Laws of how models are related, of what a poll finds, and of whose turn it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_registry import turns

from engine.modelconfig.schema import InstanceGroup, ModelConfig, VersionPolicy
from engine.repository.differ import Made, diff, untouched
from engine.repository.graph import Graph, Standing
from engine.repository.scan import CONFIG, ModelFolder, Snapshot
from engine.repository.turns import Turns

_NAMES = tuple("abcdefg")
_ANY = frozenset({-1})
_GRAPHS = st.dictionaries(
    st.sampled_from(_NAMES),
    st.dictionaries(st.sampled_from(_NAMES), st.sampled_from([_ANY, frozenset({1, -1})])),
).map(Graph)
_SOME = st.frozensets(st.sampled_from(_NAMES))
_REPOSITORY = Path("models")


def _folder(name: str, stamp: int, versions: frozenset[int]) -> ModelFolder:
    return ModelFolder(
        name=name,
        directory=_REPOSITORY / name,
        versions=tuple(sorted(versions)),
        config_text="",
        stamps=frozenset({(CONFIG, stamp, 0)}),
        version_stamps={one: frozenset({(f"{one}/model", stamp % 2, 0)}) for one in versions},
    )


_FOLDERS = st.builds(
    _folder,
    st.sampled_from(_NAMES),
    st.integers(0, 2),
    st.frozensets(st.integers(1, 3), max_size=2),
)


@st.composite
def _snapshots(draw: st.DrawFn) -> Snapshot:
    models = {folder.name: folder for folder in draw(st.lists(_FOLDERS, max_size=6))}
    twice = draw(_SOME) - models.keys()
    return Snapshot(models, {name: (Path("x"), Path("y")) for name in twice})


@given(_GRAPHS)
@settings(max_examples=100)
def test_every_model_is_loaded_once_and_after_those_it_is_made_of(graph: Graph) -> None:
    order = graph.order(graph.needs)
    assert sorted(order) == sorted(graph.needs)
    for name in order:
        # On a circle there is no such order; what is above it still comes after it.
        if name not in graph.below(graph.needs[name]):
            there = graph.needs[name].keys() & graph.needs.keys()
            assert all(order.index(one) < order.index(name) for one in there)


@given(_GRAPHS)
@settings(max_examples=100)
def test_a_model_has_a_fault_if_something_is_missing_or_it_is_made_of_itself(graph: Graph) -> None:
    faults = graph.faults()
    for name, needs in graph.needs.items():
        missing = set(needs) - set(graph.needs)
        circle = name in graph.below(needs)
        assert (name in faults) == bool(missing or circle)
        if missing:
            assert faults[name].endswith(
                f"not available or ambiguous: {', '.join(sorted(missing))}"
            )
        elif circle:
            first, last = f"{name} -> ... -> ", f" -> {name}"
            assert f"circular dependency between ensembles: {first}" in faults[name]
            assert faults[name].endswith(last)
            assert name in graph.needs[faults[name].split(" -> ")[-2]]


@given(_GRAPHS, _SOME)
@settings(max_examples=100)
def test_relations_are_closed_and_look_the_same_from_both_ends(
    graph: Graph, names: frozenset[str]
) -> None:
    for reach in (graph.above, graph.below, graph.related):
        assert names <= reach(names)
        assert reach(reach(names)) == reach(names)
    assert graph.above(names) | graph.below(names) <= graph.related(names)
    for name in names:
        assert all(name in graph.above([one]) for one in graph.below([name]))
        assert all(name in graph.related([one]) for one in graph.related([name]))


@given(_GRAPHS, _SOME, st.sampled_from(_NAMES))
@settings(max_examples=100)
def test_an_unload_takes_along_what_nobody_asked_for_and_nobody_else_is_made_of(
    graph: Graph, asked_for: frozenset[str], name: str
) -> None:
    gone = graph.cascade(name, asked_for)
    assert gone[0] == name
    assert len(set(gone)) == len(gone)
    assert set(gone[1:]).isdisjoint(asked_for)
    for one in graph.below([name]) & graph.needs.keys():
        users = {user for user, needs in graph.needs.items() if one in needs}
        if one not in {*gone, *asked_for} and users & set(gone):
            assert users - set(gone), "nothing needs it any more, and nobody asked for it"
    for one in gone[1:]:
        assert {user for user, needs in graph.needs.items() if one in needs} <= set(gone)


@given(_GRAPHS, st.dictionaries(st.sampled_from(_NAMES), st.booleans()))
@settings(max_examples=100)
def test_an_ensemble_is_served_only_if_all_it_is_made_of_is_ready(
    graph: Graph, ready: dict[str, bool]
) -> None:
    standings = {
        name: Standing(ready=(1,)) if up else Standing(failure="no memory")
        for name, up in ready.items()
    }
    for name, needs in graph.needs.items():
        said = graph.unready(name, standings)
        assert bool(said) == (not all(ready.get(one, False) for one in needs))
        assert not said or said.startswith(f"ensemble '{name}' depends on '")
    behind = Graph({"e": {"m": frozenset({3, -1})}, "m": {}})
    assert behind.unready("e", {"m": Standing(ready=(1, 2))}) == (
        "ensemble 'e' depends on 'm' whose required version 3 is not loaded."
    )


@given(_snapshots(), _snapshots(), _SOME)
@settings(max_examples=100)
def test_a_polls_changes_make_what_is_out_of_what_was_and_touch_nothing_else(
    before: Snapshot, now: Snapshot, busy: frozenset[str]
) -> None:
    changes = diff(before, now, busy)
    served = {name: folder for name, folder in before.models.items() if name not in changes.drops}
    served |= {name: now.models[name] for name in changes.loads}
    assert served == changes.seen.models
    for name in _NAMES:
        if name in busy:
            assert name not in changes.loads | changes.drops
            assert changes.seen.models.get(name) == before.models.get(name)
        else:
            assert changes.seen.models.get(name) == now.models.get(name)
            assert changes.seen.duplicates.get(name) == now.duplicates.get(name)
            same = before.models.get(name) == now.models.get(name)
            twice = before.duplicates.get(name) == now.duplicates.get(name)
            assert (name in changes.loads) == (not same and name in now.models)
            assert name not in changes.drops or not (same and twice)
    # What was busy is found by the next poll, and then there is nothing left to find.
    rest = diff(changes.seen, now)
    assert rest.seen == now
    assert (rest.loads | rest.drops) <= busy
    again = diff(rest.seen, now)
    assert not again.loads
    assert not again.drops


@given(_FOLDERS, _FOLDERS, st.frozensets(st.integers(1, 3)))
@settings(max_examples=100)
def test_a_version_goes_on_only_if_its_own_files_are_the_same(
    old: ModelFolder, new: ModelFolder, serving: frozenset[int]
) -> None:
    config = ModelConfig(name=old.name, max_batch_size=2)
    other = ModelConfig(
        name=old.name,
        max_batch_size=2,
        version_policy=VersionPolicy(latest=2),
        instance_group=(InstanceGroup(count=3),),
    )
    going_on = untouched(Made(old, config), Made(new, other), serving)
    expected = {
        one
        for one in serving
        if old.name == new.name
        and one in new.versions
        and old.version_stamps.get(one) == new.version_stamps[one]
    }
    assert going_on == expected
    changed = ModelConfig(name=old.name, max_batch_size=4)
    assert not untouched(Made(old, config), Made(new, changed), serving)


@given(st.lists(st.tuples(_SOME, st.integers(0, 3)), max_size=8))
@settings(max_examples=100, deadline=None)
def test_operations_that_share_a_model_never_overlap_and_all_get_their_turn_in_order(
    operations: list[tuple[frozenset[str], int]],
) -> None:
    began: list[int] = []
    running: set[int] = set()

    async def operate(queue: Turns, number: int) -> None:
        names, length = operations[number]
        async with queue.of(names):
            assert all(names.isdisjoint(operations[other][0]) for other in running)
            assert names <= queue.busy()
            began.append(number)
            running.add(number)
            await turns(length)
            running.remove(number)

    async def play() -> None:
        queue = Turns()
        await asyncio.gather(*(operate(queue, number) for number in range(len(operations))))
        assert not queue.busy()

    asyncio.run(play())
    assert sorted(began) == list(range(len(operations)))
    for place, number in enumerate(began):
        for later in began[place + 1 :]:
            if later < number:
                assert operations[later][0].isdisjoint(operations[number][0])
