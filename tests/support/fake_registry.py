"""A registry and models that stand for the real ones, so that the service and the transports
can be driven without files and runtimes.

A model gathers what one turn of the loop brought, as the pump does, and answers it in a later
callback; while it is ``held`` it keeps what it got until ``release``.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from engine.errors import Cancelled, EngineError, NotFound, Unavailable
from engine.modelconfig.complete import input_specs, output_specs
from engine.modelconfig.schema import ModelConfig, ModelInput, ModelOutput
from engine.telemetry.stats import Ledger, ModelStatistics, Spread, Timings
from engine.types import DType, InferRequest, InferResponse, Parameter, Tensor
from engine.v2.fit import Fit

Compute = Callable[[InferRequest], tuple[Tensor, ...]]
Done = Callable[[InferResponse | EngineError], None]
Parameters = Mapping[str, str | bytes | bool]


async def turns(count: int) -> None:
    """Let the event loop turn so many times."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turned: asyncio.Future[None] = loop.create_future()
        loop.call_soon(turned.set_result, None)
        await turned


class State(Enum):
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class FakeEntry:
    name: str
    version: str = ""
    state: State = State.UNAVAILABLE
    reason: str = ""


def echo(request: InferRequest) -> tuple[Tensor, ...]:
    """OUTPUT0 is INPUT0."""
    given = request.inputs[0]
    return (Tensor("OUTPUT0", given.dtype, given.array),)


def echo_config(
    name: str = "identity",
    dtype: DType = DType.FP32,
    dims: tuple[int, ...] = (16,),
    max_batch_size: int = 8,
) -> ModelConfig:
    return ModelConfig(
        name=name,
        backend="fake",
        max_batch_size=max_batch_size,
        input=(ModelInput(name="INPUT0", data_type=dtype, dims=dims),),
        output=(ModelOutput(name="OUTPUT0", data_type=dtype, dims=dims),),
    )


class FakeModel:
    def __init__(
        self,
        config: ModelConfig | None = None,
        version: int = 1,
        compute: Compute = echo,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        self.config = config or echo_config()
        self.name = self.config.name
        self.version = version
        self.inputs = input_specs(self.config)
        self.outputs = output_specs(self.config)
        self.load_ns = 0
        self.spread: Spread | None = None
        self.labels: dict[str, tuple[bytes, ...]] = {}
        self.fit: Fit | None = None
        self.binds: frozenset[int] = frozenset()
        self.held = False
        self.cancelled: list[int] = []
        self.requests: list[InferRequest] = []
        self._compute = compute
        self._parameters = parameters or {}
        self._waiting: dict[int, tuple[InferRequest, Done]] = {}
        self._tickets = 0
        self._due = False
        self._ledger = Ledger(self.name, version)

    checks_itself = False

    async def is_ready(self) -> bool:
        return True

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, request: InferRequest, done: Done, emit: Done | None = None) -> int:
        assert emit is None or not self.config.decoupled, "it knows one answer only"
        self._tickets += 1
        self._waiting[self._tickets] = (request, done)
        self.requests.append(request)
        if not self.held and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self.release)
        return self._tickets

    def release(self, count: int = 1 << 30) -> None:
        """Answer what waits, the first ``count`` of it."""
        self._due = False
        for ticket in list(self._waiting)[:count]:
            request, done = self._waiting.pop(ticket)
            try:
                outputs = self._compute(request)
            except EngineError as error:
                done(error)
                continue
            wanted = {output.name for output in request.outputs}
            self._ledger.executed(1, Timings(0, 1000, 2000, 3000), 5)
            self._ledger.succeeded(1, 1, 0, Timings(10_000, 1000, 2000, 3000), 20_000)
            done(
                InferResponse(
                    model=self.name,
                    version=str(self.version),
                    id=request.id,
                    parameters=self._parameters,
                    outputs=tuple(
                        tensor for tensor in outputs if not wanted or tensor.name in wanted
                    ),
                )
            )

    def cancel(self, ticket_id: int) -> None:
        self.cancelled.append(ticket_id)
        if ticket_id in self._waiting:
            _, done = self._waiting.pop(ticket_id)
            done(Cancelled("Request cancelled"))

    def statistics(self) -> ModelStatistics:
        return self._ledger.picture(self.pending)


class FakeRegistry:
    def __init__(self, *models: FakeModel) -> None:
        self._models = {(model.name, model.version): model for model in models}
        self.sleeping: set[tuple[str, int]] = set()
        self.calls: list[tuple[object, ...]] = []
        self.is_ready = True

    def put(self, model: FakeModel) -> None:
        """Load a model, in place of the one that bears its name and version."""
        self._models[model.name, model.version] = model

    def get(self, name: str, version: str = "") -> FakeModel:
        there = sorted(v for n, v in self._models if n == name)
        if not there:
            raise NotFound(f"Request for unknown model: '{name}' is not found")
        chosen = int(version) if version else there[-1]
        if chosen not in there:
            raise NotFound(f"Request for unknown model: '{name}' version {version} is not found")
        if (name, chosen) in self.sleeping:
            raise Unavailable(
                f"Request for unknown model: '{name}' version {chosen} is not at ready state"
            )
        return self._models[name, chosen]

    def ready_versions(self, name: str) -> tuple[int, ...]:
        return tuple(sorted(v for n, v in self._models if n == name))

    def index(self, ready: bool = False) -> tuple[FakeEntry, ...]:  # noqa: FBT001, FBT002 - the registry's
        entries = [FakeEntry(name, str(v), State.READY) for name, v in self._models]
        return tuple(entries) if ready else (*entries, FakeEntry("never_loaded"))

    def models(self) -> tuple[FakeModel, ...]:
        return tuple(m for key, m in self._models.items() if key not in self.sleeping)

    def ready(self) -> bool:
        return self.is_ready

    async def load(self, name: str, parameters: Parameters) -> None:
        self.calls.append(("load", name, dict(parameters)))
        if name == "broken":
            raise Unavailable(f"load failed for model '{name}'")

    async def unload(self, name: str, unload_dependents: bool = False) -> None:  # noqa: FBT001, FBT002 - as above
        self.calls.append(("unload", name, unload_dependents))
