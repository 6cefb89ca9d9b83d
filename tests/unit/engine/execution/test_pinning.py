"""Which cores host policies mean, and threads that keep to them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from engine.errors import InvalidArgument
from engine.execution.pinning import pinned, resolve
from engine.sharing import HostPolicy

HERE = frozenset(range(8))


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    for node, cores in enumerate(("0-3", "4-5,7\n")):
        (tmp_path / f"node{node}").mkdir()
        (tmp_path / f"node{node}" / "cpulist").write_text(cores)
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "cores"),
    [
        (HostPolicy(cores=frozenset({1, 2})), {1, 2}),
        (HostPolicy(numa_node=1), {4, 5, 7}),
        (HostPolicy(frozenset({4, 7}), 1), {4, 7}),
        (HostPolicy(), HERE),
    ],
)
def test_a_policy_means_its_cores_or_those_of_its_node(
    policy: HostPolicy, cores: set[int], nodes: Path
) -> None:
    assert resolve({"p": policy}, HERE, nodes) == {"p": frozenset(cores)}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (HostPolicy(cores=frozenset({7, 8, 9})), "may not use core 8, 9; it has 0, 1, 2"),
        (HostPolicy(numa_node=4), "numa-node=4: this machine has no such node; it has 0, 1"),
        (HostPolicy(frozenset({3, 4}), 1), "core 3 is not of NUMA node 1, which has 4, 5, 7"),
    ],
)
def test_what_the_machine_does_not_have_is_refused(
    policy: HostPolicy, said: str, nodes: Path
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        resolve({"p": policy}, HERE, nodes)
    assert said in refused.value.message


def test_a_node_of_which_nothing_may_be_used_is_refused(nodes: Path) -> None:
    with pytest.raises(InvalidArgument, match="may use none of its cores 4, 5, 7; it has 0, 1"):
        resolve({"p": HostPolicy(numa_node=1)}, frozenset({0, 1}), nodes)


def test_a_pinned_thread_and_what_it_starts_keep_to_the_cores_until_it_is_left() -> None:
    before = os.sched_getaffinity(0)
    one = frozenset({min(before)})
    seen: list[set[int]] = []
    with pinned(one):
        child = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        child.start()
        child.join()
        seen.append(os.sched_getaffinity(0))
    assert seen == [one, one]
    assert os.sched_getaffinity(0) == before
    with pinned(None):
        assert os.sched_getaffinity(0) == before
