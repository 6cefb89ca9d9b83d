"""Loading on worker threads: prepares and loads versions side by side, and tells their lives.

Owns: the worker threads, and that a version's failure is a text and not the end of anything.
Does not own: which versions (``registry``), or what becomes of them (``versions``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from engine.backend import Backend
from engine.clock import Clock
from engine.errors import EngineError, Internal, Unavailable
from engine.execution.host import Host
from engine.execution.model import ServedModel
from engine.modelconfig.schema import ModelConfig
from engine.repository.prepare import Declared, Terms, code_word, prepare
from engine.repository.scan import ModelFolder
from engine.repository.versions import Versions

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


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


class Loading:
    """The threads that load."""

    def __init__(
        self,
        terms: Terms,
        load: Loader,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        threads: int,
    ) -> None:
        self._terms = terms
        self._load = load
        self._clock = clock
        self._loop = loop
        self._host = host
        self._workers = ThreadPoolExecutor(max(1, threads), thread_name_prefix="load")

    async def run(self, job: Callable[..., _Result], *arguments: object) -> _Result:
        """Run a job that blocks; raises what it raises."""
        return await self._loop.run_in_executor(self._workers, job, *arguments)

    def stop(self) -> None:
        """Begin no more jobs; those that run go on, and are not waited for."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def load(
        self,
        lives: Versions,
        declared: Declared,
        folder: ModelFolder,
        versions: tuple[int, ...],
    ) -> Mapping[int, str]:
        """Load versions side by side; returns the reasons of those that failed."""
        generations = {version: lives.want(version) for version in versions}
        results = await asyncio.gather(
            *(self.run(self._load_one, declared, folder, version) for version in versions),
            return_exceptions=True,
        )
        loaded: dict[int, ServedModel] = {}
        failures: dict[int, str] = {}
        for version, result in zip(versions, results, strict=True):
            if isinstance(result, BaseException):
                failures[version] = _reason(folder.name, version, result)
            else:
                loaded[version] = result
        lives.end(generations, loaded, failures)
        return failures

    def _load_one(self, declared: Declared, folder: ModelFolder, version: int) -> ServedModel:
        """Load one version; on a worker thread."""
        begun_ns = self._clock.now_ns()
        ready = prepare(declared, folder, version, self._terms)
        served = self._load(
            folder.name,
            version,
            ready.directory,
            ready.config,
            ready.backend,
            clock=self._clock,
            loop=self._loop,
            host=self._host,
        )
        served.load_ns = self._clock.now_ns() - begun_ns
        took_s = served.load_ns / 1e9
        logger.info("successfully loaded '%s' version %d in %.2f s", folder.name, version, took_s)
        return served


def _reason(name: str, version: int, fault: BaseException) -> str:
    if isinstance(fault, EngineError):
        logger.error("failed to load '%s' version %d: %s", name, version, fault)
        return code_word(fault)
    if isinstance(fault, Exception):
        logger.error("failed to load '%s' version %d", name, version, exc_info=fault)
        return code_word(Internal(f"{type(fault).__name__}: {fault}"))
    return code_word(Unavailable("the server stopped before the model was loaded"))
