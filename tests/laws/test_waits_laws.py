"""A call is failed if, and only if, nobody can go on by whose going on it could end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from hypothesis import given
from hypothesis import strategies as st

from engine.waits import Member, Waits

MODELS = ("a", "b", "c")
DOINGS = ("run", "run", "call", "call", "call", "end", "free", "leave")


class World:
    """Instances that run and call, and a naive reading that looks at all until nothing changes."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.waits = Waits()
        self.members = [
            Member((name, 1))
            for name, count in zip(MODELS, counts, strict=True)
            for _ in range(count)
        ]
        for one in self.members:
            self.waits.join(one)
        self.places: dict[int, str] = {}
        self.failed: set[int] = set()
        self.batch = 0

    def stuck(self, failed: AbstractSet[int]) -> set[int]:
        """List the calls that can never end, if those that failed do."""
        awaited = {
            id(one): [call for call, of in one.calls.items() if one.batch and of == one.batch]
            for one in self.members
        }
        going = {one for one, calls in awaited.items() if not calls}
        while True:
            moving = {one for one in self.places if one in failed or self._moved(one, going)}
            more = {one for one, calls in awaited.items() if not moving.isdisjoint(calls)}
            if more <= going:
                return set(self.places) - moving
            going |= more

    def _moved(self, call: int, going: AbstractSet[int]) -> bool:
        members = [one for one in self.members if one.model[0] == self.places[call]]
        carrying = [one for one in members if one.batch and call in one.carried]
        return not members or any(id(one) in going for one in carrying or members)

    def step(self, what: str, first: int, second: int) -> None:
        member = self.members[first % len(self.members)] if self.members else None
        under_way = sorted(self.places)
        if what == "run" and member is not None and not member.batch:
            taken = {one for other in self.members if other.batch for one in other.carried}
            queued = [
                one for one in under_way if self.places[one] == member.model[0] and one not in taken
            ]
            self.batch += 1
            member.began(self.batch, tuple(queued[:1]))
        elif what == "call":
            self._call(member if member is not None and member.batch else None, second)
        elif what == "end" and under_way:
            number = under_way[first % len(under_way)]
            del self.places[number]
            self.waits.end(number)
        elif what == "free" and member is not None:
            member.ran(member.batch)
        elif what == "leave" and member is not None and not member.batch:
            self.members.remove(member)
            self.waits.leave(member)

    def _call(self, owner: Member | None, place: int) -> None:
        target, numbers = MODELS[place % len(MODELS)], []
        numbers.append(
            self.waits.begin(
                owner,
                0 if owner is None else owner.batch,
                target,
                lambda _: self.failed.add(numbers[0]),
            )
        )
        self.places[numbers[0]] = target
        self.waits.arrive(numbers[0], (target, 1))


@given(st.integers(0, 2**32))
def test_it_agrees_with_a_naive_reading(seed: int) -> None:
    dice = random.Random(seed)
    world = World([dice.choice((1, 1, 2, 3)) for _ in MODELS])
    for _ in range(60):
        before = frozenset(world.failed)
        world.step(dice.choice(DOINGS), dice.randrange(12), dice.randrange(12))
        stuck, failed = world.stuck(before), world.failed - before
        assert failed <= stuck
        assert bool(failed) is bool(stuck)
        assert not world.stuck(world.failed)
