"""The rate limiter: which instance of which model may run next, where they share resources.

Owns the pools of resources, what every instance must hold while it runs, and the order of
turns between all models of a server. Does not own requests or batches: a model asks for an
instance while something waits (``Seat.want`` and ``take``), and says when the batch has ended.
It tells no time and starts nothing; a model whose turn has come while it did not ask is called
back, and then takes what was promised to it. The rules are Triton's (``rate_limiter.cc``):

1. an instance runs only while it holds all the resources that its group names; a resource is
   one for the whole server if it is global, else one for each device (the CPU counts as 0);
2. a pool holds as much as the most demanding instance needs, unless the command line gives its
   size; if it gives any, those not given are empty, and who needs more than there is may not
   join;
3. the turn goes to the instance for which executions times priority is least, then to the one
   that has waited longest: priority 2 has half the chances of priority 1;
4. whoever is next and cannot have all it needs keeps others from taking what it needs: nobody
   waits for ever for much, while others come and go with little.

One rule differs (5). Triton lets a model that was idle, or comes later, run alone until its count
has caught up. Here it begins where those stand who use the same resources, at most one turn
behind them, so that neither waits for all that the other did or did not ask for in the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import itemgetter

from engine.errors import InvalidArgument
from engine.modelconfig.schema import RateLimiter as Asked

_TURN = itemgetter(0, 1, 2)

#: a resource's name, and the device that it belongs to; None is the whole server
Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What one instance must hold while it runs, and the weight of its turns (at least 1)."""

    resources: Mapping[Place, int]
    priority: int = 1


def needs(asked: Asked | None, device: int | None) -> Needs:
    """Read what an instance on a device (None: the CPU) needs from its group's ``rate_limiter``."""
    if asked is None:
        return Needs({})
    own = device or 0
    resources = {(one.name, None if one.is_global else own): one.count for one in asked.resources}
    return Needs(resources, max(1, asked.priority))


class _Member:
    """One instance: its turns so far, and whether it is out (promised, or running)."""

    __slots__ = ("needs", "number", "out", "turns")

    def __init__(self, number: int, needs: Needs) -> None:
        self.number = number
        self.needs = needs
        self.turns = 0
        self.out = False

    def meets(self, other: _Member) -> bool:
        """Whether the two may ever have to wait for each other."""
        return not self.needs.resources.keys().isdisjoint(other.needs.resources)


