"""One version of one model, loaded and ready to infer.

Owns how a served model is put together out of its configuration: instances, scheduler, pump,
ledger. Does not own versions or readiness (``repository``), nor the checking of requests
(``service``). ``load`` blocks and belongs on a worker thread; everything else here is for the
event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from engine.backend import (
    Backend,
    Binding,
    Calling,
    Executor,
    Housed,
    Overlapping,
    Runnable,
    SelfChecking,
)
from engine.cache import Cache, Keys
from engine.clock import Clock
from engine.errors import EngineError, Internal, InvalidArgument, NotFound, Unsupported
from engine.execution.admission import Admission, SequenceTerms
from engine.execution.answering import Answering
from engine.execution.batch import Layout, layout
from engine.execution.caching import Caching, cached, identity
from engine.execution.crew import Crew, Recruits
from engine.execution.executing import DecoupledInstance, ExecutorInstance
from engine.execution.host import Host
from engine.execution.instance import Batch, Instance, Mailbox
from engine.execution.labels import Labels, read_labels
from engine.execution.ordering import Done, Emit, Ordering
from engine.execution.pinning import pinned
from engine.execution.plan import Planned, plan, unsupported
from engine.execution.probing import Probe, all_ready
from engine.execution.pump import Pump, Worker
from engine.execution.ragged import ragged
from engine.execution.samples import Sample, read_samples
from engine.execution.sequences import sequenced, with_states
from engine.execution.states import StateTensor, state_tensors
from engine.execution.warmup import Stage, warm_up
from engine.inside import Charge
from engine.modelconfig.complete import input_specs, output_specs
from engine.modelconfig.schema import ModelConfig
from engine.ratelimit import Seat
from engine.scheduler import Limitable, Scheduler
from engine.schedulers import make, rules
from engine.schedulers.explained import Explained
from engine.schedulers.limited import Limited
from engine.telemetry.machine import resident
from engine.telemetry.spread import spread
from engine.telemetry.stats import Ledger, MemoryTally, ModelStatistics, Spread
from engine.types import InferRequest, TensorSpec
from engine.v2.fit import Fit

logger = logging.getLogger(__name__)

__all__ = ["Done", "Emit", "ServedModel", "load"]

# How long a thread that computes in Python may keep the interpreter's lock from one that waits
# for it. With CPython's 5 ms a small result waits longer for the loop than it took to compute.
_SWITCH_S = 0.0005
#: so many requests have to wait before a dynamic batcher lets the first batch leave; for tests
START_AT = "TRITONSERVER_DELAY_SCHEDULER"
#: and so many more for a slot, before a sequence batcher does
BACKLOG_AT = "TRITONSERVER_BACKLOG_DELAY_SCHEDULER"


class ServedModel:
    """A loaded model version. ``runtime`` says what really runs: provider, threads ...

    ``load_ns`` is how long it took to be prepared and loaded; whoever loads it writes it down.
    ``fit`` belongs to whoever checks requests. ``probes`` ask those of its instances that know
    whether they can answer. ``housed`` are those that have processes of their own. ``binds`` are
    the GPUs on whose memory it works where it is.
    """

    def __init__(
        self,
        name: str,
        version: int,
        config: ModelConfig,
        pump: Answering,
        ledger: Ledger,
        seat: Seat | None = None,
    ) -> None:
        self.name: str = name
        self.version: int = version
        self.config: ModelConfig = config
        self.inputs: tuple[TensorSpec, ...] = input_specs(config)
        self.outputs: tuple[TensorSpec, ...] = output_specs(config)
        self.runtime: Mapping[str, str] = {}
        self.labels: Labels = {}
        self.load_ns: int = 0
        self.fit: Fit | None = None
        self.binds: frozenset[int] = frozenset()
        self.probes: Sequence[Probe] = ()
        self.housed: Sequence[Housed] = ()
        self._caching: Caching | None = None
        self._pump = pump
        self._ledger = ledger
        self._seat = seat
        batching = config.dynamic_batching
        ordered = batching is not None and batching.preserve_ordering
        self._ordering = Ordering() if ordered else None
        self._terms = SequenceTerms(config) if config.sequence_batching is not None else None
        self._crew: Crew | None = None
        self._holds = 0
        self._let_go: Callable[[], None] | None = None

    def may_change(self, crew: Crew) -> None:
        """Let instances come and go from now on; ``crew`` knows them."""
        self._crew = crew

    def recruit(self, config: ModelConfig, host: Host) -> Recruits | None:
        """Load the instances that another configuration asks for and that are not there. Blocks.

        Returns:
            them, or None if this model must be loaded anew to have that configuration.

        Raises:
            EngineError: why an instance could not be loaded; none is then.
        """
        crew = self._crew
        same = replace(config, instance_group=(), version_policy=None) == replace(
            self.config, instance_group=(), version_policy=None
        )
        return crew.recruit(config, plan(config, host)) if crew is not None and same else None

    def change(self, recruits: Recruits) -> None:
        """Let recruits join, and those go that their configuration does not ask for."""
        assert self._crew is not None
        self.config = recruits.config
        self._ledger.place(self._crew.change(recruits))
        self.runtime = {**self.runtime, "instances": str(len(recruits.planned))}

    def keep_responses(
        self, cache: Cache, keys: Keys, clock: Clock, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Ask a response cache before the pump from now on."""
        self._caching = Caching(cache, keys, self._pump, self._ledger, clock, loop)

    @property
    def checks_itself(self) -> bool:
        """Whether somebody has to be asked if it is ready."""
        return bool(self.probes)

    async def is_ready(self) -> bool:
        """Ask every instance that knows whether it can answer."""
        return await all_ready(self.probes)

    @property
    def pending(self) -> int:
        """How many requests wait for an instance."""
        return self._pump.pending

    def check(self, request: InferRequest) -> bool:
        """Let a request pass if the model can run it; see ``Fit.check``."""
        if self.fit is None:
            self.fit = Fit(self.name, self.config.max_batch_size, self.inputs, self.outputs)
        return self.fit.check(request)

    def hold(self) -> None:
        """Let it answer those who call it from inside until ``let_go``, even if it is stopped."""
        self._holds += 1

    def let_go(self) -> None:
        """End a hold; the last one lets a stop that waits for it begin."""
        self._holds -= 1
        if not self._holds and self._let_go is not None:
            self._let_go()

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        """Take a checked request and return its ticket id.

        ``done`` is called exactly once, on the loop, after this has returned. ``emit`` gets, before
        that, what a decoupled model answers before its final answer, and ``charge`` what a request
        that succeeded took to compute.

        Raises:
            InvalidArgument: the model keeps sequences, and the request cannot belong to one;
                ``done`` is not called then.
        """
        if self._terms is not None:
            self._terms.check(request)
        if self._ordering is not None:
            done, emit = self._ordering.wrap(done, emit)
        if self._caching is not None:
            return self._caching.submit(request, done, charge)
        return self._pump.submit(request, done, emit, charge)

    @property
    def spread(self) -> Spread | None:
        """What is known of single requests' times, if somebody asked for it."""
        return self._ledger.spread

    def cancel(self, ticket_id: int) -> None:
        """Take a request back; ``done`` gets Cancelled if it still waits, else what it gets."""
        if self._caching is not None:
            self._caching.cancel(ticket_id)
        else:
            self._pump.cancel(ticket_id)

    def statistics(self) -> ModelStatistics:
        """Picture the counters as they are now."""
        picture = self._ledger.picture(self._pump.pending)
        return replace(picture, runtime=self.runtime, memory=self._memory())

    def _memory(self) -> tuple[MemoryTally, ...]:
        pids = {one.pid for one in self.housed}  # instances may share one
        there = sum(resident(pid) for pid in pids if pid is not None)
        return (MemoryTally(None, there),) if pids else ()

    def stop(self, drained: Callable[[], None]) -> None:
        """Refuse new requests, answer the others, free the model; then call ``drained``.

        All of that begins when nobody holds it any more.
        """
        if self._holds:
            self._let_go = lambda: self.stop(drained)
            return
        last = drained if self._seat is None else lambda: self._leave(drained)
        if self._caching is not None:
            self._caching.when_quiet(lambda: self._pump.stop(last))
        else:
            self._pump.stop(last)

    def _leave(self, drained: Callable[[], None]) -> None:
        if self._seat is not None:
            self._seat.leave()
        drained()


