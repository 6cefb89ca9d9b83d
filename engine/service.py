"""What each verb of the V2 protocol means. It knows the models, and no transport.

Owns: which model a call is for, whether a request fits the model (in Triton's words), what the
server says of itself and of its models. Does not own how a call was spelled, nor how a model
runs. Everything here runs on the event loop's thread and never waits; only load and unload do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import engine
from engine.delivery import Delivery
from engine.errors import EngineError, InvalidArgument, NotFound, Unavailable, Unsupported
from engine.memory.use import Use
from engine.scheduler import Refusal
from engine.v2 import message
from engine.v2.binary import tag
from engine.v2.call import (
    Accepted,
    BatchFigures,
    Call,
    Configuration,
    Count,
    DecoupledModel,
    Health,
    Index,
    IndexedModel,
    Infer,
    InferRaw,
    Load,
    MemoryFigures,
    MemoryStatus,
    ModelConfiguration,
    ModelDescription,
    ModelFigures,
    ModelMetadata,
    ModelReady,
    Regions,
    RegisterMemory,
    Reply,
    RepositoryIndex,
    ResponseFigures,
    ServerDescription,
    ServerLive,
    ServerMetadata,
    ServerReady,
    Statistics,
    StatisticsReport,
    Unload,
    UnregisterMemory,
)
from engine.v2.fit import Fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.memory.table import RegionTable
    from engine.modelconfig.schema import ModelConfig
    from engine.options import ServeOptions
    from engine.telemetry.stats import ModelStatistics, Tally
    from engine.types import InferRequest, InferResponse, TensorSpec

    Done = Callable[[InferResponse | EngineError], None]
    Emit = Callable[[InferResponse | EngineError], None]

#: Triton's extensions, in its order, as far as this version serves them.
EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
SHARED_MEMORY_IS_OFF = (
    "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
)


class Served(Protocol):
    """A model version that can infer (``engine.execution.model.ServedModel``)."""

    name: str
    version: int
    config: ModelConfig
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    #: what requests are held against; kept with the model, so that it goes with it
    fit: Fit | None
    labels: Mapping[str, tuple[bytes, ...]]
    #: the GPUs on whose memory it works where it is, by CUDA's numbers
    binds: frozenset[int]

    @property
    def pending(self) -> int:
        """How many requests wait for an instance."""
        ...

    @property
    def checks_itself(self) -> bool:
        """Whether it has to be asked if it is ready."""
        ...

    async def is_ready(self) -> bool:
        """Ask it."""
        ...

    def submit(self, request: InferRequest, done: Done, emit: Emit | None = None) -> int:
        """Take a valid request; ``done`` is called once, later. Returns a ticket.

        ``emit`` gets what a decoupled model answers before its final answer.
        """
        ...

    def cancel(self, ticket_id: int) -> None:
        """Take a request back."""
        ...

    def statistics(self) -> ModelStatistics:
        """Say what was done so far."""
        ...


class Entry(Protocol):
    """A line of the repository index (``engine.repository.registry.IndexEntry``)."""

    @property
    def name(self) -> str:
        """The model."""
        ...

    @property
    def version(self) -> str:
        """Its version, "" for a model that was never loaded."""
        ...

    @property
    def state(self) -> Enum:
        """The state, whose value is the protocol's word."""
        ...

    @property
    def reason(self) -> str:
        """Why it is in that state, "" where there is nothing to say."""
        ...


class Models(Protocol):
    """The models there are (``engine.repository.registry.Registry``)."""

    def get(self, name: str, version: str = "") -> Served:
        """Find a ready version, the latest for ""; raises NotFound and Unavailable."""
        ...

    def ready_versions(self, name: str) -> tuple[int, ...]:
        """List the versions that are ready, in order."""
        ...

    def index(self, ready: bool = False) -> Sequence[Entry]:  # noqa: FBT001, FBT002 - the registry's
        """List what there is."""
        ...

    def models(self) -> Sequence[Served]:
        """List every ready version of every model."""
        ...

    def ready(self) -> bool:
        """Say whether all that should be ready is."""
        ...


