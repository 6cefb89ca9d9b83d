"""Polling the repositories: looks, compares with the last look, and has the changes carried out.

Owns: when it is looked, and what was seen last. Does not own what has changed (``differ``), nor
the carrying out (``rollout``). For the event loop's thread, which it never blocks: the disk is
read, and models are loaded, on other threads.

1. Polls follow each other; the next is due ``interval_s`` after the last has looked. It does not
   wait for loads: models that are busy are left out of it, and found by a later one.
2. Models that are not related do not wait for each other.
3. A repository that cannot be read changes nothing: what is loaded is still served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from engine.errors import NotFound
from engine.repository.differ import diff
from engine.repository.finding import Finding
from engine.repository.scan import Snapshot
from engine.repository.sighting import Sighting
from engine.repository.turns import Turns

logger = logging.getLogger(__name__)

Sightings = Mapping[str, Sighting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What polling uses of the registry: which models are related, and operations on them."""

    related: Callable[[Sightings, Iterable[str]], frozenset[str]]
    apply: Callable[[Sightings, Collection[str]], Awaitable[object]]


class Polling:
    """Looks again and again, from ``begin`` until ``stop``."""

    def __init__(self, finding: Finding, turns: Turns, steps: Steps) -> None:
        self._finding = finding
        self._turns = turns
        self._steps = steps
        self._seen = Snapshot({}, {})
        self._looking: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Future[object]] = set()

    def begin(self, seen: Snapshot, interval_s: float) -> None:
        """Poll from now on; ``seen`` is what is dealt with already."""
        self._seen = seen
        self._looking = asyncio.ensure_future(self._keep_looking(interval_s))

    def stop(self) -> None:
        """Look no more; what is under way goes on."""
        if self._looking is not None:
            self._looking.cancel()

    async def _keep_looking(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self._look()
            except Exception:
                logger.exception("polling the model repository failed; the next poll tries again")

    async def poll(self) -> None:
        """Look once, now; done when what has changed is carried out."""
        await self._look()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _look(self) -> None:
        try:
            now = await self._finding.everything()
        except NotFound as error:  # rule 3
            logger.error("failed to poll model repository: %s", error)  # noqa: TRY400 - the text says where
            return
        # Only polls begin anything in this mode, so that what is not busy now stays idle.
        changes = diff(self._seen, now, self._turns.busy())
        twice = changes.drops & changes.seen.duplicates.keys()
        sightings = await self._finding.sightings(changes.seen, changes.loads | twice)
        self._seen = changes.seen
        self._carry_out(sightings, changes.drops)

    def _carry_out(self, sightings: Sightings, drops: Collection[str]) -> None:
        left = {*sightings, *drops}
        while left:
            related = self._steps.related(sightings, [min(left)])
            seen = {name: one for name, one in sightings.items() if name in related}
            gone = [name for name in drops if name in related]
            task = asyncio.ensure_future(self._steps.apply(seen, gone))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            left -= related
