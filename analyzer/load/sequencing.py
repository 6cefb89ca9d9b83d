"""Which request of which sequence each slot sends next, by the rules of ``sequences``. Pure."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.load.rotation import Turn, choices

if TYPE_CHECKING:
    from analyzer.load.job import Supply
    from analyzer.load.sequences import SequencePlan, Step


class _Run:
    """A sequence in progress."""

    __slots__ = ("at", "item", "left", "number", "spelled", "stream")

    def __init__(self, item: int, stream: tuple[Step, ...], number: int, left: int) -> None:
        self.item = item
        self.stream = stream
        self.number = number
        self.left = left
        self.at = 0
        self.spelled = b""


class Sequencing:
    """Gives each slot the next request of its sequence, or the first of another."""

    def __init__(self, supplies: tuple[Supply, ...], plan: SequencePlan, seed: int) -> None:
        self._plan = plan
        self._chance = random.Random(seed)  # noqa: S311 - lengths are no secret
        self._items = choices(tuple(supply.weight for supply in supplies), seed)
        self._plain = [itertools.cycle(supply.messages) for supply in supplies]
        self._streams = [itertools.cycle(supply.sequences) for supply in supplies]
        self._sequential = [bool(supply.sequences) for supply in supplies]
        self._ids = self._count()
        self._runs: dict[int, _Run] = {}

    def take(self, slot: int) -> Turn:
        """Return the slot's next request."""
        run = self._runs.get(slot)
        if run is None:
            item = next(self._items)
            if not self._sequential[item]:
                return next(self._plain[item]), item, 0
            run = self._runs[slot] = self._begin(item)
        first = not run.at
        run.left -= 1
        step = run.stream[run.at % len(run.stream)]
        run.at += 1
        template = step[first + 2 * (not run.left)]
        if first:
            run.spelled = template.spell(run.number)
        if not run.left:
            del self._runs[slot]
        return template.message(run.spelled), run.item, run.number

    def endings(self) -> Iterator[tuple[int, bytes]]:
        """Yield, for each slot whose sequence has not ended, the request that ends it."""
        for slot, run in sorted(self._runs.items()):
            step = run.stream[run.at % len(run.stream)]
            yield slot, step[2].message(run.spelled)
        self._runs.clear()

    def _begin(self, item: int) -> _Run:
        stream = next(self._streams[item])
        return _Run(item, stream, next(self._ids), self._plan.length_of(stream, self._chance))

    def _count(self) -> Iterator[int]:
        """Yield ids without end, none that is in use."""
        for number in itertools.cycle(range(self._plan.start, self._plan.end)):
            if all(run.number != number for run in self._runs.values()):
                yield number