class Control(Models, Protocol):
    """Models that a client may load and unload."""

    async def load(self, name: str, parameters: Mapping[str, str | bytes | bool]) -> None:
        """Load or reload a model; done when it is ready."""
        ...

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        """Unload a model; may return before the last request has left."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """An inference under way, which may be taken back until its ``done`` is called."""

    model: Served
    ticket: int

    def cancel(self) -> None:
        """Take it back: ``done`` gets Cancelled, unless it is computed already."""
        self.model.cancel(self.ticket)


class Service:
    """The verbs. ``registry`` holds the models, ``options.id`` is the server's name.

    ``regions`` are the memory that clients share; None where they may not.
    """

    def __init__(
        self, registry: Control, options: ServeOptions, regions: RegionTable | None = None
    ) -> None:
        self._registry = registry
        self._regions = regions
        self._name = options.id
        self._exiting = False
        self._verbs: Mapping[type, Callable[[Call], Reply]] = {
            ServerLive: self._live,
            ServerReady: self._ready,
            ServerMetadata: self._describe_server,
            ModelReady: self._model_ready,
            ModelMetadata: self._describe_model,
            ModelConfiguration: self._configuration,
            Statistics: self._statistics,
            RepositoryIndex: self._index,
            RegisterMemory: self._register_memory,
            UnregisterMemory: self._unregister_memory,
            MemoryStatus: self._memory_status,
        }

    def exit(self) -> None:
        """From now on answer health with ``Server exiting`` and refuse new inferences.

        Sequences in flight may go on.
        """
        self._exiting = True

    def answer(self, call: Call) -> Reply:
        """Answer a call that needs no waiting: all but inference, load and unload.

        Raises:
            EngineError: what the client is to be told.
        """
        return self._verbs[type(call)](call)

    def takes_time(self, call: Call) -> bool:
        """Say whether a call other than an inference has to wait, and is for ``carry_out``."""
        if isinstance(call, ModelReady):
            return self._checking(call) is not None
        return isinstance(call, Load | Unload)

    async def carry_out(self, call: Call) -> Reply:
        """Load or unload a model, or have it look whether it is ready.

        Raises:
            EngineError: what the client is to be told.
        """
        match call:
            case Load():
                await self._registry.load(call.model, call.parameters)
            case Unload():
                await self._registry.unload(call.model, call.dependents)
            case ModelReady() if (model := self._checking(call)) is not None:
                self._refuse_when_exiting()
                return Health(await model.is_ready())
            case _:
                return self.answer(call)
        return Accepted()

    def _checking(self, call: ModelReady) -> Served | None:
        """Find the model that has to look whether it is ready, if it is such a one."""
        try:
            model = self._model(call.model, call.version)
        except EngineError:
            return None  # ``answer`` says why
        return model if model.checks_itself else None

    def infer(self, call: Infer, done: Done, emit: Emit | None = None) -> Running:
        """Start an inference; ``done`` is called once, on the loop, after this has returned.

        ``emit`` gets what a decoupled model answers before its final answer; a caller that can
        pass on one answer only has none.

        Raises:
            EngineError: the request is refused, and ``done`` will not be called.
        """
        request = call.request
        if self._exiting and not self._goes_on(call):
            raise Unavailable(tag(request.id) + Refusal.STOPPING.value)
        model = self._model(call.model, call.version)
        fit = model.fit
        if fit is None:
            fit = model.fit = Fit(
                model.name, model.config.max_batch_size, model.inputs, model.outputs
            )
        if emit is None and model.config.decoupled:
            raise DecoupledModel(model.name)
        if call.shared or fit.check(request):
            return self._infer_apart(call, model, fit, done, emit)
        return Running(model, model.submit(request, done, emit))

    def _infer_apart(
        self, call: Infer, model: Served, fit: Fit, done: Done, emit: Emit | None
    ) -> Running:
        """Infer where tensors lie in regions, or outputs are wanted as classes."""
        request, use = call.request, None
        if call.shared or any(output.span is not None for output in request.outputs):
            use = Use(self._memory(), model.binds)
            request = use.begin(call)
        try:
            fit.check(request)
            batched = model.config.max_batch_size > 0
            delivery = Delivery(request.outputs, model, use, batched=batched)
            each = None if emit is None else delivery.each(emit)
            return Running(model, model.submit(request, delivery.last(done), each))
        except BaseException:
            if use is not None:
                use.end()
            raise

    def _memory(self) -> RegionTable:
        if self._regions is None:
            raise Unsupported(SHARED_MEMORY_IS_OFF)
        return self._regions

    def _goes_on(self, call: Infer) -> bool:
        """Say whether a request may belong to a sequence in flight; the model knows for sure."""
        request = call.request
        if request.sequence_start or request.sequence_id in {0, ""}:
            return False
        return self._model(call.model, call.version).config.sequence_batching is not None

    def with_head(self, call: InferRaw) -> Infer:
        """Give a request without a head the head that the model's one input allows.

        Raises:
            InvalidArgument: the model has several inputs, or its shape cannot be deduced.
        """
        model = self._model(call.model, call.version)
        if len(model.inputs) != 1:
            text = f"Raw request must only have 1 input to be deduced but got {len(model.inputs)}"
            raise InvalidArgument(f"{text} inputs in '{model.name}' model configuration")
        (spec,) = model.inputs
        shape = (1, *spec.shape[1:]) if model.config.max_batch_size else spec.shape
        request = message.raw_request(call.content, model.name, spec.name, spec.dtype, shape)
        return Infer(call.model, call.version, request)

    def _model(self, name: str, version: str) -> Served:
        if version:
            _check_version(version)
        return self._registry.get(name, version)

    def _live(self, call: Call) -> Health:
        del call
        self._refuse_when_exiting()
        return Health(True)

    def _ready(self, call: Call) -> Health:
        del call
        self._refuse_when_exiting()
        return Health(self._registry.ready())

    def _refuse_when_exiting(self) -> None:
        if self._exiting:
            raise Unavailable("Server exiting")

    def _model_ready(self, call: Call) -> Health:
        assert isinstance(call, ModelReady)
        self._refuse_when_exiting()
        try:
            self._model(call.model, call.version)
        except Unavailable:
            return Health(False)
        return Health(True)

    def _describe_server(self, call: Call) -> ServerDescription:
        del call
        return ServerDescription(self._name, engine.__version__, EXTENSIONS)

    def _describe_model(self, call: Call) -> ModelDescription:
        assert isinstance(call, ModelMetadata)
        model = self._model(call.model, call.version)
        versions: Sequence[int] = (model.version,)
        if not call.version:
            versions = self._registry.ready_versions(model.name)
        return ModelDescription(
            model.name,
            tuple(map(str, versions)),
            model.config.platform or model.config.backend,
            model.inputs,
            model.outputs,
        )

    def _configuration(self, call: Call) -> Configuration:
        assert isinstance(call, ModelConfiguration)
        return Configuration(self._model(call.model, call.version).config)

    def _statistics(self, call: Call) -> StatisticsReport:
        assert isinstance(call, Statistics)
        if call.version:
            _check_version(call.version)
        found = [
            model
            for model in self._registry.models()
            if call.model in ("", model.name)
            and (not call.version or int(call.version) == model.version)
        ]
        if call.model and not found:
            raise self._no_statistics(call)
        figures = (_figures(model.statistics()) for model in found)
        if not call.runtime:  # Triton's keys, and no other
            figures = (replace(one, runtime={}) for one in figures)
        return StatisticsReport(tuple(figures))

    def _no_statistics(self, call: Statistics) -> InvalidArgument:
        try:
            self._registry.get(call.model)
        except (NotFound, Unavailable):
            return InvalidArgument(f"requested model '{call.model}' is not available")
        return InvalidArgument(f"requested model version is not available for model '{call.model}'")

    def _register_memory(self, call: Call) -> Accepted:
        assert isinstance(call, RegisterMemory)
        self._memory().register(call.region)
        return Accepted()

    def _unregister_memory(self, call: Call) -> Accepted:
        assert isinstance(call, UnregisterMemory)
        self._memory().unregister(call.kind, call.name)
        return Accepted()

    def _memory_status(self, call: Call) -> Regions:
        assert isinstance(call, MemoryStatus)
        return Regions(call.kind, self._memory().status(call.kind, call.name))

    def _index(self, call: Call) -> Index:
        assert isinstance(call, RepositoryIndex)
        return Index(
            tuple(
                IndexedModel(
                    entry.name,
                    entry.version,
                    entry.state.value if entry.version or entry.reason else "",
                    entry.reason,
                )
                for entry in self._registry.index(call.ready)
            )
        )


def _check_version(version: str) -> None:
    """Let a version pass if it is a number above 0.

    Raises:
        InvalidArgument: it is not.
    """
    text = f"failed to get model version from specified version string '{version}'"
    tail = "version should be an integral value > 0"
    if not version.isascii() or not version.lstrip("-").isdigit():
        raise InvalidArgument(f"{text} (details: stol), {tail}")
    if int(version) <= 0 or int(version) >= 1 << 63:
        raise InvalidArgument(f"{text}, {tail}")


def _figures(statistics: ModelStatistics) -> ModelFigures:
    """Say a ledger's picture in the protocol's words."""
    return ModelFigures(
        name=statistics.name,
        version=statistics.version,
        last_inference=statistics.last_inference,
        inference_count=statistics.inference_count,
        execution_count=statistics.execution_count,
        success=_count(statistics.success),
        fail=_count(statistics.fail),
        queue=_count(statistics.queue),
        compute_input=_count(statistics.compute_input),
        compute_infer=_count(statistics.compute_infer),
        compute_output=_count(statistics.compute_output),
        cache_hit=_count(statistics.cache_hit),
        cache_miss=_count(statistics.cache_miss),
        batches=tuple(
            BatchFigures(
                batch.batch_size,
                _count(batch.compute_input),
                _count(batch.compute_infer),
                _count(batch.compute_output),
            )
            for batch in statistics.batch_stats
        ),
        responses=tuple(
            ResponseFigures(
                index=one.index,
                compute_infer=_count(one.compute_infer),
                compute_output=_count(one.compute_output),
                success=_count(one.success),
                fail=_count(one.fail),
                empty_response=_count(one.empty_response),
                cancel=_count(one.cancel),
            )
            for one in statistics.response_stats
        ),
        memory=tuple(
            MemoryFigures("CPU" if one.device is None else "GPU", one.device or 0, one.byte_size)
            for one in statistics.memory
        ),
        runtime=statistics.runtime,
    )


def _count(tally: Tally) -> Count:
    return Count(tally.count, tally.ns)
