"""The worlds of the default scheduler and of the dynamic batcher, drawn at random."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from engine.ranking import LevelRules, RankRules
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic, Prioritised
from support.traffic import World


def direct(instances: int) -> World:
    return World(make=lambda: Direct(instances), instances=instances, text=f"Direct({instances})")


def batcher(rules: BatchRules, instances: int, start_at: int = 0) -> World:
    made = Dynamic if rules.ranks is None else Prioritised
    return World(
        make=lambda: made(rules, instances, start_at),
        instances=instances,
        rules=rules,
        start_at=start_at,
        text=f"{made.__name__}({rules}, {instances}, {start_at})",
    )


def any_direct(dice: Random) -> World:
    return direct(_instances(dice))


def any_dynamic(dice: Random) -> World:
    return batcher(_rules(dice), _instances(dice))


def any_prioritised(dice: Random) -> World:
    return batcher(_ranked(dice), _instances(dice))


def any_late(dice: Random) -> World:
    rules = dice.choice((_rules, _ranked))(dice)
    return batcher(rules, _instances(dice), dice.randint(1, 12))


def _instances(dice: Random) -> int:
    return dice.randint(1, 3)


def _rules(dice: Random) -> BatchRules:
    max_rows = dice.choice((1, 2, 4, 5, 8))
    return BatchRules(
        max_rows=max_rows,
        max_delay_ns=dice.choice((0, 0, 7, 50)),
        preferred=frozenset(dice.randint(1, max_rows) for _ in range(dice.randint(0, 3))),
        max_queue=dice.choice((0, 0, 1, 3, 10)),
    )


def _ranked(dice: Random) -> BatchRules:
    own = {dice.randint(1, 3): _level(dice) for _ in range(dice.randint(0, 2))}
    return replace(_rules(dice), max_queue=0, ranks=RankRules(_level(dice), own))


def _level(dice: Random) -> LevelRules:
    return LevelRules(dice.choice((0, 0, 1, 3)), dice.random() < 0.5)