@dataclass(frozen=True, slots=True)
class _Enlisting:
    """Loads and warms up more instances of a model that serves, as its first ones were."""

    directory: Path
    backend: Backend
    host: Host
    layout: Layout
    mailbox: Mailbox
    samples: Sequence[Sample]
    stage: Stage

    def __call__(self, coming: Sequence[Planned], config: ModelConfig) -> Sequence[Worker]:
        _, loaded = _load_all(coming, self.directory, config, self.backend, self.host)
        more = _instances(loaded, config, self.layout, self.mailbox, self.stage.clock)
        _warm_up(self.samples, replace(self.stage, workers=more, sequenced=more), coming, None)
        return more


def load(  # noqa: PLR0913 - what a model is made of, and where it lives
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
    """Load every instance of a model version. Blocks.

    ``directory`` is the version's folder, ``config`` the complete configuration.

    Raises:
        EngineError: what cannot be served, or why an instance could not be loaded; nothing
            stays loaded then.
    """
    if lacking := unsupported(config):
        raise Unsupported("\n".join(f"model '{name}': {text}" for text in lacking))
    planned = plan(config, host)
    labels = read_labels(directory.parent, config)
    samples = read_samples(directory.parent, config)
    states = initial_states(directory.parent / "initial_state", config)
    seat, loaded = _load_all(planned, directory, config, backend, host)
    arrangement = with_states(layout(name, version, config), states)
    mailbox = Mailbox(loop)
    ledger = _ledger(name, version, config, planned, host)
    workers = _instances(loaded, config, arrangement, mailbox, clock)
    behind = sequenced(workers, config, states)
    admit = Admission(config).ticket
    stage = Stage(
        workers=workers, sequenced=behind, ledger=ledger, admit=admit, clock=clock, loop=loop
    )
    _warm_up(samples, stage, planned, seat)
    inside = _scheduler(config, planned)
    scheduler = _explained(inside if seat is None else Limited(inside, seat), config, host, ledger)
    pump = Pump(scheduler, behind, ledger, admit=admit, clock=clock, loop=loop)
    if seat is not None:
        seat.listen(lambda: mailbox.post(pump.nudge))
    model = ServedModel(name, version, config, pump, ledger, seat)
    model.labels = labels
    _get_to_know(model, loaded)
    if seat is None and not _is_fixed(model) and not _overlaps(loaded[0][1]):
        enlisting = _Enlisting(directory, backend, host, arrangement, mailbox, samples, stage)
        model.may_change(Crew(planned, pump, inside, backend, enlisting))
    if ledger.caches and host.cache is not None:
        model.keep_responses(host.cache, _keys(model, directory, loaded[0][1]), clock, loop)
    return model


def _is_fixed(model: ServedModel) -> bool:
    """Say whether what an instance keeps forbids that instances come and go."""
    config = model.config
    return config.sequence_batching is not None or config.decoupled or model.checks_itself


def _get_to_know(model: ServedModel, loaded: Sequence[tuple[Planned, Runnable | Executor]]) -> None:
    """Learn what the instances say of themselves, and whom to ask if they are ready."""
    model.binds = _binds(model.config, [it for _, it in loaded])
    model.probes = [Probe(one.name, it) for one, it in loaded if isinstance(it, SelfChecking)]
    model.housed = [it for _, it in loaded if isinstance(it, Housed)]
    model.runtime = {**loaded[0][1].describe(), "instances": str(len(loaded))}


def _binds(config: ModelConfig, loaded: Sequence[Runnable | Executor]) -> frozenset[int]:
    """Name the GPUs on which requests' tensors may stay until the model runs.

    None where somebody looks at elements before that: a cache, sequences, ragged batches.
    """
    if config.sequence_batching is not None or config.response_cache or ragged(config) is not None:
        return frozenset()
    devices = [it.device for it in loaded if isinstance(it, Binding)]
    return frozenset(devices) if len(devices) == len(loaded) else frozenset()


def _ledger(
    name: str, version: int, config: ModelConfig, planned: Sequence[Planned], host: Host
) -> Ledger:
    ledger = Ledger(name, version, [one.placement.device for one in planned if not one.passive])
    ledger.caches = cached(config, host.cache)
    ledger.spread = spread(config, host.metering, cached=ledger.caches)
    return ledger


def _keys(model: ServedModel, directory: Path, loaded: Runnable | Executor) -> Keys:
    return Keys(
        model.name,
        str(model.version),
        identity(directory, model.config),
        parameters=isinstance(loaded, Executor),
    )


def _warm_up(
    samples: Sequence[Sample], stage: Stage, planned: Sequence[Planned], seat: Seat | None
) -> None:
    """Run the warm-up; if it fails, nothing stays loaded."""
    with ExitStack() as undo:
        if seat is not None:
            undo.callback(seat.leave)
        for worker in stage.workers:
            undo.callback(worker.close, lambda: None)
        warm_up(samples, stage, sum(not one.passive for one in planned), seat)
        undo.pop_all()


def _load_all(
    planned: Sequence[Planned], directory: Path, config: ModelConfig, backend: Backend, host: Host
) -> tuple[Seat | None, list[tuple[Planned, Runnable | Executor]]]:
    """Load every instance, with a place at the rate limiter; all of it, or nothing."""
    for group in config.instance_group:
        if group.host_policy and group.host_policy not in host.policies:
            logger.warning(
                "model '%s': it runs on any core: no --host-policy sets anything for '%s'",
                config.name,
                group.host_policy,
            )
    if host.inside is not None and isinstance(backend, Calling):
        backend = backend.calling(host.inside)
    sys.setswitchinterval(_SWITCH_S)
    with ExitStack() as undo:
        seat = _sit_down(planned, host)
        if seat is not None:
            undo.callback(seat.leave)
        loaded = [(one, _load_one(one, directory, config, backend, undo)) for one in planned]
        undo.pop_all()
    return seat, loaded


def _sit_down(planned: Sequence[Planned], host: Host) -> Seat | None:
    """Take the model in at the rate limiter, if there is one."""
    if host.limiter is None:
        return None
    return host.limiter.join([one.needs for one in planned if not one.passive])


def _explained(scheduler: Scheduler, config: ModelConfig, host: Host, ledger: Ledger) -> Scheduler:
    """Have a dynamic batcher say why its batches left, if somebody asks."""
    if not host.metering.batches or (batching := rules(config)) is None:
        return scheduler
    return Explained(
        scheduler,
        ledger.explain(),
        max_rows=batching.max_rows,
        preferred=batching.preferred,
        max_delay_ns=batching.max_delay_ns,
    )


def _scheduler(config: ModelConfig, planned: Sequence[Planned]) -> Limitable:
    computing = sum(not one.passive for one in planned)
    start_at, backlog_at = (_number(os.environ.get(name, "")) for name in (START_AT, BACKLOG_AT))
    return make(config, computing, start_at=start_at, backlog_at=backlog_at)


def _instances(
    loaded: Sequence[tuple[Planned, Runnable | Executor]],
    config: ModelConfig,
    layout: Layout,
    mailbox: Mailbox,
    clock: Clock,
) -> list[Worker]:
    return [
        _instance(one, runnable, config, layout, mailbox=mailbox, clock=clock)
        for one, runnable in loaded
    ]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def initial_states(folder: Path, config: ModelConfig) -> tuple[StateTensor, ...]:
    """Prepare the states that a model keeps; their files are in ``folder``.

    Raises:
        InvalidArgument: a file is not in the folder, or too short.
        NotFound: a file cannot be read.
    """

    def read(name: str) -> bytes:
        if not name or Path(name).name != name or name == "..":
            raise InvalidArgument(f"initial_state: data_file '{name}' must be a file of {folder}")
        try:
            return (folder / name).read_bytes()
        except OSError as fault:
            raise NotFound(
                f"{folder / name}: cannot read this initial state: {fault.strerror or fault}"
            ) from fault

    return state_tensors(config, read)


def _instance(
    planned: Planned,
    loaded: Runnable | Executor,
    config: ModelConfig,
    layout: Layout,
    *,
    mailbox: Mailbox,
    clock: Clock,
) -> Worker:
    # The instance's thread is started here, and keeps to the cores of the one that starts it.
    with pinned(planned.cores):
        if isinstance(loaded, Executor):
            open_ended = config.decoupled or _overlaps(loaded)
            make = DecoupledInstance if open_ended else ExecutorInstance
            return make(planned.name, loaded, layout, mailbox, clock)
        # Also in a model that calls itself decoupled: it gives one answer to each request.
        again = config.sequence_batching is None
        batch = Batch(planned.name, loaded, layout, clock, again=again)
        return Instance(planned.name, batch, mailbox, stays=planned.cores is not None)


def _overlaps(loaded: Runnable | Executor) -> bool:
    """Say whether an instance executes batches side by side."""
    return isinstance(loaded, Overlapping) and loaded.overlaps


def _load_one(
    planned: Planned, directory: Path, config: ModelConfig, backend: Backend, undo: ExitStack
) -> Runnable | Executor:
    """Load one instance; it is closed again if ``undo`` ends badly."""
    try:
        with pinned(planned.cores):
            placement = replace(planned.placement, instance=planned.name)
            loaded = backend.load(directory, config, placement)
    except EngineError:
        raise
    except Exception as fault:
        raise Internal(
            f"model instance '{planned.name}' could not be loaded from {directory}:"
            f" {type(fault).__name__}: {fault}"
        ) from fault
    undo.callback(loaded.close)
    return loaded
