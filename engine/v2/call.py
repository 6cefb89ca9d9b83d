"""What a client can ask of a V2 server, and what it can be answered: frozen values.

HTTP and gRPC are two spellings of these, and ``engine.service`` answers them without knowing
which it was. A reply carries no protocol's form; where a form depends on what was asked (JSON
or binary tensors), the renderer looks at the call. Does not own any spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from engine.errors import Unsupported
from engine.modelconfig.schema import ModelConfig
from engine.types import InferRequest, InferResponse, Span, TensorSpec
from engine.v2.binary import Slot


def not_served(what: str) -> Unsupported:
    """Say that a part of the protocol is understood, and left to a later version."""
    return Unsupported(f"{what} is not served by this version of the server")


class DecoupledModel(Unsupported):
    """The model answers 0 to n times, the call expects one answer; each protocol words it."""

    def __init__(self, model: str) -> None:
        super().__init__(f"model '{model}' has a decoupled transaction policy")


@dataclass(frozen=True, slots=True)
class ServerLive:
    """Is the server alive?"""


@dataclass(frozen=True, slots=True)
class ServerReady:
    """Is the server ready to infer?"""


@dataclass(frozen=True, slots=True)
class ModelReady:
    """Is this model ready? An empty ``version`` leaves the choice to the server."""

    model: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What are you, and which extensions do you speak?"""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """Which tensors does this model take and give?"""

    model: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class ModelConfiguration:
    """How is this model configured?"""

    model: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What has this model done? An empty ``model`` asks for all of them.

    ``runtime`` asks one model what runs it, too: over HTTP only, and of this server only.
    """

    model: str = ""
    version: str = ""
    runtime: bool = False


@dataclass(frozen=True, slots=True)
class RepositoryIndex:
    """Which models are there, in which state? ``ready`` leaves out those that are not."""

    ready: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model. ``parameters`` may hold ``config`` (text) and ``file:<path>`` (bytes)."""

    model: str
    parameters: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unload:
    """Unload a model, and with ``dependents`` the models it is composed of."""

    model: str
    dependents: bool = False


@dataclass(frozen=True, slots=True)
class SharedInput:
    """An input whose elements lie in a memory region; ``place`` is its index among all inputs."""

    place: int
    slot: Slot
    span: Span


@dataclass(frozen=True, slots=True)
class Infer:
    """Run a model.

    ``shared`` are the inputs that ``request`` does not hold yet, in the order of their places:
    whoever knows the regions puts them in.
    """

    model: str
    version: str
    request: InferRequest
    shared: tuple[SharedInput, ...] = ()


@dataclass(frozen=True, slots=True)
class InferRaw:
    """Run a model of one input on bytes that come without a head (HTTP only)."""

    model: str
    version: str
    content: bytes


class Memory(Enum):
    """Whose memory a region is; the value is the word of paths and texts."""

    SYSTEM = "system"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class SystemRegion:
    """A region of POSIX shared memory: ``size`` bytes from ``offset`` on of the object ``key``."""

    name: str
    key: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class CudaRegion:
    """A region of a GPU's memory. ``handle`` is CUDA's for other processes, unknown in a status."""

    name: str
    device: int
    size: int
    handle: bytes = b""


Region = SystemRegion | CudaRegion


@dataclass(frozen=True, slots=True)
class RegisterMemory:
    """Let requests use a region by its name."""

    region: Region


@dataclass(frozen=True, slots=True)
class UnregisterMemory:
    """Let go of a region; an empty ``name`` lets go of all of this kind."""

    kind: Memory
    name: str = ""


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Which regions are there? An empty ``name`` asks for all of this kind."""

    kind: Memory
    name: str = ""


Call = (
    ServerLive
    | ServerReady
    | ModelReady
    | ServerMetadata
    | ModelMetadata
    | ModelConfiguration
    | Statistics
    | RepositoryIndex
    | Load
    | Unload
    | Infer
    | InferRaw
    | RegisterMemory
    | UnregisterMemory
    | MemoryStatus
)


@dataclass(frozen=True, slots=True)
class Health:
    """Yes or no: the answer to the three health calls."""

    ok: bool


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a server says of a model; shapes have the leading -1 of a batching model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    """A model's configuration, complete."""

    config: ModelConfig


@dataclass(frozen=True, slots=True)
class Count:
    """How often, and how long in sum, ns."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """The executions of one batch size."""

    batch_size: int
    compute_input: Count
    compute_infer: Count
    compute_output: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFigures:
    """The responses that were the first, second ... of their request; ``index`` is from 0."""

    index: int
    compute_infer: Count = Count()
    compute_output: Count = Count()
    success: Count = Count()
    fail: Count = Count()
    empty_response: Count = Count()
    cancel: Count = Count()


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """How much memory of one kind (CPU, CPU_PINNED, GPU), of device ``id``, is a model's."""

    type: str
    id: int
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """One model version's statistics, as the statistics extension defines them.

    ``last_inference`` is in ms since 1970-01-01 UTC, 0 before the first. ``responses`` are
    those of a model that answers a request 0 to n times. ``runtime`` says what really runs
    the model; it is there only if it was asked for.
    """

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Count = Count()
    fail: Count = Count()
    queue: Count = Count()
    compute_input: Count = Count()
    compute_infer: Count = Count()
    compute_output: Count = Count()
    cache_hit: Count = Count()
    cache_miss: Count = Count()
    batches: tuple[BatchFigures, ...] = ()
    responses: tuple[ResponseFigures, ...] = ()
    memory: tuple[MemoryFigures, ...] = ()
    runtime: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatisticsReport:
    """The figures of every model version asked for."""

    models: tuple[ModelFigures, ...]


@dataclass(frozen=True, slots=True)
class IndexedModel:
    """A line of the repository index; one that was never loaded has a name only."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """The repository index."""

    models: tuple[IndexedModel, ...]


@dataclass(frozen=True, slots=True)
class Regions:
    """The registered regions of one kind."""

    kind: Memory
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """It was done, and there is nothing to say about it."""


Reply = (
    Health
    | ServerDescription
    | ModelDescription
    | Configuration
    | StatisticsReport
    | Index
    | Regions
    | Accepted
    | InferResponse
)
