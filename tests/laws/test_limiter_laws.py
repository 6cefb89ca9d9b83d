"""The rate limiter's laws, on random models, loads and priorities in virtual time.

Some faults are planted, each as a whole limiter or seat that has it; the laws find every one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kits.scheduler_kit import broken
from support.limits import Come, Model, Shared, Town
from support.sequence_traffic import SequenceSimulation, SequenceWorld, random_traffic
from support.traffic import World
from support.worlds import any_direct, any_dynamic, any_late, any_prioritised

from engine.ratelimit import Needs, Place, RateLimiter, Seat
from engine.scheduler import Limitable, Scheduler
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic
from engine.schedulers.limited import Limited
from engine.schedulers.sequence_direct import DirectRules, SequenceDirect
from engine.schedulers.sequence_oldest import SequenceOldest

_RUNS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_PLACES: tuple[Place, ...] = (("R1", None), ("R2", 0), ("R2", 1), ("R3", 0))


@st.composite
def _models(draw: st.DrawFn) -> list[Model]:
    models = []
    for number in range(draw(st.integers(1, 4))):
        instances = tuple(
            Needs(
                draw(st.dictionaries(st.sampled_from(_PLACES), st.integers(1, 4), max_size=3)),
                draw(st.integers(1, 4)),
            )
            for _ in range(draw(st.integers(1, 3)))
        )
        delay = draw(st.sampled_from((None, 0, 7)))
        rules = None if delay is None else BatchRules(max_rows=4, max_delay_ns=delay)
        models.append(
            Model(
                make=lambda count, rules=rules: (  # type: ignore[misc]
                    Direct(count) if rules is None else Dynamic(rules, count)
                ),
                instances=instances,
                service_ns=draw(st.integers(1, 40)),
                text=f"Model({number}, {rules}, {instances})",
            )
        )
    return models


def _traffic(models: int) -> st.SearchStrategy[list[Come]]:
    return st.lists(
        st.builds(
            Come,
            gap=st.sampled_from((0, 0, 1, 5, 30)),
            model=st.integers(0, models - 1),
            count=st.integers(0, 6),
            cancel=st.lists(st.integers(0, 40), max_size=2).map(tuple),
        ),
        max_size=14,
    )


def _pools(models: Sequence[Model]) -> dict[Place, int]:
    pools: dict[Place, int] = {}
    for model in models:
        for instance in model.instances:
            for place, count in instance.resources.items():
                pools[place] = max(count, pools.get(place, 0))
    return pools


@_RUNS
@given(st.data())
def test_resources_are_never_oversubscribed_and_everybody_has_a_turn(data: st.DataObject) -> None:
    """Also: one batch an instance, no busy loop, and the same events give the same answers."""
    models = data.draw(_models())
    traffic = data.draw(_traffic(len(models)))
    history = Town(models, _pools(models)).run(traffic)
    assert history.faults == []
    assert history.ended == Counter(dict.fromkeys(range(history.came), 1))
    assert Town(models, _pools(models)).run(traffic).steps == history.steps


@_RUNS
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=5),
    st.lists(st.integers(5, 30), min_size=5, max_size=5),
)
def test_turns_follow_the_priorities_while_all_wait(
    priorities: list[int], services: list[int]
) -> None:
    """Executions times priority never differ by more than the largest priority."""
    history = _contest(priorities, services)
    assert history.faults == []
    counts: Counter[int] = Counter()
    for _, model, _ in history.runs:
        counts[model] += 1
        turns = [counts[one] * priority for one, priority in enumerate(priorities)]
        assert max(turns) - min(turns) <= max(priorities)


@_RUNS
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 300), st.integers(0, 1))
def test_whoever_comes_late_neither_waits_for_long_nor_has_all_the_turns(
    first: int, second: int, late_ns: int, before: int
) -> None:
    models = [_contender(first), _contender(second)]
    begin = [Come(0, 0, 100), *([Come(0, 1, 1)] if before else [])]
    history = Town(models, {("R1", None): 1}).run([*begin, Come(late_ns, 1, 60)])
    since = [model for at, model, _ in history.runs if at > late_ns]
    for number in range(2, 60):
        part = since[:number]
        if len(part) == number:
            ran = part.count(0) * first - part.count(1) * second
            assert abs(ran) <= 2 * max(first, second)


@_RUNS
@given(st.data())
def test_nobody_is_passed_again_and_again_whatever_was_before(data: st.DataObject) -> None:
    """While a model waits, no other that shares with it has more than a few turns."""
    places: tuple[Place, ...] = (("R1", None), ("R2", None), ("R3", None))
    needs = st.builds(
        Needs,
        st.lists(st.sampled_from(places), min_size=1, max_size=2).map(
            lambda these: dict.fromkeys(these, 1)
        ),
        st.integers(1, 4),
    )
    models = [
        Model(make=Direct, instances=(one,), service_ns=data.draw(st.integers(1, 20)))
        for one in data.draw(st.lists(needs, min_size=2, max_size=5))
    ]
    loads = st.builds(
        Come,
        gap=st.sampled_from((0, 1, 100, 2000)),
        model=st.integers(0, len(models) - 1),
        count=st.sampled_from((1, 3, 60)),
    )
    history = Town(models, dict.fromkeys(places, 1)).run(data.draw(st.lists(loads, max_size=8)))
    waits: dict[int, Counter[int]] = {}
    for at, kind, model in history.story:
        if kind == "wait":
            waits.setdefault(model, Counter())
        elif kind == "rest":
            waits.pop(model, None)
        else:
            waits.pop(model, None)
            for other, passed in waits.items():
                ours, theirs = (models[one].instances[0].resources for one in (other, model))
                if ours.keys() & theirs.keys():
                    passed[model] += 1
                    assert passed[model] <= 2 * 4 + 1, f"{at}: {model} passes {other}"


def test_much_is_not_starved_by_little() -> None:
    """One that needs the whole pool waits for those that run, and not for those that come."""
    little = Model(make=Direct, instances=(Needs({("R1", None): 1}),), service_ns=10)
    much = Model(make=Direct, instances=(Needs({("R1", None): 3}),), service_ns=10)
    town = Town([little, little, little, much], {("R1", None): 3})
    traffic = [Come(0, 0, 50), Come(3, 1, 50), Come(3, 2, 50), Come(1, 3, 5)]
    history = town.run(traffic)
    first = next(at for at, model, _ in history.runs if model == 3)
    assert first <= 7 + 10
    assert history.faults == []


def test_who_shares_nothing_waits_for_nobody() -> None:
    alone = Model(make=Direct, instances=(Needs({}),), service_ns=10)
    held = Model(make=Direct, instances=(Needs({("R1", None): 1}),), service_ns=10_000)
    history = Town([held, held, alone], {("R1", None): 1}).run(
        [Come(0, 0, 2), Come(0, 1, 2), Come(5, 2, 3)]
    )
    assert [at for at, model, _ in history.runs if model == 2] == [5, 15, 25]


def _contender(priority: int, service_ns: int = 10) -> Model:
    needs = Needs({("R1", None): 1}, priority)
    return Model(make=Direct, instances=(needs,), service_ns=service_ns, text=f"{needs}")


def _contest(
    priorities: Sequence[int], services: Sequence[int] = (10,) * 5, seat: type[Seat] = Seat
) -> Shared:
    models = [
        _contender(priority, service)
        for priority, service in zip(priorities, services, strict=False)
    ]
    town = Town(models, {("R1", None): 1}, seat=_with(seat))
    # So many requests that all models wait, all the time that is looked at.
    return town.run([Come(0, model, 70) for model in range(len(models))], until_ns=300)


def _with(kind: type[Seat]) -> Callable[[RateLimiter, Sequence[Needs]], Seat]:
    """Seat models as ``kind`` does."""

    def join(limiter: RateLimiter, instances: Sequence[Needs]) -> Seat:
        seat = limiter.join(instances)
        seat.__class__ = kind
        return seat

    return join


class _Generous(RateLimiter):
    """Has one more of everything than there is."""

    def _size(self, seats: Iterable[Seat]) -> dict[Place, int]:
        return {place: count + 1 for place, count in super()._size(seats).items()}


class _Remembering(RateLimiter):
    """Lets the past count, as Triton does."""

    def line_up(self, seat: Seat) -> None:
        turns = [member.turns for member in seat.members]
        super().line_up(seat)
        for member, before in zip(seat.members, turns, strict=True):
            member.turns = before


class _Forgetful(Seat):
    """Tells nobody what was promised."""

    def tell(self) -> None:
        return


class _Greedy(Seat):
    """Keeps what it cannot use."""

    def decline(self, instance: int) -> None:
        self.declined.add(instance)


class _Equal(Seat):
    """Counts every turn as one, whatever the priority."""

    def release(self, instance: int) -> None:
        member = self.members[instance]
        member.turns += 1 - member.needs.priority
        super().release(instance)


class _Leaking(Seat):
    """Gives less back than it took."""

    def release(self, instance: int) -> None:
        super().release(instance)
        self.members[instance].out = True


@pytest.mark.parametrize("first", [1, 3])
def test_the_past_is_no_debt(first: int) -> None:
    """One that ran long while the other was idle does not wait for as long in its turn."""
    assert _after_a_past(first, RateLimiter()).count(0) >= 2


def _after_a_past(first: int, limiter: RateLimiter) -> list[int]:
    """Whose the next nine turns are, when one that ran long before meets one that did not."""
    busy, other = _contender(first), _contender(1)
    begin = [Come(0, 0, 50), Come(600, 1, 50), Come(1, 0, 50)]
    history = Town([busy, other], {("R1", None): 1}, limiter=limiter).run(begin)
    return [model for at, model, _ in history.runs if at >= 600][:9]


def test_planted_faults_are_found() -> None:
    shared = Needs({("R1", None): 1})
    two = [Model(make=Direct, instances=(shared,), service_ns=10)] * 2
    both = [Come(0, 0, 3), Come(0, 1, 3)]
    pools: dict[Place, int] = {("R1", None): 1}

    generous = Town(two, pools, limiter=_Generous()).run(both)
    assert any("are used" in one for one in generous.faults)
    for fault in (_Forgetful, _Leaking):
        stuck = Town(two, pools, seat=_with(fault)).run(both)
        assert any("nothing will wake" in one for one in stuck.faults)
    slow = Model(
        make=lambda count: Dynamic(BatchRules(max_rows=8, max_delay_ns=500), count),
        instances=(shared,),
    )
    kept = Town([slow, two[0]], pools, seat=_with(_Greedy)).run([Come(0, 0, 1), Come(1, 1, 3)])
    assert [at for at, model, _ in kept.runs if model == 1] != [1, 11, 21]
    assert _after_a_past(1, _Remembering()) == [1] * 9
    equal = Counter(model for _, model, _ in _contest((1, 4), seat=_Equal).runs)
    assert abs(equal[0] - 4 * equal[1]) > 4


def test_a_batch_that_may_still_grow_holds_nothing() -> None:
    shared = Needs({("R1", None): 1})
    slow = Model(
        make=lambda count: Dynamic(BatchRules(max_rows=8, max_delay_ns=500), count),
        instances=(shared,),
    )
    quick = Model(make=Direct, instances=(shared,))
    history = Town([slow, quick], {("R1", None): 1}).run([Come(0, 0, 1), Come(1, 1, 3)])
    assert [at for at, model, _ in history.runs if model == 1] == [1, 11, 21]
    assert [at for at, model, _ in history.runs if model == 0] == [500]
    assert history.faults == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_leaving_model_gives_back_what_it_was_promised(count: int) -> None:
    limiter = RateLimiter()
    one, other = limiter.join([Needs({("R1", None): 1})]), limiter.join([Needs({("R1", None): 1})])
    told: list[str] = []
    other.listen(lambda: told.append("other"))
    one.want()
    assert one.take() == 0
    other.want()
    assert other.take() is None
    one.release(0)
    assert told == ["other"]
    other.leave()
    for _ in range(count):
        one.want()
        assert one.take() == 0
        one.release(0)
        one.rest()


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
