"""Under a limiter that grants everything, a scheduler keeps every law that it keeps without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import cast

import pytest
from kits.scheduler_kit import broken
from support.sequence_traffic import SequenceSimulation, SequenceWorld, random_traffic
from support.traffic import World
from support.worlds import any_direct, any_dynamic, any_late, any_prioritised

from engine.ratelimit import Needs, RateLimiter
from engine.scheduler import Limitable, Scheduler
from engine.schedulers.dynamic import BatchRules, Dynamic
from engine.schedulers.limited import Limited
from engine.schedulers.sequence_direct import DirectRules, SequenceDirect
from engine.schedulers.sequence_oldest import SequenceOldest


def _limited(inside: Scheduler, instances: int) -> Limited:
    """Put a scheduler under a limiter of its own, that has all that everybody needs."""
    seat = RateLimiter().join([Needs({})] * instances)
    return Limited(cast("Limitable", inside), seat)


def _under(world: World) -> World:
    make = world.make
    return replace(world, make=lambda: _limited(make(), world.instances), text=f"Limited({world})")


@pytest.mark.parametrize(
    "worlds", [any_direct, any_dynamic, any_prioritised, any_late], ids=lambda one: one.__name__
)
def test_under_a_limiter_that_grants_everything_all_laws_of_schedulers_hold(
    worlds: Callable[[Random], World],
) -> None:
    assert broken(lambda dice: _under(worlds(dice)), 120) == ""


def _direct(dice: Random) -> SequenceWorld:
    instances, slots = dice.randint(1, 3), dice.choice((1, 2, 4))
    rules = DirectRules(slots=slots, idle_ns=60, delay_ns=dice.choice((0, 7)), utilization=0.5)
    return SequenceWorld(
        make=lambda: _limited(SequenceDirect(rules, instances), instances),
        instances=instances,
        slots=slots,
        idle_ns=60,
        max_rows=slots,
        delay_ns=rules.delay_ns,
        aligned=True,
        text=f"{rules}, {instances}",
    )


def _oldest(dice: Random) -> SequenceWorld:
    instances, slots, rows = dice.randint(1, 3), dice.choice((1, 2, 4)), dice.choice((1, 2, 4))
    rules = BatchRules(max_rows=rows, max_delay_ns=dice.choice((0, 7)))
    batchers = [Dynamic(rules, 1) for _ in range(instances)]
    return SequenceWorld(
        make=lambda: _limited(SequenceOldest(slots, 60, batchers), instances),
        instances=instances,
        slots=slots,
        idle_ns=60,
        max_rows=rows,
        delay_ns=rules.max_delay_ns,
        text=f"{slots} {rules}, {instances}",
    )


@pytest.mark.parametrize("worlds", [_direct, _oldest], ids=lambda one: one.__name__)
def test_under_a_limiter_that_grants_everything_all_laws_of_sequences_hold(
    worlds: Callable[[Random], SequenceWorld],
) -> None:
    for seed in range(120):
        dice = Random(seed)
        world = worlds(dice)
        simulation = SequenceSimulation(world, random_traffic(dice), dice.choice((1, 4, 30)))
        assert simulation.run() == [], f"seed {seed}, {world.text}"
