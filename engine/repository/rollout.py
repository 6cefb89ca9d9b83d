"""Carries out what an operation means for models that are related: loads in order, unloads.

Owns: in which order models are loaded and which of those made of them follow, what is loaded
again and what goes on serving, and what is refused. Does not own whose turn it is (``turns``),
what is to be loaded (``registry``), or how (``loading``). For the event loop's thread.

1. A model is loaded when all below it are; what is above a model that was loaded follows.
2. What cannot be tried, or fails, leaves what it had serving. Only an ensemble whose models are
   gone is taken down: it could not answer.
3. One model's failure is a text, and touches no model that is not above it.
4. A model that a later version of this engine will serve is refused with a reason.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import EngineError, InvalidArgument, Unsupported
from engine.execution.crew import Recruits
from engine.modelconfig.schema import VersionPolicy
from engine.repository.differ import regrouped, same_files, untouched
from engine.repository.graph import Graph, Needs, Standing
from engine.repository.held import Held
from engine.repository.lifecycle import ModelState
from engine.repository.loading import Loading
from engine.repository.prepare import refuse_unserved
from engine.repository.sighting import Sighting
from engine.repository.wanted import choose_versions, no_versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one model: whether something new serves, or what went wrong."""

    fresh: bool = False
    failure: str = ""


