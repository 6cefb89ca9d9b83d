"""Loading on worker threads: prepares and loads versions side by side, and tells their lives.

Owns: the worker threads, that a version's failure is a text and not the end of anything, and
how often a load that fails is tried again. Does not own: which versions (``rollout``), or what
becomes of them (``versions``).

1. ``threads`` load at a time. Reading folders has threads of its own: however long models
   take to load, the repositories can be looked at. So have models that other models' code loads:
   one that loads may wait for it.
2. A load that fails is tried ``model_load_retry_count`` times more, as in Triton whatever it
   failed for; only what this engine does not serve is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from engine.backend import Backend
from engine.clock import Clock
from engine.errors import EngineError, Internal, Unavailable, Unsupported
from engine.execution.crew import Recruits
from engine.execution.host import Host
from engine.execution.model import ServedModel
from engine.inside import asked_by
from engine.modelconfig.schema import ModelConfig
from engine.options import ServeOptions
from engine.repository.memory import Reclaim
from engine.repository.prepare import code_word, prepare, prepare_ensemble
from engine.repository.sighting import Sighting
from engine.repository.terms import Terms
from engine.repository.versions import Versions

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_READERS = 2
_ASKED = 64


class Loader(Protocol):
    """Loads every instance of a model version; blocks. The default is ``execution.model``'s."""

    def __call__(  # noqa: PLR0913 - engine.execution.model.load's
        self,
        name: str,
        version: int,
        directory: Path,
        config: ModelConfig,
        backend: Backend,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
    ) -> ServedModel:
        """Load it.

        Raises:
            EngineError: why it could not be loaded.
        """
        ...


class Composer(Protocol):
    """Makes an ensemble out of its configuration; the models it is made of are ready by then."""

    def __call__(self, name: str, version: int, folder: Path, config: ModelConfig) -> ServedModel:
        """Make it; ``folder`` is the model's.

        Raises:
            EngineError: why it could not be made.
        """
        ...