class RateLimiter:
    """The resources of a server, and the models that share them.

    ``limits`` are the pools that the command line gives: by name and device, None for all
    devices. ``guard`` is held during every call, where threads share this.
    """

    def __init__(
        self,
        limits: Mapping[Place, int] | None = None,
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        self._limits = dict(limits or {})
        self.guard = guard or nullcontext()
        self._seats: list[Seat] = []
        self._pools: dict[Place, int] = {}
        self._used: dict[Place, int] = {}
        self._asked = 0

    def join(self, instances: Sequence[Needs]) -> Seat:
        """Take a model in, with all its instances.

        Raises:
            InvalidArgument: one of them could never run, or takes a resource for another kind.
        """
        with self.guard:
            seat = Seat(self, [_Member(number, one) for number, one in enumerate(instances)])
            self._pools = self._size([*self._seats, seat])
            self._seats.append(seat)
            self.serve()  # a pool may have grown
            return seat

    def leave(self, seat: Seat) -> None:
        """Let a model go. What it does not use any more is there for others."""
        if seat not in self._seats:
            return
        self._seats.remove(seat)
        for member in seat.members:
            if member.out:
                self.put_back(member)
        self._pools = self._size(self._seats)
        self.serve()

    def put_back(self, member: _Member) -> None:
        """Have an instance's resources back."""
        member.out = False
        _add(self._used, member.needs.resources, -1)

    def line_up(self, seat: Seat) -> None:
        """Give a model that begins to wait its place among those that share with it (rule 5)."""
        self._asked += 1
        seat.since = self._asked
        free = [member for member in seat.members if not member.out]
        groups = {member.number: self._groups(member, seat) for member in free}
        # Those that meet others first: the rest of the model begins where these do.
        free.sort(key=lambda member: not groups[member.number])
        begun: list[int] = []
        for member in free:
            least = [min(one.turns for one in group) for group in groups[member.number]]
            if least:
                base = max(least)
                for group, lowest in zip(groups[member.number], least, strict=True):
                    for one in group:
                        one.turns += base - lowest
            else:
                base = min(begun, default=min(one.turns for one in free))
            member.turns = min(max(member.turns, base), base + member.needs.priority)
            begun.append(member.turns)

    def _groups(self, member: _Member, seat: Seat) -> list[list[_Member]]:
        """Find who is at work and shares with a member, each with all that share with it in turn.

        Turns mean something only between those of one group: who shares nothing, not even by
        others, never meets.
        """
        rest = [
            one
            for neighbour in self._seats
            if neighbour is not seat
            for one in neighbour.members
            if one.out or neighbour.wants
        ]
        groups: list[list[_Member]] = []
        while found := [one for one in rest if one.meets(member)]:
            group = found[:1]
            for reached in group:  # grows while it is walked
                group += [one for one in rest if one not in group and one.meets(reached)]
            rest = [one for one in rest if one not in group]
            groups.append(group)
        return groups

    def serve(self) -> None:
        """Promise instances to the models that want one, in the order of turns."""
        waiting = [
            (member.turns, seat.since, member.number, seat, member)
            for seat in self._seats
            if seat.wants and seat.promised is None
            for member in seat.members
            if not member.out and member.number not in seat.declined
        ]
        if len(waiting) > 1:
            waiting.sort(key=_TURN)
        claimed = dict(self._used)
        seen: list[Seat] = []
        for *_, seat, member in waiting:
            if seat.promised is not None:
                continue
            resources = member.needs.resources
            if all(
                claimed.get(place, 0) + count <= self._pools[place]
                for place, count in resources.items()
            ):
                member.out = True
                _add(self._used, resources)
                _add(claimed, resources)
                seat.promised = member
                seat.tell()
            elif seat not in seen:
                seen.append(seat)
                _add(claimed, resources)

    def _size(self, seats: Iterable[Seat]) -> dict[Place, int]:
        """Say how large every pool must be, or is (rule 2)."""
        pools: dict[Place, int] = {}
        for seat in seats:
            for member in seat.members:
                for place, count in member.needs.resources.items():
                    pools[place] = max(count, pools.get(place, 0))
        shared = {name for name, device in pools if device is None}
        for name, device in pools:
            if device is not None and name in shared:
                raise InvalidArgument(
                    f'Resource "{name}" is present as both global and device-specific resource in '
                    "the model configuration."
                )
        if self._limits:
            for place, least in pools.items():
                pools[place] = self._given(place)
                if pools[place] < least:
                    raise InvalidArgument(
                        f'Resource count for "{place[0]}" is limited to {pools[place]} which will '
                        "prevent scheduling of one or more model instances, the minimum required "
                        f"count is {least}"
                    )
        return pools

    def _given(self, place: Place) -> int:
        """Find what the command line gives; for a global resource its device does not matter."""
        name, device = place
        return max(
            (
                count
                for (given, where), count in self._limits.items()
                if given == name and (device is None or where is None or where == device)
            ),
            default=0,
        )


def _add(held: dict[Place, int], resources: Mapping[Place, int], times: int = 1) -> None:
    for place, count in resources.items():
        held[place] = held.get(place, 0) + times * count


class Seat:
    """One model at the limiter. Its instances are numbered as its scheduler numbers them."""

    def __init__(self, limiter: RateLimiter, members: Sequence[_Member]) -> None:
        self.members = tuple(members)
        self.wants = False
        self.since = 0
        self.promised: _Member | None = None
        self.declined: set[int] = set()
        self._limiter = limiter
        self._called: Callable[[], object] | None = None
        self._taking = False

    def listen(self, called: Callable[[], object]) -> None:
        """Have ``called`` when an instance has been promised that was not there at once.

        It must not call back at once, but have ``take`` called soon.
        """
        self._called = called

    def tell(self) -> None:
        """Say that there is a promise, unless the model is looking itself."""
        if self._called is not None and not self._taking:
            self._called()

    def want(self) -> None:
        """Ask for instances, all of them, from now on: something waits."""
        with self._limiter.guard:
            if not self.wants:
                self._limiter.line_up(self)
                self.wants = True
            self.declined.clear()

    def take(self) -> int | None:
        """Take an instance that may run now; None if that must wait."""
        with self._limiter.guard:
            if self.promised is None:
                self._serve()
            member, self.promised = self.promised, None
            return None if member is None else member.number

    def decline(self, instance: int) -> None:
        """Give back an instance that nothing could use; it is not offered until ``want``."""
        with self._limiter.guard:
            self.declined.add(instance)
            self._limiter.put_back(self.members[instance])
            self._serve()

    def rest(self) -> None:
        """Ask for nothing more: nothing waits."""
        with self._limiter.guard:
            self.wants = False
            if self.promised is not None:
                self._limiter.put_back(self.promised)
                self.promised = None
                self._serve()

    def release(self, instance: int) -> None:
        """Give back an instance whose batch has ended."""
        with self._limiter.guard:
            member = self.members[instance]
            member.turns += member.needs.priority
            self._limiter.put_back(member)
            self._serve()

    def leave(self) -> None:
        """Go: the model is not served any more."""
        with self._limiter.guard:
            self.wants = False
            self.promised = None
            self._called = None  # whoever is called has this seat, and goes with it
            self._limiter.leave(self)

    def _serve(self) -> None:
        self._taking = True
        try:
            self._limiter.serve()
        finally:
            self._taking = False
