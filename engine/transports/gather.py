"""Lets go together what comes within a few turns of the event loop.

grpc.aio hands over one call at a time, several turns of the loop after the one before, however
many wait in its queue: without this, requests that came together run one by one. Owns when
what was handed over goes on; does not own what it is. Rules:

1. nobody sleeps: turns are taken, not time, and ``TURNS`` of them without a newcomer (some 30 us
   of an idle loop) end the wait, as do ``MOST`` items;
2. who is alone does not wait: holding is tried when an item meets another under way;
3. it goes on only while it pays: where ``ROUNDS`` rounds bring fewer than ``WORTH`` items each,
   the next ``REST`` items are not held.

All methods are for the event loop's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

#: grpc.aio needs about so many turns from one call to the next; measured, 4 find nobody
TURNS = 8
#: what an item costs does not fall much beyond so many
MOST = 16
ROUNDS = 16
WORTH = 2
REST = 256

T = TypeVar("T")


class Gathering(Generic[T]):
    """Holds items and hands each to ``release``, in their order."""

    def __init__(
        self, call_soon: Callable[[Callable[[], None]], object], release: Callable[[T], None]
    ) -> None:
        self._call_soon = call_soon
        self._release = release
        self._held: list[T] = []
        self._seen = 0
        self._left = 0
        self._turning = False
        self._holding = False
        self._rest = 0
        self._rounds = 0
        self._items = 0

    def add(self, item: T, *, alone: bool) -> None:
        """Take an item; ``alone`` says that none before it is still under way."""
        if self._rest:
            self._rest -= 1
            alone = True
        if not self._holding:
            if alone:
                self._release(item)
                return
            self._holding = True
        self._held.append(item)
        if len(self._held) >= MOST:
            self.let_go()
        elif not self._turning:
            self._turning = True
            self._call_soon(self._turn)

    def let_go(self) -> None:
        """Release everything that is held."""
        held, self._held = self._held, []
        self._seen = 0
        if held:
            self._count(len(held))
        for item in held:
            self._release(item)

    def _count(self, items: int) -> None:
        self._rounds += 1
        self._items += items
        if self._rounds == ROUNDS:
            if self._items < WORTH * ROUNDS:
                self._holding = False
                self._rest = REST
            self._rounds = self._items = 0

    def _turn(self) -> None:
        if len(self._held) > self._seen:
            self._seen, self._left = len(self._held), TURNS
        elif self._held:
            self._left -= 1
            if not self._left:
                self.let_go()
        self._turning = bool(self._held)
        if self._turning:
            self._call_soon(self._turn)
