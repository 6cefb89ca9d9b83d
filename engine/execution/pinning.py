"""The cores that host policies mean, and threads that keep to them.

Owns what of a machine a policy can name (its cores and NUMA nodes), and the pinning of a
thread. Does not own the flags (``engine.sharing``), nor which instance has which policy
(``plan``). Linux gives every thread the affinity of the one that started it: a runtime that is
loaded on a pinned thread has pinned threads of its own. Memory lies on the node of the thread
that writes to it first, so that a policy's NUMA node is kept to by its cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InvalidArgument
from engine.sharing import HostPolicy

NODES = Path("/sys/devices/system/node")


def resolve(
    policies: Mapping[str, HostPolicy],
    allowed: frozenset[int] | None = None,
    nodes: Path = NODES,
) -> Mapping[str, frozenset[int]]:
    """Say which cores each policy means, of those that this server may use.

    Raises:
        InvalidArgument: there are no such cores, or no such node, or the two do not agree.
    """
    here = frozenset(os.sched_getaffinity(0)) if allowed is None else allowed
    return {name: _meant(name, policy, here, nodes) for name, policy in policies.items()}


def _meant(name: str, policy: HostPolicy, here: frozenset[int], nodes: Path) -> frozenset[int]:
    cores = here if policy.cores is None else policy.cores
    if missing := cores - here:
        raise InvalidArgument(
            f"--host-policy={name},cpu-cores: this server may not use core {_listed(missing)}; it "
            f"has {_listed(here)}"
        )
    if policy.numa_node is None:
        return cores
    node = _node(policy.numa_node, nodes)
    if node is None:
        there = sorted(int(one.name[4:]) for one in nodes.glob("node[0-9]*"))
        raise InvalidArgument(
            f"--host-policy={name},numa-node={policy.numa_node}: this machine has no such node; it "
            f"has {_listed(there) or 'none'}"
        )
    if policy.cores is not None and (outside := policy.cores - node):
        raise InvalidArgument(
            f"--host-policy={name}: core {_listed(outside)} is not of NUMA node "
            f"{policy.numa_node}, which has {_listed(node)}; memory lies where threads run, so "
            "name cores of that node"
        )
    if not (own := cores & node):
        raise InvalidArgument(
            f"--host-policy={name},numa-node={policy.numa_node}: this server may use none of its "
            f"cores {_listed(node)}; it has {_listed(here)}"
        )
    return own


def _node(number: int, nodes: Path) -> frozenset[int] | None:
    try:
        text = (nodes / f"node{number}" / "cpulist").read_text(encoding="ascii")
    except OSError:
        return None
    cores: set[int] = set()
    for part in text.strip().split(","):
        lower, _, upper = part.partition("-")
        if lower:
            cores.update(range(int(lower), int(upper or lower) + 1))
    return frozenset(cores)


def _listed(numbers: frozenset[int] | list[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


@contextmanager
def pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """Keep the calling thread, and all that it starts, to ``cores``; None leaves it as it is."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
