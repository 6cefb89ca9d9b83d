"""The rate limiter's laws, on random models, loads and priorities in virtual time.

The same laws find every fault that is planted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from types import ModuleType

import pytest
from support.limits import REAL, Come, Model, Parts, Town
from support.mutants import mutants

import engine.ratelimit
import engine.schedulers.limited
from engine.ratelimit import Needs, Place
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic

TRAFFICS = 400
R1: Place = ("R1", None)
_PLACES: tuple[Place, ...] = (R1, ("R2", 0), ("R2", 1), ("R3", 0))
_MOST = 4  # the greatest priority, and the most that an instance needs of a resource


def any_model(dice: Random) -> Model:
    """Make a model of up to three instances, with a batcher or without, that needs something."""
    delay = dice.choice((None, 0, 7))
    rules = None if delay is None else BatchRules(max_rows=4, max_delay_ns=delay)
    instances = tuple(
        Needs(
            {place: dice.randint(1, _MOST) for place in dice.sample(_PLACES, dice.randint(0, 3))},
            dice.randint(1, _MOST),
        )
        for _ in range(dice.randint(1, 3))
    )
    return Model(
        make=lambda count: Direct(count) if rules is None else Dynamic(rules, count),
        instances=instances,
        service_ns=dice.randint(1, 40),
        text=f"Model({rules}, {instances})",
    )


def contender(priority: int, service_ns: int = 10, *places: Place) -> Model:
    """Make a model of one instance that needs one of each place, R1 if none is named."""
    needs = Needs(dict.fromkeys(places or (R1,), 1), priority)
    return Model(make=Direct, instances=(needs,), service_ns=service_ns, text=f"{needs}")


def any_traffic(dice: Random, models: int) -> list[Come]:
    return [
        Come(
            dice.choice((0, 0, 1, 5, 30)),
            dice.randrange(models),
            dice.randint(0, 6),
            tuple(dice.randint(0, 40) for _ in range(dice.randint(0, 2))),
        )
        for _ in range(dice.randint(1, 14))
    ]


def served(dice: Random, parts: Parts) -> str:
    """Nothing is oversubscribed, everybody ends once, nobody sleeps on, no busy loop."""
    models = [any_model(dice) for _ in range(dice.randint(1, 4))]
    traffic = any_traffic(dice, len(models))
    history = Town(models, parts=parts).run(traffic)
    if history.faults:
        return history.faults[0]
    if history.ended != Counter(dict.fromkeys(range(history.came), 1)):
        return f"not everybody ended once: {history.ended}"
    again = Town(models, parts=parts).run(traffic).steps
    return "" if again == history.steps else "the same events gave other answers"


def weighed(dice: Random, parts: Parts) -> str:
    """Executions times priority differ by no more than the greatest priority, while all wait."""
    priorities = [dice.randint(1, 5) for _ in range(dice.randint(2, 5))]
    models = [contender(priority, dice.randint(5, 30)) for priority in priorities]
    crowd = [Come(0, model, 70) for model in range(len(models))]
    counts: Counter[int] = Counter()
    for _, model, _ in Town(models, parts=parts).run(crowd, until_ns=300).runs:
        counts[model] += 1
        turns = [counts[one] * priority for one, priority in enumerate(priorities)]
        if max(turns) - min(turns) > max(priorities):
            return f"turns {turns} of priorities {priorities}"
    return ""


def passed(dice: Random, parts: Parts) -> str:
    """While a model waits, none that shares with it has more than a few turns: past is no debt."""
    places: tuple[Place, ...] = (R1, ("R2", None), ("R3", None))
    models = [
        contender(
            dice.randint(1, _MOST),
            dice.randint(1, 20),
            *dice.sample(places, dice.randint(1, 2)),
        )
        for _ in range(dice.randint(2, 5))
    ]
    traffic = [
        Come(dice.choice((0, 1, 100, 2000)), dice.randrange(len(models)), dice.choice((1, 3, 60)))
        for _ in range(dice.randint(1, 8))
    ]
    history = Town(models, dict.fromkeys(places, 1), parts).run(traffic)
    waits: dict[int, Counter[int]] = {}
    for at, kind, model in history.story:
        if kind == "wait":
            waits.setdefault(model, Counter())
            continue
        waits.pop(model, None)
        for other, counts in waits.items() if kind == "run" else ():
            ours, theirs = (models[one].instances[0].resources for one in (other, model))
            counts[model] += bool(ours.keys() & theirs.keys())
            if counts[model] > 2 * _MOST + 1:
                return f"{at}: {model} passes {other} again and again"
    return ""


def used_by_whoever_runs(_: Random, parts: Parts) -> str:
    """A batch that may still grow holds nothing; little does not starve who needs much."""
    slow = Model(
        make=lambda count: Dynamic(BatchRules(max_rows=8, max_delay_ns=500), count),
        instances=(Needs({R1: 1}),),
    )
    history = Town([slow, contender(1)], parts=parts).run([Come(0, 0, 1), Come(1, 1, 3)])
    if history.runs != [(1, 1, 0), (11, 1, 0), (21, 1, 0), (500, 0, 0)]:
        return f"a batch that grows keeps others waiting: {history.runs}"
    much = Model(make=Direct, instances=(Needs({R1: 3}),))
    town = Town([contender(1)] * 3 + [much], parts=parts)
    runs = town.run([Come(0, 0, 50), Come(3, 1, 50), Come(3, 2, 50), Come(1, 3, 5)]).runs
    first = next(at for at, model, _ in runs if model == 3)
    return "" if first <= 7 + 10 else f"who needs much ran at {first}"


LAWS = (used_by_whoever_runs, served, weighed, passed)


def breach(parts: Parts, traffics: int) -> str:
    """Hold parts to every law, so many times; tell of the first breach, "" if there is none."""
    for seed in range(traffics):
        for law in LAWS[bool(seed) :]:  # the first has nothing random in it
            try:
                fault = law(Random(seed), parts)
            except Exception as raised:  # noqa: BLE001 - a planted fault may break anything
                fault = f"{type(raised).__name__}: {raised}"
            if fault:
                return f"{law.__name__}, seed {seed}: {fault}"
    return ""


@pytest.mark.triton("10.1", "10.2")
def test_every_law_of_the_limiter_holds_on_random_traffic() -> None:
    assert breach(REAL, TRAFFICS // 2) == ""


def test_who_shares_nothing_waits_for_nobody() -> None:
    alone = Model(make=Direct, instances=(Needs({}),), service_ns=10)
    town = Town([contender(1, 10_000)] * 2 + [alone])
    history = town.run([Come(0, 0, 2), Come(0, 1, 2), Come(5, 2, 3)])
    assert [at for at, model, _ in history.runs if model == 2] == [5, 15, 25]


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 3), (4, 1), (3, 2)])
@pytest.mark.parametrize("late_ns", [0, 7, 100, 300])
def test_whoever_comes_late_neither_waits_for_long_nor_has_all_the_turns(
    first: int, second: int, late_ns: int
) -> None:
    town = Town([contender(first), contender(second)])
    history = town.run([Come(0, 0, 100), Come(0, 1, 1), Come(late_ns, 1, 60)])
    counts = Counter({0: 0, 1: 0})
    for _, model, _ in islice((one for one in history.runs if one[0] > late_ns), 50):
        counts[model] += 1
        assert abs(counts[0] * first - counts[1] * second) <= 2 * max(first, second)


MODULES: Mapping[str, ModuleType] = {
    "limiter": engine.ratelimit,
    "limited": engine.schedulers.limited,
}
#: what is planted: module, a line of it, and what stands there instead
FAULTS: Mapping[str, Sequence[str]] = {
    "there is one more of everything": (
        "limiter", "claimed.get(place, 0) + count <=", "claimed.get(place, 0) + count - 1 <=",
    ),
    "what runs is not counted": ("limiter", "_add(self._used, resources)\n", "pass\n"),
    "nothing is given back": (
        "limiter", "_add(self._used, member.needs.resources, -1)", "pass",
    ),
    "an instance that runs is granted again": (
        "limiter", "member.out = True", "member.out = False",
    ),
    "priorities do not count": (
        "limiter", "member.turns += member.needs.priority", "member.turns += 1",
    ),
    "turns do not count": ("limiter", "member.turns += member.needs.priority", "pass"),
    "who has had the most turns is next": (
        "limiter", "waiting.sort(key=_TURN)", "waiting.sort(key=_TURN, reverse=True)",
    ),
    "who is next claims nothing": (
        "limiter", "seen.append(seat)\n                _add(claimed, resources)", "pass",
    ),
    "the past is a debt, as in Triton": (
        "limiter",
        "member.turns = min(max(member.turns, base), base + member.needs.priority)",
        "pass",
    ),
    "a long idle time is a credit": ("limiter", "max(member.turns, base)", "member.turns"),
    "a group that meets another keeps its turns": (
        "limiter", "one.turns += base - lowest", "pass",
    ),
    "nobody is told of a promise": ("limiter", "self._called()", "pass"),
    "a promise that is not taken is kept": (
        "limiter", "self._limiter.put_back(self.promised)", "pass",
    ),
    "what is declined is not given back": (
        "limiter", "self._limiter.put_back(self.members[instance])", "pass",
    ),
    "what was declined is not asked for again": ("limiter", "self.declined.clear()", "pass"),
    "an idle instance is used without a grant": (
        "limited", "inside.hold(member.number, 0)", "pass",
    ),
    "a batch that may grow keeps its instance": (
        "limited", "seat.decline(unused)", "pass",
    ),
    "nobody wakes for a batch that may grow": (
        "limited",
        "min((step.wake_ns for step in steps if step.wake_ns is not None), default=None)",
        "None",
    ),
    "a model asks once": ("limited", "while self._waiting and", "while False and"),
    "an end is not told": ("limited", "self._seat.release(instance)", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_laws_find(fault: str) -> None:
    module, line, instead = FAULTS[fault]
    built = mutants(MODULES, module, line, instead)
    parts = Parts(built["limiter"].RateLimiter, built["limited"].Limited)
    assert breach(parts, TRAFFICS)