class Loading:
    """The threads that load, and those that read folders."""

    def __init__(  # noqa: PLR0913 - the registry's
        self,
        terms: Terms,
        load: Loader,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        options: ServeOptions,
        composer: Composer | None = None,
    ) -> None:
        self._terms = terms
        self._load = load
        self._composer = composer
        self._clock = clock
        self._loop = loop
        self._host = host
        self._retries = options.model_load_retry_count
        threads = max(1, options.model_load_thread_count)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="load")
        self._asked = ThreadPoolExecutor(_ASKED, thread_name_prefix="load asked")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._reclaim = Reclaim(loop, self._readers)

    @property
    def composes(self) -> bool:
        """Whether ensembles can be made."""
        return self._composer is not None

    async def read(self, job: Callable[..., _Result], *arguments: object) -> _Result:
        """Run a job that reads the disk; raises what it raises."""
        return await self._loop.run_in_executor(self._readers, job, *arguments)

    def stop(self) -> None:
        """Begin no more jobs; those that run go on, and are not waited for."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._asked.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _pool(self) -> ThreadPoolExecutor:
        """Give the threads for what is asked here (rule 1)."""
        return self._asked if asked_by.get() else self._workers

    async def load(
        self,
        lives: Versions,
        sighting: Sighting,
        versions: tuple[int, ...],
        kept: Collection[int] = (),
    ) -> Mapping[int, str]:
        """Load versions side by side, but for those ``kept``, which go on serving.

        Returns:
            the reasons of those that failed.
        """
        folder = sighting.folder
        assert folder is not None
        wanted = [version for version in versions if version not in kept]
        generations = {version: lives.want(version) for version in wanted}
        workers = self._pool()
        results = await asyncio.gather(
            *(
                self._loop.run_in_executor(workers, self._load_one, sighting, version)
                for version in wanted
            ),
            return_exceptions=True,
        )
        loaded: dict[int, ServedModel] = {}
        failures: dict[int, str] = {}
        for version, result in zip(wanted, results, strict=True):
            if isinstance(result, BaseException):
                failures[version] = _reason(folder.name, version, result)
            else:
                loaded[version] = result
                if sighting.sent is not None:
                    sighting.sent.hold()
        lives.end(generations, loaded, failures, kept=kept, gone=lambda: self._left(sighting))
        return failures

    async def recruit(
        self, lives: Versions, sighting: Sighting, versions: Collection[int]
    ) -> tuple[dict[int, Recruits], dict[int, str]]:
        """Load the instances that serving versions are to have more, for those that can change.

        Returns:
            the recruits of each version that can, and the reasons of those that failed; then
            there are no recruits.
        """
        assert sighting.folder is not None
        name = sighting.folder.name
        recruits: dict[int, Recruits] = {}
        failures: dict[int, str] = {}
        for version in versions:
            served = lives.served(version)
            if served is None:
                continue
            try:
                found = await self._loop.run_in_executor(
                    self._pool(), self._recruit_one, served, sighting, version
                )
            except Exception as fault:  # noqa: BLE001 - a failure is a text
                failures[version] = _reason(name, version, fault)
                break
            if found is not None:
                recruits[version] = found
        if failures:
            for one in recruits.values():
                one.dismiss()
            recruits = {}
        return recruits, failures

    def _recruit_one(
        self, served: ServedModel, sighting: Sighting, version: int
    ) -> Recruits | None:
        folder, declared = sighting.folder, sighting.declared
        assert folder is not None
        assert declared is not None
        config = prepare(declared, folder, version, self._terms).config
        # What a request configures is loaded anew even if it is equal, as in Triton.
        if not sighting.plain and config.instance_group == served.config.instance_group:
            return None
        return served.recruit(config, self._host)

    def _left(self, sighting: Sighting) -> None:
        """Clear up after a version that is gone."""
        if sighting.sent is not None:
            sighting.sent.let_go()
        self._reclaim.soon()

    def _load_one(self, sighting: Sighting, version: int) -> ServedModel:
        """Load one version; on a worker thread."""
        begun_ns = self._clock.now_ns()
        for left in reversed(range(self._retries + 1)):
            try:
                served = self._try(sighting, version)
            except Unsupported:
                raise
            except Exception as fault:
                if not left:
                    raise
                name = sighting.folder.name if sighting.folder is not None else ""
                logger.warning(
                    "'%s' version %d did not load, %d more tries: %s", name, version, left, fault
                )
            else:
                break
        served.load_ns = self._clock.now_ns() - begun_ns
        took_s = served.load_ns / 1e9
        logger.info("successfully loaded '%s' version %d in %.2f s", served.name, version, took_s)
        if served.runtime:
            ran = ", ".join(f"{word}: {value}" for word, value in served.runtime.items())
            logger.info("'%s' version %d is run by %s", served.name, version, ran)
        return served

    def _try(self, sighting: Sighting, version: int) -> ServedModel:
        folder, declared = sighting.folder, sighting.declared
        assert folder is not None
        assert declared is not None
        if declared.config.is_ensemble and self._composer is not None:
            config = prepare_ensemble(declared)
            return self._composer(folder.name, version, folder.directory, config)
        ready = prepare(declared, folder, version, self._terms)
        return self._load(
            folder.name,
            version,
            ready.directory,
            ready.config,
            ready.backend,
            clock=self._clock,
            loop=self._loop,
            host=self._host,
        )


def _reason(name: str, version: int, fault: BaseException) -> str:
    if isinstance(fault, EngineError):
        logger.error("failed to load '%s' version %d: %s", name, version, fault)
        return code_word(fault)
    if isinstance(fault, Exception):
        logger.error("failed to load '%s' version %d", name, version, exc_info=fault)
        return code_word(Internal(f"{type(fault).__name__}: {fault}"))
    return code_word(Unavailable("the server stopped before the model was loaded"))
