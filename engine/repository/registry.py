"""The models that are served: what is loaded when, and finding models by name and version.

Owns: the control modes (all at the start, by request, by polling), the errors and texts of
finding, loading and unloading, and the index. Does not own: what lies on the disk (``scan``),
what has changed there (``differ``), how related models follow each other (``graph``,
``rollout``), how a model is made ready (``prepare``), or how a version lives (``lifecycle``).
Everything here is for the event loop's thread; reading and loading happen on worker threads.

1. Operations on related models take turns; others run side by side.
2. A model that a later version of this engine will serve is UNAVAILABLE with a reason, and
   neither ends the server nor makes it unready: the others go on.
3. A repository that cannot be read at a poll changes nothing: what is loaded is still served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from textwrap import indent
from typing import Any, TypeVar

import engine.backend
import engine.execution.model
from engine.backend import Backend
from engine.clock import Clock
from engine.errors import Internal, InvalidArgument, NotFound, Unavailable
from engine.execution.host import Host
from engine.execution.model import ServedModel
from engine.options import ModelControlMode, ServeOptions
from engine.repository.finding import Finding
from engine.repository.held import Held, IndexEntry
from engine.repository.lifecycle import UNLOADED, ModelState
from engine.repository.loading import Composer, Loader, Loading
from engine.repository.polling import Polling, Steps
from engine.repository.request import Asked, asked, check_name, version_number
from engine.repository.rollout import Rollout
from engine.repository.scan import Snapshot, find_models
from engine.repository.sent import Sent
from engine.repository.sighting import DUPLICATE, Sighting
from engine.repository.terms import Terms
from engine.repository.turns import Turns

__all__ = ["IndexEntry", "Registry"]

logger = logging.getLogger(__name__)

_Value = TypeVar("_Value")


class Registry:
    """The server's models. ``composer`` makes ensembles; without it they are refused."""

    def __init__(  # noqa: PLR0913 - all that it cannot make itself
        self,
        options: ServeOptions,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        find: Callable[[str], Backend] = engine.backend.find,
        load: Loader = engine.execution.model.load,
        composer: Composer | None = None,
    ) -> None:
        self._options = options
        self._loop = loop
        self._loading = Loading(
            Terms(
                find=find,
                auto=not options.disable_auto_complete_config,
                backend_config=options.backend_config,
                gpus=host.gpus,
                backend_directory=options.backend_directory,
            ),
            load,
            clock=clock,
            loop=loop,
            host=host,
            options=options,
            composer=composer,
        )
        self._models: dict[str, Held] = {}
        self._rollout = Rollout(self._models, self._loading)
        self._finding = Finding(self._loading, options.model_repository, options.model_config_name)
        self._turns = Turns()
        steps = Steps(related=self._rollout.related, apply=self._apply)
        self._polling = Polling(self._finding, self._turns, steps)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = False
        self._stopping = False

    async def start(self) -> tuple[IndexEntry, ...]:
        """Load what the control mode says, and begin to poll if it says so.

        Raises:
            InvalidArgument: the options exclude each other.
            NotFound: a repository is not there.
            EngineError: naming every model that failed, if ``exit_on_error`` is set.
        """
        mode = self._options.model_control_mode
        if self._options.load_model and mode is not ModelControlMode.EXPLICIT:
            raise InvalidArgument(
                "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' "
                "as well."
            )
        seen = Snapshot({}, {})
        if mode is ModelControlMode.EXPLICIT:
            names = self._named(await self._finding.names())
            sightings = await self._finding.look(dict.fromkeys(names, Asked()))
        else:
            seen = await self._finding.everything()
            sightings = await self._finding.sightings(seen, {*seen.models, *seen.duplicates})
        await self._apply(sightings, ())
        self._judge_start()
        self._started = True
        if mode is ModelControlMode.POLL and self._options.repository_poll_secs > 0:
            self._polling.begin(seen, self._options.repository_poll_secs)
        return self.index()

    def _named(self, there: Collection[str]) -> tuple[str, ...]:
        names = self._options.load_model
        if "*" in names:
            if len(names) > 1:
                raise InvalidArgument(
                    "--load-model=* loads every model; remove the other --load-model flags"
                )
            names = tuple(there)
        for name in names:
            self._models.setdefault(name, Held()).by_name = True
        return names

    def _judge_start(self) -> None:
        failed = [entry for entry in self._counted() if entry.state is not ModelState.READY]
        if failed and self._options.exit_on_error:
            lines = (
                f"{entry.name}{entry.version and f' version {entry.version}'}: {entry.reason}"
                for entry in failed
            )
            raise Internal("failed to load all models\n" + indent("\n".join(lines), "  "))

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
            for entry in model.entries(name)
        ]

    def index(self, ready: bool = False) -> tuple[IndexEntry, ...]:  # noqa: FBT001, FBT002 - the V2 protocol's own switch
        """List every model of the repositories, loaded or not; ``ready`` only those that are."""
        try:
            places = find_models(self._options.model_repository)
        except NotFound as error:  # gone since the start; what is loaded is still served
            logger.warning("index: %s", error)
            places = {}
        entries: list[IndexEntry] = []
        for name in self._models.keys() | places.keys():
            lines = self._models[name].entries(name) if name in self._models else []
            if not lines and name in places:
                twice = len(places[name]) > 1
                state = ModelState.UNAVAILABLE if twice else ModelState.UNKNOWN
                lines = [IndexEntry(name, "", state, DUPLICATE if twice else "")]
            entries += lines
        if ready:
            entries = [entry for entry in entries if entry.state is ModelState.READY]
        return tuple(sorted(entries, key=lambda entry: (entry.name, int(entry.version or -1))))

    async def load(
        self, name: str, parameters: Mapping[str, str | bytes | bool] | None = None
    ) -> None:
        """Load a model, or load it anew if it has changed (explicit mode).

        ``parameters`` may have ``config``: a whole configuration as JSON, which takes the
        place of config.pbtxt until the next load without it; and with it ``file:<path>``: the
        files of a folder that takes the place of the model's.

        Raises:
            Unavailable: the server is in another mode.
            InvalidArgument: the model, or its version, failed to load; or a parameter is wrong.
            Internal: there is no such model.
        """
        self._check_explicit()
        check_name(name)
        request = asked(parameters or {})
        # A client that goes away does not leave the load half done.
        if failure := await asyncio.shield(self._begin(self._load(name, request))):
            raise InvalidArgument(f"load failed for model '{name}': {failure}\n")

    async def _load(self, name: str, request: Asked) -> str:
        sent: Sent | None = None
        if request.files:
            sent = await self._loading.read(Sent, name, request.files)
        try:
            names = frozenset({name})
            while True:
                async with self._turns.of(names):
                    sightings = await self._finding.look_for(name, request, sent)
                    related = self._rollout.related(sightings, sightings)
                    if related <= names:
                        self._models.setdefault(name, Held()).by_name = True
                        found = self._but_overridden(name, sightings)
                        return (await self._rollout.apply(found)).get(name, "")
                names = related  # it is related to more than was known: ask again, for all
        finally:
            if sent is not None:
                sent.let_go()

    def _but_overridden(self, name: str, sightings: Mapping[str, Sighting]) -> dict[str, Sighting]:
        """Leave out what ``name`` is made of as far as a request has configured it otherwise."""
        loaded = {one: held.loaded for one, held in self._models.items() if one != name}
        return {
            one: sighting
            for one, sighting in sightings.items()
            if (there := loaded.get(one)) is None or there.plain
        }

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - the V2 protocol's own switch
        """Stop serving a model (explicit mode); returns before its last request is answered.

        Ensembles made of it go too: they could not answer. ``unload_dependents`` unloads what
        it is made of as well, as far as nobody loaded that by name and nothing else needs it.

        Raises:
            Unavailable: the server is in another mode.
        """
        self._check_explicit()
        await asyncio.shield(self._begin(self._unload(name, dependents=unload_dependents)))

    async def _unload(self, name: str, *, dependents: bool) -> None:
        names = frozenset({name})
        while True:
            async with self._turns.of(names):
                related = self._rollout.related({}, names)
                if related <= names:
                    await self._rollout.unload(name, dependents=dependents)
                    return
            names = related

    async def poll(self) -> None:
        """Look at the repositories now, and carry out what has changed."""
        await self._polling.poll()

    async def _apply(
        self, sightings: Mapping[str, Sighting], drops: Collection[str]
    ) -> Mapping[str, str]:
        """Carry out an operation on models and all that is related, when it is its turn."""
        names = frozenset({*sightings, *drops})
        while True:
            async with self._turns.of(names):
                related = self._rollout.related(sightings, names)
                if related <= names:
                    failures = await self._rollout.apply(sightings, drops)
                    break
            names = related
        for name in drops:
            if name not in sightings:
                self._begin(self._forget(name))
        return failures

    async def _forget(self, name: str) -> None:
        """Drop the record of a model that is not in the repositories any more, once it is gone."""
        held = self._models.get(name)
        if held is not None:
            await held.versions.quiet()
            if not held.wanted and self._models.get(name) is held:
                del self._models[name]

    def _begin(self, work: Coroutine[Any, Any, _Value]) -> asyncio.Task[_Value]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, timeout_s: float) -> None:
        """Stop serving everything; waits at most so long for requests in flight."""
        self._started = False
        self._stopping = True
        self._polling.stop()
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

    def _check_explicit(self) -> None:
        if self._stopping:
            raise Unavailable("Server exiting")
        if self._options.model_control_mode is not ModelControlMode.EXPLICIT:
            raise Unavailable("explicit model load / unload is not allowed if polling is enabled")
