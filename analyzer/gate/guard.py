"""Looks at the machine before anything is measured: is it fit to measure on?

Owns the reading, and what of it a user accepts. Does not own what makes a machine unfit, or two
machines alike (``fingerprint``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyzer.gate import fingerprint
from analyzer.gate.values import Block
from analyzer.measure.environment import WARNING, Check
from analyzer.measure.machine import describe
from analyzer.measure.observe import idle_gpus

#: per cent that a GPU is busy, or of its memory taken, before a model of ours is on it
_BUSY, _TAKEN = 5.0, 10.0
ALL, DISTURBED = "all", "disturbed"


def look(flags: Sequence[str] = ()) -> dict[str, Any]:
    """Describe this machine in JSON's types, with the ``flags`` of the servers to come."""
    machine = describe()
    if machine.get("gpus"):
        found = [asdict(each) for each in in_use(machine, idle_gpus())]
        machine["environment"] = [*machine.get("environment", ()), *found]
    if flags:
        machine["flags"] = list(flags)
    return machine


def tainted(
    machine: Mapping[str, Any], blocks: Sequence[Block], accepted: Collection[str]
) -> tuple[str, ...]:
    """Say why the machine was no good for measuring, what is accepted aside."""
    if ALL in accepted:
        return ()
    left = [each for each in machine.get("environment", ()) if each.get("check") not in accepted]
    seen = () if DISTURBED in accepted else blocks
    return fingerprint.unfit({**machine, "environment": left}, seen)


def in_use(machine: Mapping[str, Any], idle: Mapping[str, Mapping[str, float]]) -> Iterator[Check]:
    """Yield a warning for each GPU that somebody else is using."""
    names = {each["uuid"]: each["name"] for each in machine["gpus"]}
    for uuid, seen in idle.items():
        name = f"{names.get(uuid, 'GPU')} ({uuid})"
        busy = seen.get("gpu_utilization", 0.0)
        used, free = seen.get("gpu_used_memory", 0.0), seen.get("gpu_free_memory", 0.0)
        if busy > _BUSY:
            text = f"{name} was {busy:.0f}% busy before the start: other programs compute on it"
            yield Check("gpu", f"{busy:.0f}%", WARNING, text)
        elif used > _TAKEN / 100 * (used + free):
            text = f"{name} had {used:.0f} MB in use before the start: other programs are on it"
            yield Check("gpu", f"{used:.0f} MB", WARNING, text)
