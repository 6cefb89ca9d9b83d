"""The laws of sequences, on thousands of random traffics in virtual time, and faults they find."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from support.mutants import mutants
from support.sequence_traffic import SequenceSimulation, SequenceWorld, random_traffic

import engine.schedulers.sequence_direct
import engine.schedulers.sequence_oldest
import engine.sequencing
from engine.ratelimit import Needs, RateLimiter
from engine.scheduler import Scheduler
from engine.schedulers.dynamic import BatchRules, Dynamic
from engine.schedulers.limited import Limited
from engine.schedulers.sequence_direct import DirectRules

TRAFFICS = 1000
Modules = Mapping[str, ModuleType]
REAL: Modules = {
    "sequencing": engine.sequencing,
    "direct": engine.schedulers.sequence_direct,
    "oldest": engine.schedulers.sequence_oldest,
}


def direct_world(modules: Modules, dice: random.Random) -> SequenceWorld:
    instances, slots = dice.randint(1, 3), dice.choice((1, 1, 2, 4))
    rules = DirectRules(
        slots=slots,
        idle_ns=dice.choice((20, 60)),
        delay_ns=dice.choice((0, 0, 7)),
        utilization=dice.choice((0.0, 0.5, 1.0)),
    )
    make: Callable[..., Any] = modules["direct"].SequenceDirect
    return SequenceWorld(
        make=lambda: make(rules, instances),
        instances=instances,
        slots=slots,
        idle_ns=rules.idle_ns,
        max_rows=slots,
        delay_ns=rules.delay_ns if rules.utilization else 0,
        aligned=True,
        text=f"{rules}, {instances}",
    )


def limited(make_world: Callable[[Modules, random.Random], SequenceWorld]) -> Any:
    """The same world under a rate limiter that grants all that is asked for."""

    def made(modules: Modules, dice: random.Random) -> SequenceWorld:
        world = make_world(modules, dice)

        def make() -> Scheduler:
            inside: Any = world.make()
            return Limited(inside, RateLimiter().join([Needs({})] * world.instances))

        return replace(world, make=make, text=f"limited {world.text}")

    return made


def oldest_world(modules: Modules, dice: random.Random) -> SequenceWorld:
    instances, slots, rows = dice.randint(1, 3), dice.choice((1, 2, 4)), dice.choice((1, 2, 4))
    inner = BatchRules(
        max_rows=rows,
        max_delay_ns=dice.choice((0, 0, 7)),
        preferred=frozenset(range(1, rows + 1) if dice.random() < 0.3 else ()),
    )
    idle_ns = dice.choice((20, 60))
    make: Callable[..., Any] = modules["oldest"].SequenceOldest
    return SequenceWorld(
        make=lambda: make(slots, idle_ns, [Dynamic(inner, 1) for _ in range(instances)]),
        instances=instances,
        slots=slots,
        idle_ns=idle_ns,
        max_rows=rows,
        delay_ns=inner.max_delay_ns,
        text=f"{slots} {idle_ns} {inner}, {instances}",
    )


WORLDS = {
    "direct": direct_world,
    "oldest": oldest_world,
    "limited direct": limited(direct_world),
    "limited oldest": limited(oldest_world),
}


def breach(strategy: str, modules: Modules, traffics: int) -> str:
    """Run so many random traffics; tell the first breach of a law, "" if there is none."""
    for seed in range(traffics):
        dice = random.Random(seed)
        world = WORLDS[strategy](modules, dice)
        traffic, service_ns = random_traffic(dice), dice.choice((1, 4, 30))
        try:
            faults = SequenceSimulation(world, traffic, service_ns).run()
        except Exception as fault:  # noqa: BLE001 - a planted fault may break anything
            faults = [f"{type(fault).__name__}: {fault}"]
        if faults:
            return f"seed {seed}, {world.text}, service {service_ns}: {faults[0]}"
    return ""


@pytest.mark.triton("8.1", "8.3", "8.4", "8.6", "8.7", "8.8")
@pytest.mark.parametrize("strategy", list(WORLDS))
def test_every_law_of_sequences_holds_on_random_traffic(strategy: str) -> None:
    """Ends once, in order, one at a time, in one slot that is nobody else's, in time."""
    traffics = TRAFFICS // 3 if "limited" in strategy else TRAFFICS
    assert breach(strategy, REAL, traffics) == ""


@pytest.mark.parametrize("strategy", list(WORLDS))
def test_the_same_events_give_the_same_answers(strategy: str) -> None:
    for seed in range(50):
        dice = random.Random(seed)
        world, traffic = WORLDS[strategy](REAL, dice), random_traffic(dice)
        one, other = (SequenceSimulation(world, traffic, 4) for _ in range(2))
        one.run()
        other.run()
        assert one.steps == other.steps


#: what is planted: strategy, module, a line of it, and what stands there instead
FAULTS = {
    "the backlog is last come, first served": (
        "direct", "sequencing", "popitem(last=False)", "popitem(last=True)",
    ),
    "a slot is given away while its sequence is open": (
        "direct", "sequencing", "self._silent[live] = now_ns + self._idle_ns", "self._vacate(live)",
    ),
    "END does not close a sequence": (
        "oldest", "sequencing", "if mark.end:", "if mark.end and mark.start:",
    ),
    "a silent sequence is kept for ever": (
        "direct", "sequencing", "if over_ns > now_ns:", "if over_ns > 0:",
    ),
    "a sequence is closed a moment too soon": (
        "oldest", "sequencing", "= now_ns + self._idle_ns", "= now_ns + self._idle_ns - 1",
    ),
    "a request does not interrupt the silence": (
        "direct", "sequencing", "self._silent.pop(live, None)", "pass",
    ),
    "who waits for a slot never expires": (
        "oldest", "sequencing", "if first is not None:", "if first is None:",
    ),
    "the second request runs beside the first": (
        "oldest", "sequencing", "if len(live.line) == 1 and not live.running:", "if live.line:",
    ),
    "a cancelled request leaves those behind it": (
        "oldest", "sequencing", "self._cut(live, at, at + 1)", "self._cut(live, at, at)",
    ),
    "a stopped scheduler starts sequences": (
        "direct", "sequencing", "if mark.start and self._stopping:", "if self._stopping and 0:",
    ),
    "the newest request of a batch decides how long it waits": (
        "direct", "direct", "oldest = min(", "oldest = max(",
    ),
    "a batch mixes shapes": (
        "direct", "direct", "if live.line[0].shape == oldest.shape", "if live.line",
    ),
    "a busy instance is given a batch": (
        "direct", "direct", "self._idle.remove(instance)\n        return", "return",
    ),
    "nobody is told that a sequence has left": (
        "oldest", "oldest", "default=None), ended)", "default=None))",
    ),
    "nobody wakes for the delay": ("direct", "direct", "wakes.append(due_ns)", "pass"),
    "a queued request that is lost keeps its sequence waiting": (
        "oldest", "oldest", "self._roster.lose(self._queued.pop(reject.ticket.id), now_ns)", "()",
    ),
    "the batcher forms a batch before its sequences go on": (
        "oldest", "oldest", "self._roster.finish(live, now_ns)", "live.running = False",
    ),
    "the timeout goes on in the batcher": (
        "oldest", "oldest", "if ticket.deadline_ns is not None:", "if ticket is None:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_laws_find(fault: str) -> None:
    strategy, module, line, instead = FAULTS[fault]
    assert breach(strategy, mutants(REAL, module, line, instead), TRAFFICS)
