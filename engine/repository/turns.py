"""Whose turn it is: operations on related models one after another, others side by side.

Owns the waiting. Does not own which models are related (``graph``).

1. Two operations that share a model never overlap.
2. Among those that share a model, who asked first goes first.
3. An operation takes all its models at once, so that no two wait for each other.
4. A model whose code asks for an operation while it is itself being loaded may wait for the end of
   it. An operation that would have to wait for that load is refused: neither could ever end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.errors import Unavailable
from engine.inside import asked_by


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    names: frozenset[str]
    behind: frozenset[_Turn] = frozenset()
    come: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """The operations that run or wait, in the order in which they asked."""

    def __init__(self) -> None:
        self._asked: list[_Turn] = []

    @asynccontextmanager
    async def of(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Wait for the turn of an operation on these models, and hold it.

        Raises:
            Unavailable: it would never come (rule 4).
        """
        turn = _Turn(frozenset(names), self._waiting_for(asked_by.get()))
        before = self._before(turn.names)
        if met := [one for one in before if one in turn.behind]:
            raise Unavailable(
                f"model '{asked_by.get()}' asks for {', '.join(sorted(turn.names))} while"
                f" {', '.join(sorted(met[0].names))} is being loaded, which waits for that: ask"
                " once it is loaded"
            )
        self._asked.append(turn)
        self._call()
        try:
            await turn.come.wait()
            yield
        finally:
            self._asked.remove(turn)
            self._call()

    def _waiting_for(self, model: str) -> frozenset[_Turn]:
        """Give the operations that may wait for what the code of a model asks."""
        if not model:
            return frozenset()
        own = [one for one in self._asked if model in one.names and one.come.is_set()]
        return frozenset(own).union(*(one.behind for one in own))

    def _before(self, names: frozenset[str]) -> list[_Turn]:
        """List the operations that a new one on these models would wait for, directly or not."""
        found: list[_Turn] = []
        for one in reversed(self._asked):
            if not one.names.isdisjoint(names):
                found.append(one)
                names |= one.names
        return found

    def busy(self) -> frozenset[str]:
        """Name the models that an operation runs on, or waits for."""
        return frozenset().union(*(turn.names for turn in self._asked))

    def _call(self) -> None:
        taken: set[str] = set()
        for turn in self._asked:
            if taken.isdisjoint(turn.names):
                turn.come.set()
            taken |= turn.names
