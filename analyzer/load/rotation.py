"""Which request comes next: items by weight, and each one's requests in turn. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Protocol

from analyzer.load.client import Message
from analyzer.load.job import Supply

#: so many choices are drawn at once
_BLOCK = 4096

#: what is sent, the index of its item, and its sequence (0: none)
Turn = tuple[Message, int, int]


class Source(Protocol):
    """Says what a slot sends next."""

    def take(self, slot: int) -> Turn:
        """Return the slot's next request."""
        ...

    def endings(self) -> Iterator[tuple[int, Message]]:
        """Yield slots that have to send one more request at the end, and what."""
        ...


class Rotation:
    """Items drawn by weight, each one's messages in turn."""

    def __init__(self, supplies: tuple[Supply, ...], seed: int) -> None:
        turns = [
            itertools.cycle([(message, index, 0) for message in supply.messages])
            for index, supply in enumerate(supplies)
        ]
        self._next: Callable[[], Turn]
        if len(turns) == 1:
            self._next = turns[0].__next__
        else:
            weights = tuple(supply.weight for supply in supplies)
            drawn = (next(turns[index]) for index in choices(weights, seed))
            self._next = drawn.__next__

    def take(self, slot: int) -> Turn:
        """Return the next request, whichever slot asks."""
        del slot
        return self._next()

    def endings(self) -> Iterator[tuple[int, Message]]:
        """Yield nothing: whatever was sent last may be the last."""
        return iter(())


def choices(weights: tuple[float, ...], seed: int) -> Iterator[int]:
    """Yield without end which item comes next, drawn in proportion to ``weights``."""
    if len(weights) == 1:
        while True:
            yield 0
    # A load of one item does without what takes a tenth of a second to import.
    import numpy as np  # noqa: PLC0415 - as said above

    chance = np.random.default_rng(seed)
    shares = np.array(weights, dtype=np.float64) / sum(weights)
    while True:
        yield from chance.choice(len(weights), size=_BLOCK, p=shares).tolist()
