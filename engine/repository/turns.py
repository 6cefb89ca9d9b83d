"""Whose turn it is: operations on related models one after another, others side by side.

Owns the waiting. Does not own which models are related (``graph``).

1. Two operations that share a model never overlap.
2. Among those that share a model, who asked first goes first.
3. An operation takes all its models at once, so that no two wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    names: frozenset[str]
    come: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """The operations that run or wait, in the order in which they asked."""

    def __init__(self) -> None:
        self._asked: list[_Turn] = []

    @asynccontextmanager
    async def of(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Wait for the turn of an operation on these models, and hold it."""
        turn = _Turn(frozenset(names))
        self._asked.append(turn)
        self._call()
        try:
            await turn.come.wait()
            yield
        finally:
            self._asked.remove(turn)
            self._call()

    def busy(self) -> frozenset[str]:
        """Name the models that an operation runs on, or waits for."""
        return frozenset().union(*(turn.names for turn in self._asked))

    def _call(self) -> None:
        taken: set[str] = set()
        for turn in self._asked:
            if taken.isdisjoint(turn.names):
                turn.come.set()
            taken |= turn.names
