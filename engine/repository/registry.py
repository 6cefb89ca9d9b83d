"""The models that are served: loads and unloads them, and finds them by name and version.

Owns: what is loaded when (the control modes), the errors and texts of finding, loading and
unloading, and the index. Does not own: what lies on the disk (``scan``), how a model is made
ready (``prepare``), or how a version lives (``lifecycle``). Everything here is for the event
loop's thread; loads run on ``model_load_thread_count`` worker threads.

1. Loads and unloads of one model take turns; those of different models run side by side.
2. A model that a later version of this engine will serve is UNAVAILABLE with a reason, and
   neither ends the server nor makes it unready: the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

import engine.backend
import engine.execution.model
from engine.backend import Backend
from engine.clock import Clock
from engine.errors import (
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.execution.host import Host
from engine.execution.model import ServedModel
from engine.modelconfig.findings import near
from engine.modelconfig.schema import ModelConfig
from engine.options import ModelControlMode, ServeOptions
from engine.repository.lifecycle import UNLOADED, ModelState
from engine.repository.loading import Loader, Loading
from engine.repository.prepare import (
    Terms,
    choose_versions,
    declare,
    no_versions,
    refuse_unserved,
)
from engine.repository.request import check_name, override, version_number
from engine.repository.scan import ModelFolder, find_models, scan_model
from engine.repository.versions import Versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index; a model never loaded has no version and no reason."""

    name: str
    version: str
    state: ModelState
    reason: str = ""


@dataclass(slots=True)
class _Model:
    """What the registry knows of one model that it was asked to load."""

    versions: Versions = field(default_factory=Versions)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Why it could not even be tried; a version's own reason is in its life.
    refusal: str = ""
    # Whether the refusal is rule 2's.
    deferred: bool = False
    # What is loaded, to know whether it has changed; None if it must be loaded anyway.
    folder: ModelFolder | None = None