class Rollout:
    """Operations on the models of ``held``."""

    def __init__(self, held: dict[str, Held], loading: Loading) -> None:
        self._held = held
        self._loading = loading

    def graph(self) -> Graph:
        """Picture the models that are wanted."""
        return Graph({name: held.seen.needs for name, held in self._held.items() if held.wanted})

    def related(self, sightings: Mapping[str, Sighting], names: Iterable[str]) -> frozenset[str]:
        """Give all that an operation on these models touches, as they are and as they were seen."""
        needs: dict[str, Needs] = dict(self.graph().needs)
        for name, sighting in sightings.items():
            needs[name] = {**needs.get(name, {}), **sighting.needs}
        return Graph(needs).related(names)

    async def apply(
        self, sightings: Mapping[str, Sighting], drops: Collection[str] = ()
    ) -> Mapping[str, str]:
        """Unload ``drops``, load what was seen and what is made of either.

        Returns:
            what went wrong, by the model's name; nothing for what did not.
        """
        for name in drops:
            if name in self._held:
                self._held[name].drop()
        touched = {*sightings, *drops}
        for name, sighting in sightings.items():
            held = self._held.setdefault(name, Held())
            held.wanted = True
            if sighting.declared is not None or held.seen.declared is None:
                held.seen = sighting
        graph = self.graph()
        faults = graph.faults()
        tasks: dict[str, asyncio.Task[_Result]] = {}
        for name in graph.order([one for one in graph.above(touched) if one in graph.needs]):
            below = [tasks[one] for one in graph.needs[name] if one in tasks]
            again = sightings.get(name)
            tasks[name] = asyncio.create_task(
                self._follow(name, again, faults.get(name, ""), below, graph)
            )
        results = await asyncio.gather(*tasks.values())
        named = zip(tasks, results, strict=True)
        return {name: result.failure for name, result in named if result.failure}

    async def unload(self, name: str, *, dependents: bool) -> None:
        """Unload a model, and with ``dependents`` what only it was made of."""
        if name not in self._held:
            return  # as Triton does
        gone: Sequence[str] = (name,)
        if dependents:
            by_name = [one for one, held in self._held.items() if held.by_name]
            gone = self.graph().cascade(name, by_name)
        await self.apply({}, gone)

    async def _follow(
        self,
        name: str,
        sighting: Sighting | None,
        fault: str,
        below: Sequence[asyncio.Task[_Result]],
        graph: Graph,
    ) -> _Result:
        """Bring one model up when those below it are; it was seen, or they were loaded anew."""
        results = [await one for one in below]
        held = self._held[name]
        try:
            self._refuse_unserved(sighting or held.seen)
            self._take_down(held, fault or graph.unready(name, self._standings(graph.needs[name])))
            fresh = any(result.fresh for result in results)
            if sighting is None and not fresh and not held.refusal:
                return _Result()
            return await self._bring(held, sighting or held.seen, again=fresh)
        except Unsupported as error:
            held.refusal, held.deferred = error.message, True
            logger.warning("not served: %s", error)
        except EngineError as error:
            held.refusal, held.deferred = error.message, False
            logger.error("failed to load '%s': %s", name, error)  # noqa: TRY400 - the text says where
        except Exception as error:
            # A fault of ours, met by one model: the others are served.
            held.refusal, held.deferred = f"Internal: {type(error).__name__}: {error}", False
            logger.exception("failed to load '%s'", name)
        return _Result(failure=held.refusal)

    def _refuse_unserved(self, sighting: Sighting) -> None:
        if sighting.declared is not None:
            config = sighting.declared.config
            if not (config.is_ensemble and self._loading.composes):
                refuse_unserved(config)

    @staticmethod
    def _take_down(held: Held, fault: str) -> None:
        """Stop serving what cannot answer any more, if there is such a fault (rule 2)."""
        if fault:
            held.versions.unwant_all()
            held.loaded = None
            raise InvalidArgument(fault)

    def _standings(self, names: Collection[str]) -> Mapping[str, Standing]:
        return {name: self._held[name].standing for name in names if name in self._held}

    async def _bring(self, held: Held, sighting: Sighting, *, again: bool) -> _Result:
        """Load a model if it has to be, ``again`` even if it has not changed itself."""
        if sighting.fault is not None:
            raise sighting.fault
        folder, declared = sighting.folder, sighting.declared
        assert folder is not None
        assert declared is not None
        serving = held.versions.ready()
        old = held.loaded if serving and not again else None
        if old is not None and sighting.plain and old.plain and old.folder == folder:
            held.refusal = ""
            return _Result()
        config = declared.config
        versions = choose_versions(config.version_policy, folder.versions)
        if not versions:
            raise InvalidArgument(no_versions(config, folder))
        held.refusal, held.deferred = "", False
        if failure := await self._exchange(held, old, sighting, versions):
            return _Result(failure=failure)
        held.loaded = sighting
        held.versions.forget(folder.versions)
        return _Result(fresh=True)

    async def _exchange(
        self, held: Held, old: Sighting | None, sighting: Sighting, versions: tuple[int, ...]
    ) -> str:
        """Serve these versions as they were seen; returns what went wrong, "" if nothing did."""
        lives = held.versions
        staying, others = _staying(old, sighting, lives.ready())
        staying &= frozenset(versions)
        recruits: Mapping[int, Recruits] = {}
        if others:
            recruits, failures = await self._loading.recruit(lives, sighting, staying)
            if failures:
                return _say(failures, ModelState.READY)
            staying = frozenset(recruits)
        failed = await self._loading.load(lives, sighting, versions, staying)
        if failed:
            for one in recruits.values():
                one.dismiss()
            return _say(failed, ModelState.UNAVAILABLE)
        for version in staying:
            served = lives.served(version)
            if served is not None and version in recruits:
                served.change(recruits[version])
                count = len(recruits[version].planned)
                logger.info("'%s' version %d has %d instances now", served.name, version, count)
            elif served is not None and sighting.declared is not None:
                policy = sighting.declared.config.version_policy or VersionPolicy(latest=1)
                served.config = replace(served.config, version_policy=policy)
        return ""


def _staying(
    old: Sighting | None, new: Sighting, serving: Collection[int]
) -> tuple[frozenset[int], bool]:
    """List the serving versions that need not be loaded again, and say if they may need others.

    They are asked, with their complete configurations, if instances are all that has changed.
    """
    if old is None or old.made is None or new.made is None or new.sent is not None:
        return frozenset(), False
    if not (old.plain and new.plain):
        return same_files(old.made, new.made, serving), True
    return untouched(old.made, new.made, serving), regrouped(old.made, new.made)


def _say(failures: Mapping[int, str], state: ModelState) -> str:
    """Say which versions failed, in the state they are in, as Triton does."""
    return "".join(
        f"version {version} is at {state.value} state: {reason};"
        for version, reason in failures.items()
    )
