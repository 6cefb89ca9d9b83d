"""Who waits for whom among models that call each other, and which wait can never end. Pure.

A call waits at the models that it was sent to: for any of their instances, or for the one that
executes it. An instance that executes waits for the calls that it made meanwhile. Followed from a
call, these waits reach somebody who can go on, or they never do: then the call will never end.
Owns that question. Does not own the calls (``engine.calling``). Rules:

1. whoever is not known to wait can go on: a model without members here (its code calls nobody), an
   instance that executes nothing, or has no call open, a call that is between two steps;
2. an instance waits for the calls of the batch that it executes; what it called for another batch,
   or outside of any, it does not wait for;
3. what fails a call does so later: it is told, and counts as one that ends;
4. all of it is for the event loop's thread, but ``Member.began`` and ``ran``, which the instance's
   own thread calls: they write single values, the second of which makes the first one count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

#: a model's name and version
Key = tuple[str, int]
#: what fails a call that can never end; gets the text
Fail = Callable[[str], None]


@dataclass(slots=True, eq=False)
class Member:
    """An instance whose code may call other models; ``batch`` is what it executes, 0 is nothing."""

    model: Key
    carried: tuple[int, ...] = ()
    batch: int = 0
    calls: dict[int, int] = field(default_factory=dict)

    def began(self, batch: int, carried: tuple[int, ...]) -> None:
        """Begin to execute a batch; ``carried`` are the calls that brought its requests."""
        self.carried = carried
        self.batch = batch

    def ran(self, batch: int) -> None:
        """Be free again, if it still was this batch."""
        if self.batch == batch:
            self.batch = 0

    def awaited(self) -> list[int]:
        """List the calls that it waits for (rule 2)."""
        batch = self.batch
        return [number for number, of in self.calls.items() if batch and of == batch]


@dataclass(slots=True)
class _Wait:
    """A call, who made it, and at which models it waits, how often."""

    target: str
    owner: Member | None
    fail: Fail
    failed: bool = False
    places: dict[Key, int] = field(default_factory=dict)


class Waits:
    """The waits of a server."""

    def __init__(self) -> None:
        self._members: dict[Key, tuple[Member, ...]] = {}
        self._calls: dict[int, _Wait] = {}
        self._next = 0

    def join(self, member: Member) -> None:
        """Learn of an instance."""
        self._members[member.model] = (*self._members.get(member.model, ()), member)

    def leave(self, member: Member) -> None:
        """Learn that an instance is gone."""
        left = tuple(one for one in self._members.get(member.model, ()) if one is not member)
        if left:
            self._members[member.model] = left
        else:
            self._members.pop(member.model, None)
        self._judge(list(self._calls))

    def begin(self, owner: Member | None, batch: int, target: str, fail: Fail) -> int:
        """Give a new call its number; ``batch`` is what its owner executes as it makes it."""
        self._next += 1
        self._calls[self._next] = _Wait(target, owner, fail)
        if owner is not None:
            owner.calls[self._next] = batch
        return self._next

    def end(self, number: int) -> None:
        """Forget a call; what its owner waits for besides may be what can never end."""
        wait = self._calls.pop(number, None)
        if wait is not None and wait.owner is not None:
            wait.owner.calls.pop(number, None)
            self._judge(wait.owner.awaited())

    def arrive(self, number: int, model: Key) -> None:
        """Learn that a call waits at a model from now on."""
        wait = self._calls.get(number)
        if wait is not None:
            wait.places[model] = wait.places.get(model, 0) + 1
            self._judge([number])

    def depart(self, number: int, model: Key) -> None:
        """Learn that a call has its answer from a model."""
        wait = self._calls.get(number)
        if wait is None:
            return
        wait.places[model] -= 1
        if not wait.places[model]:
            del wait.places[model]

    def _judge(self, numbers: Sequence[int]) -> None:
        """Fail the newest of these calls that can never end; that may set the others free."""
        for number in reversed(numbers):
            wait = self._calls.get(number)
            if wait is not None and not self._moves(number, set()):
                wait.failed = True
                wait.fail(self._told(wait))

    def _moves(self, number: int, seen: set[int]) -> bool:
        """Say whether anybody that a call waits for, at however many removes, can go on."""
        wait = self._calls.get(number)
        if wait is None or wait.failed or not wait.places:
            return True
        return any(self._goes_on(one, seen) for one in self._awaited(number, wait))

    def _awaited(self, number: int, wait: _Wait) -> Iterator[Member | None]:
        for model in wait.places:
            members = self._members.get(model)
            if not members:
                yield None
                continue
            executing = [one for one in members if one.batch and number in one.carried]
            yield from executing or members

    def _goes_on(self, member: Member | None, seen: set[int]) -> bool:
        if member is None or not (awaited := member.awaited()):
            return True
        if id(member) in seen:
            return False
        seen.add(id(member))
        return any(self._moves(number, seen) for number in awaited)

    def _told(self, wait: _Wait) -> str:
        names, owner = [wait.target], wait.owner
        seen: list[Member] = []
        while owner is not None and owner not in seen:
            seen.append(owner)
            names.append(owner.model[0])
            brought = [self._calls[one] for one in owner.carried if one in self._calls]
            owner = brought[0].owner if brought else None
        chain = " -> ".join(reversed(names))
        return (
            f"the call of model '{wait.target}' can never be answered: the chain of calls {chain}"
            " came back to a model all of whose instances wait for what they called themselves;"
            " give it more instances (instance_group { count }), or do not call in a circle"
        )