class Registry:
    """The server's models."""

    def __init__(
        self,
        options: ServeOptions,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        find: Callable[[str], Backend] = engine.backend.find,
        load: Loader = engine.execution.model.load,
    ) -> None:
        self._options = options
        self._loop = loop
        self._loading = Loading(
            Terms(
                find=find,
                auto=not options.disable_auto_complete_config,
                backend_config=options.backend_config,
            ),
            load,
            clock=clock,
            loop=loop,
            host=host,
            threads=options.model_load_thread_count,
        )
        self._models: dict[str, _Model] = {}
        self._tasks: set[asyncio.Task[str]] = set()
        self._started = False
        self._stopping = False

    async def start(self) -> tuple[IndexEntry, ...]:
        """Load what the control mode says.

        Raises:
            Unsupported: the control mode is not there yet.
            NotFound: a repository is not there.
            EngineError: naming every model that failed, if ``exit_on_error`` is set.
        """
        self._check_mode()
        places = await self._loading.run(find_models, self._options.model_repository)
        names = self._wanted_at_start(places)
        await asyncio.gather(*(self._bring(name, places.get(name, ())) for name in names))
        failed = [entry for entry in self._counted() if entry.state is not ModelState.READY]
        if failed and self._options.exit_on_error:
            lines = (
                f"{entry.name}{entry.version and f' version {entry.version}'}: {entry.reason}"
                for entry in failed
            )
            raise Internal("failed to load all models\n" + indent("\n".join(lines), "  "))
        self._started = True
        return self.index()

    def _check_mode(self) -> None:
        if self._options.model_control_mode is ModelControlMode.POLL:
            raise Unsupported(
                "--model-control-mode=poll is not served by this version yet; "
                "none loads every model at the start, explicit loads and unloads on request"
            )
        explicit = self._options.model_control_mode is ModelControlMode.EXPLICIT
        if self._options.load_model and not explicit:
            raise InvalidArgument(
                "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' "
                "as well."
            )

    def _wanted_at_start(self, places: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
        if self._options.model_control_mode is ModelControlMode.NONE:
            return tuple(places)
        if "*" in self._options.load_model:
            if len(self._options.load_model) > 1:
                raise InvalidArgument(
                    "--load-model=* loads every model; remove the other --load-model flags"
                )
            return tuple(places)
        return tuple(dict.fromkeys(self._options.load_model))

    def get(self, name: str, version: str = "") -> ServedModel:
        """Find a model that is ready; "" and "-1" ask for the newest version that is.

        Raises:
            NotFound: there is no such model, or version.
            Unavailable: it is not ready.
            InvalidArgument: ``version`` is no number.
        """
        model = self._models.get(name)
        if model is None:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        if version in {"", "-1"}:
            ready = model.versions.ready()
            if not ready:
                raise NotFound(f"Request for unknown model: '{name}' has no available versions")
            number = ready[-1]
        else:
            number = version_number(version)
        served = model.versions.served(number)
        if served is not None:
            return served
        if number in model.versions.states():
            raise Unavailable(
                f"Request for unknown model: '{name}' version {number} is not at ready state"
            )
        raise NotFound(f"Request for unknown model: '{name}' version {number} is not found")

    def ready_versions(self, name: str) -> tuple[int, ...]:
        """List a model's versions that are ready, ascending.

        Raises:
            NotFound: there is no such model.
        """
        if name not in self._models:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        return self._models[name].versions.ready()

    def models(self) -> tuple[ServedModel, ...]:
        """List every model version that is ready, by name and version."""
        return tuple(
            served
            for _, model in sorted(self._models.items())
            for version in model.versions.ready()
            if (served := model.versions.served(version)) is not None
        )

    def ready(self) -> bool:
        """Say whether the server is ready: with strict readiness, every model that it serves."""
        if not self._started or not self._options.strict_readiness:
            return self._started
        return all(
            entry.state is ModelState.READY or entry.reason == UNLOADED for entry in self._counted()
        )

    def _counted(self) -> list[IndexEntry]:
        """List what must be ready for the server to be (rule 2)."""
        return [
            entry
            for name, model in sorted(self._models.items())
            if not model.deferred
            for entry in _entries(name, model)
        ]

    def index(self, ready: bool = False) -> tuple[IndexEntry, ...]:  # noqa: FBT001, FBT002 - the V2 protocol's own switch
        """List every model of the repositories, loaded or not; ``ready`` only those that are."""
        entries = [entry for name, model in self._models.items() for entry in _entries(name, model)]
        if ready:
            entries = [entry for entry in entries if entry.state is ModelState.READY]
        else:
            try:
                others = find_models(self._options.model_repository).keys() - self._models.keys()
            except NotFound as error:  # gone since the start; what is loaded is still served
                logger.warning("index: %s", error)
                others = set()
            entries += [IndexEntry(name, "", ModelState.UNKNOWN) for name in others]
        return tuple(sorted(entries, key=lambda entry: (entry.name, int(entry.version or -1))))

    async def load(
        self, name: str, parameters: Mapping[str, str | bytes | bool] | None = None
    ) -> None:
        """Load a model, or load it anew if it has changed (explicit mode).

        ``parameters`` may have ``config``: a whole configuration as JSON, which takes the
        place of config.pbtxt until the next load without it.

        Raises:
            Unavailable: the server is in another mode.
            InvalidArgument: the model, or its version, failed to load; or a parameter is wrong.
            Internal: there is no such model.
        """
        self._check_explicit()
        check_name(name)
        config = override(parameters or {})
        places = await self._loading.run(find_models, self._options.model_repository)
        if name not in places:
            raise Internal(
                f"failed to load '{name}', failed to poll from model repository: no model of that "
                f"name; {near(name, places) if places else 'the repository is empty'}"
            )
        # A client that goes away does not leave the load half done.
        task = self._loop.create_task(self._bring(name, places[name], config))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if failure := await asyncio.shield(task):
            raise InvalidArgument(f"load failed for model '{name}': {failure}\n")

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - the V2 protocol's own switch
        """Stop serving a model (explicit mode); returns before its last request is answered.

        ``unload_dependents`` would unload an ensemble's models too; none is served yet.

        Raises:
            Unavailable: the server is in another mode.
        """
        del unload_dependents
        self._check_explicit()
        model = self._models.get(name)
        if model is None:
            return  # as Triton does
        async with model.turn:
            model.versions.unwant_all()
            model.folder = None

    async def stop(self, timeout_s: float) -> None:
        """Stop serving everything; waits at most so long for requests in flight."""
        self._started = False
        self._stopping = True
        for model in self._models.values():
            model.versions.unwant_all()
        self._loading.stop()
        waits = [asyncio.ensure_future(model.versions.quiet()) for model in self._models.values()]
        if not waits:
            return
        _, late = await asyncio.wait(waits, timeout=timeout_s)
        for wait in late:
            wait.cancel()
        if late:
            logger.warning("%d models still have requests in flight", len(late))

    async def _bring(
        self, name: str, places: Sequence[Path], config: ModelConfig | None = None
    ) -> str:
        """Load a model; returns what went wrong, "" if nothing did."""
        model = self._models.setdefault(name, _Model())
        async with model.turn:
            model.refusal, model.deferred = "", False
            try:
                return await self._bring_in_turn(name, model, places, config)
            except Unsupported as error:
                model.refusal, model.deferred = error.message, True
                logger.warning("not served: %s", error)
            except EngineError as error:
                model.refusal = error.message
                logger.error("failed to load '%s': %s", name, error)  # noqa: TRY400 - the text says where
            return model.refusal

    async def _bring_in_turn(
        self, name: str, model: _Model, places: Sequence[Path], config: ModelConfig | None
    ) -> str:
        if not places:
            repositories = ", ".join(map(str, self._options.model_repository))
            raise Internal(
                f"failed to load '{name}', failed to poll from model repository: no model of that "
                f"name in {repositories}"
            )
        if len(places) > 1:
            listed = ", ".join(map(str, places))
            raise InvalidArgument(f"model appears in two or more repositories: {listed}")
        folder = await self._loading.run(scan_model, places[0])
        if config is None and model.versions.ready() and folder == model.folder:
            return ""
        declared = await self._loading.run(declare, folder, config)
        refuse_unserved(declared.config)
        versions = choose_versions(declared.config.version_policy, folder.versions)
        if not versions:
            raise InvalidArgument(no_versions(declared.config, folder))
        failures = await self._loading.load(model.versions, declared, folder, versions)
        # Loaded by an override, it is not what the disk says: the next load reads that.
        model.folder = folder if config is None and not failures else None
        return "".join(
            f"version {version} is at {ModelState.UNAVAILABLE.value} state: {reason};"
            for version, reason in failures.items()
        )

    def _check_explicit(self) -> None:
        if self._stopping:
            raise Unavailable("Server exiting")
        if self._options.model_control_mode is not ModelControlMode.EXPLICIT:
            raise Unavailable("explicit model load / unload is not allowed if polling is enabled")


def _entries(name: str, model: _Model) -> list[IndexEntry]:
    states = model.versions.states()
    if model.refusal and not model.versions.ready():
        return [IndexEntry(name, "", ModelState.UNAVAILABLE, model.refusal)]
    if not states:
        return [IndexEntry(name, "", ModelState.LOADING)]
    return [
        IndexEntry(
            name,
            str(version),
            life.state,
            life.reason if life.state is ModelState.UNAVAILABLE else "",
        )
        for version, life in states.items()
    ]
