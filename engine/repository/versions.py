"""The versions of one model: their lives, and what serves each of them.

Owns: carrying out what ``lifecycle`` says for one model, on the event loop's thread. A load
is begun and ended by the caller (``registry``); what is no longer served is stopped here.

1. Versions that are loaded together become ready together, or, if one of them fails, none
   does, and what served before goes on (Triton's ``OnLoadComplete``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from engine.execution.model import ServedModel
from engine.repository.lifecycle import (
    Abandoned,
    Drained,
    Event,
    Failed,
    Life,
    Loaded,
    ModelState,
    Serve,
    Unload,
    Unwanted,
    Wanted,
    step,
)

logger = logging.getLogger(__name__)


class Versions:
    """All versions of one model that were asked for, and are there or still have requests."""

    def __init__(self) -> None:
        self._lives: dict[int, Life] = {}
        self._loaded: dict[tuple[int, int], ServedModel] = {}
        self._served: dict[int, ServedModel] = {}
        self._gone: dict[tuple[int, int], Callable[[], None]] = {}
        self._existing: frozenset[int] | None = None
        # Asked for with every request, so kept, and made anew when what serves changes.
        self._ready: tuple[int, ...] = ()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def states(self) -> Mapping[int, Life]:
        """Give the life of every version, in ascending order."""
        return dict(sorted(self._lives.items()))

    def ready(self) -> tuple[int, ...]:
        """List the versions that serve, in ascending order."""
        return self._ready

    def served(self, version: int) -> ServedModel | None:
        """Give what serves a version."""
        return self._served.get(version)

    def want(self, version: int) -> int:
        """Begin a load; returns its generation, by which its end is told."""
        self._tell(version, Wanted())
        return self._lives[version].newest

    def end(
        self,
        generations: Mapping[int, int],
        loaded: Mapping[int, ServedModel],
        failures: Mapping[int, str],
        *,
        kept: Collection[int] = (),
        gone: Callable[[], None] | None = None,
    ) -> None:
        """End the loads that were begun together (rule 1), each loaded or failed.

        If all are loaded, versions that are neither among them nor ``kept`` are not served any
        more. ``gone`` is called for each that was loaded, when it is unloaded and drained.
        """
        for version, model in loaded.items():
            self._loaded[version, generations[version]] = model
            if gone is not None:
                self._gone[version, generations[version]] = gone
        for version, generation in generations.items():
            if version in failures:
                self._tell(version, Failed(generation, failures[version]))
            elif failures:
                names = ", ".join(map(str, failures))
                reason = f"not served, since version {names} failed to load"
                self._tell(version, Abandoned(generation, reason))
            else:
                self._tell(version, Loaded(generation))
        if not failures:
            for version in set(self._lives) - set(generations) - set(kept):
                self.unwant(version)

    def unwant(self, version: int) -> None:
        """Stop serving a version; what is in flight is answered first."""
        if self._lives[version].state in {ModelState.READY, ModelState.LOADING}:
            self._tell(version, Unwanted())

    def unwant_all(self) -> None:
        """Stop serving every version."""
        for version in self._lives:
            self.unwant(version)

    def forget(self, existing: Collection[int]) -> None:
        """Do not list versions any more that are not served and not ``existing`` on the disk."""
        self._existing = frozenset(existing)
        for version in [one for one in self._lives if one not in self._existing]:
            if self._lives[version].state is ModelState.UNAVAILABLE:
                del self._lives[version]

    async def quiet(self) -> None:
        """Wait until nothing that was stopped has requests in flight."""
        await self._quiet.wait()

    def _tell(self, version: int, event: Event) -> None:
        life, actions = step(self._lives.get(version, Life()), event)
        self._lives[version] = life
        for action in actions:
            match action:
                case Serve(generation):
                    self._served[version] = self._loaded[version, generation]
                case Unload(generation):
                    self._unload(version, generation)
        if life.serving is None:
            self._served.pop(version, None)
        self._ready = tuple(sorted(self._served))
        if any(life.draining for life in self._lives.values()):
            self._quiet.clear()
        else:
            self._quiet.set()

    def _unload(self, version: int, generation: int) -> None:
        model = self._loaded.pop((version, generation))
        # What is being swapped out is not to be found any more when its end is told.
        if self._served.get(version) is model:
            del self._served[version]
            self._ready = tuple(sorted(self._served))
        gone = self._gone.pop((version, generation), None)
        name = model.name  # the model is told whom to call, so what is called must not hold it

        def drained() -> None:
            logger.info("successfully unloaded '%s' version %d", name, version)
            self._tell(version, Drained(generation))
            if self._existing is not None:
                self.forget(self._existing)
            if gone is not None:
                gone()

        model.stop(drained)
