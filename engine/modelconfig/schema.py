"""The model configuration as frozen values.

Fields bear the names of Triton's ``model_config.proto``, so that whoever knows the file
knows these; ``convert`` is the only module that turns one into the other. A message that
is absent is None, which differs from one that is present and empty (an absent
``dynamic_batching`` means that no batcher runs). Durations stay in the unit their names give.

Owns: the meaning of each field and the checks that need one object. Does not own: defaults
(``complete``), text and JSON (``convert``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from engine.types import DType

Dims = tuple[int, ...]


class InstanceKind(Enum):
    """Where the instances of a group run."""

    KIND_AUTO = "KIND_AUTO"
    KIND_GPU = "KIND_GPU"
    KIND_CPU = "KIND_CPU"
    KIND_MODEL = "KIND_MODEL"


class InputFormat(Enum):
    """How the dimensions of an image input are laid out."""

    FORMAT_NONE = "FORMAT_NONE"
    FORMAT_NHWC = "FORMAT_NHWC"
    FORMAT_NCHW = "FORMAT_NCHW"


class TimeoutAction(Enum):
    """What becomes of a request whose time in the queue is up."""

    REJECT = "REJECT"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """One input, as the configuration declares it; ``dims`` exclude the batch dimension."""

    name: str
    data_type: DType
    dims: Dims
    format: InputFormat = InputFormat.FORMAT_NONE
    reshape: Dims | None = None
    is_shape_tensor: bool = False
    allow_ragged_batch: bool = False
    optional: bool = False
    is_non_linear_format_io: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """One output, as the configuration declares it; ``dims`` exclude the batch dimension."""

    name: str
    data_type: DType
    dims: Dims
    label_filename: str = ""
    reshape: Dims | None = None
    is_shape_tensor: bool = False
    is_non_linear_format_io: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPolicy:
    """Which versions are served: the ``latest`` n, ``all`` of them, or ``specific`` ones.

    Exactly one of the three is set.
    """

    latest: int | None = None
    all: bool = False
    specific: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A rate limiter resource an instance must hold while it runs."""

    name: str
    count: int
    is_global: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimiter:
    """What an instance group asks of the rate limiter."""

    resources: tuple[Resource, ...] = ()
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """``count`` instances of one kind (for KIND_GPU: on each of ``gpus``)."""

    name: str = ""
    kind: InstanceKind = InstanceKind.KIND_AUTO
    count: int = 0
    rate_limiter: RateLimiter | None = None
    gpus: tuple[int, ...] = ()
    profile: tuple[str, ...] = ()
    passive: bool = False
    host_policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How a queue treats requests that wait too long, or are too many."""

    timeout_action: TimeoutAction = TimeoutAction.REJECT
    default_timeout_microseconds: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicBatching:
    """The dynamic batcher's settings."""

    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    default_queue_policy: QueuePolicy | None = None
    priority_queue_policy: Mapping[int, QueuePolicy] = field(default_factory=dict)


class ControlKind(Enum):
    """What a sequence batcher tells a model through a control input."""

    CONTROL_SEQUENCE_START = "CONTROL_SEQUENCE_START"
    CONTROL_SEQUENCE_READY = "CONTROL_SEQUENCE_READY"
    CONTROL_SEQUENCE_END = "CONTROL_SEQUENCE_END"
    CONTROL_SEQUENCE_CORRID = "CONTROL_SEQUENCE_CORRID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control: its kind, and how false and true are written (one of the three pairs).

    The correlation id has a ``data_type`` instead of a pair.
    """

    kind: ControlKind
    int32_false_true: tuple[int, ...] = ()
    fp32_false_true: tuple[float, ...] = ()
    bool_false_true: tuple[bool, ...] = ()
    data_type: DType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlInput:
    """An input of the model that the sequence batcher fills."""

    name: str
    control: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialState:
    """What a state holds when a sequence starts: zeros, or a file in ``initial_state/``.

    Of ``zero_data`` and ``data_file`` at most one is not None.
    """

    data_type: DType | None = None
    dims: Dims = ()
    name: str = ""
    zero_data: bool | None = None
    data_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Implicit state: an output of the model that comes back as an input of the next request."""

    input_name: str
    output_name: str
    data_type: DType | None = None
    dims: Dims = ()
    initial_state: tuple[InitialState, ...] = ()
    use_same_buffer_for_input_output: bool = False
    use_growable_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDirect:
    """The direct strategy: a sequence keeps one batch slot of one instance for its life."""

    max_queue_delay_microseconds: int = 0
    minimum_slot_utilization: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceOldest:
    """The oldest strategy: the requests of many sequences go through a dynamic batcher."""

    max_candidate_sequences: int = 0
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_microseconds: int = 0
    preserve_ordering: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceBatching:
    """The sequence batcher's settings. At most one of ``direct`` and ``oldest`` is set."""

    max_sequence_idle_microseconds: int = 0
    control_input: tuple[ControlInput, ...] = ()
    state: tuple[State, ...] = ()
    direct: SequenceDirect | None = None
    oldest: SequenceOldest | None = None
    iterative_sequence: bool = False


class BatchInputKind(Enum):
    """What a batch input tells a model of the batch it runs."""

    BATCH_ELEMENT_COUNT = "BATCH_ELEMENT_COUNT"
    BATCH_ACCUMULATED_ELEMENT_COUNT = "BATCH_ACCUMULATED_ELEMENT_COUNT"
    BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
    BATCH_MAX_ELEMENT_COUNT_AS_SHAPE = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
    BATCH_ITEM_SHAPE = "BATCH_ITEM_SHAPE"
    BATCH_ITEM_SHAPE_FLATTEN = "BATCH_ITEM_SHAPE_FLATTEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInput:
    """Inputs of the model that are computed from the requests of a batch."""

    kind: BatchInputKind = BatchInputKind.BATCH_ELEMENT_COUNT
    target_name: tuple[str, ...] = ()
    data_type: DType | None = None
    source_input: tuple[str, ...] = ()


class BatchOutputKind(Enum):
    """How an output of a whole batch is dealt out to its requests."""

    BATCH_SCATTER_WITH_INPUT_SHAPE = "BATCH_SCATTER_WITH_INPUT_SHAPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """Outputs that are dealt out by the shapes of an input."""

    target_name: tuple[str, ...] = ()
    kind: BatchOutputKind = BatchOutputKind.BATCH_SCATTER_WITH_INPUT_SHAPE
    source_input: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupInput:
    """One input of a warm-up sample: zeros, random values, or a file in ``warmup/``.

    At most one of the last three is not None.
    """

    data_type: DType | None = None
    dims: Dims = ()
    zero_data: bool | None = None
    random_data: bool | None = None
    input_data_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWarmup:
    """A request that every instance runs before the model is ready; ``count`` 0 means once."""

    name: str = ""
    batch_size: int = 0
    inputs: Mapping[str, WarmupInput] = field(default_factory=dict)
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricControl:
    """How one family of metrics is kept for this model; ``buckets`` None are the default's."""

    family: str = ""
    buckets: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One execution accelerator, by Triton's name: tensorrt, cuda, openvino ..."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionAccelerators:
    """The accelerators to try, in order, on GPU and on CPU instances."""

    gpu_execution_accelerator: tuple[Accelerator, ...] = ()
    cpu_execution_accelerator: tuple[Accelerator, ...] = ()


class ModelPriority(Enum):
    """How a GPU ranks a model's work against other models'."""

    DEFAULT = "PRIORITY_DEFAULT"
    MAX = "PRIORITY_MAX"
    MIN = "PRIORITY_MIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphBound:
    """The least batch size and dims, by input, that a CUDA graph is for."""

    batch_size: int = 0
    input: Mapping[str, Dims] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSpec:
    """The batch size and dims, by input, that a CUDA graph is for, or the greatest of them."""

    batch_size: int = 0
    input: Mapping[str, Dims] = field(default_factory=dict)
    graph_lower_bound: GraphBound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaOptions:
    """What a model asks of CUDA."""

    graphs: bool = False
    busy_wait_events: bool = False
    graph_spec: tuple[GraphSpec, ...] = ()
    output_copy_stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """``ModelOptimizationPolicy``, as far as a backend here reads it.

    ``graph_level`` None means that no ``graph`` message is present. What this engine does
    not interpret is kept in ``ModelConfig.other``.
    """

    graph_level: int | None = None
    priority: ModelPriority = ModelPriority.DEFAULT
    cuda: CudaOptions | None = None
    execution_accelerators: ExecutionAccelerators | None = None
    input_pinned_memory: bool | None = None
    output_pinned_memory: bool | None = None
    gather_kernel_buffer_threshold: int = 0
    eager_batching: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleStep:
    """One model of an ensemble and how its tensors are wired."""

    model_name: str
    model_version: int = -1
    input_map: Mapping[str, str] = field(default_factory=dict)
    output_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A whole ``config.pbtxt``.

    At most one of ``dynamic_batching``, ``sequence_batching`` and ``ensemble_scheduling`` is
    set (they are a oneof in the schema). Messages this engine does not interpret yet are kept
    word for word in ``other`` (field name to protobuf text), so that reading and writing a
    file loses nothing.
    """

    name: str = ""
    platform: str = ""
    backend: str = ""
    runtime: str = ""
    version_policy: VersionPolicy | None = None
    max_batch_size: int = 0
    input: tuple[ModelInput, ...] = ()
    output: tuple[ModelOutput, ...] = ()
    optimization: Optimization | None = None
    dynamic_batching: DynamicBatching | None = None
    sequence_batching: SequenceBatching | None = None
    ensemble_scheduling: tuple[EnsembleStep, ...] | None = None
    instance_group: tuple[InstanceGroup, ...] = ()
    default_model_filename: str = ""
    cc_model_filenames: Mapping[str, str] = field(default_factory=dict)
    metric_tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    decoupled: bool = False
    response_cache: bool = False
    batch_input: tuple[BatchInput, ...] = ()
    batch_output: tuple[BatchOutput, ...] = ()
    model_warmup: tuple[ModelWarmup, ...] = ()
    model_metrics: tuple[MetricControl, ...] | None = None
    other: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ensemble(self) -> bool:
        """Whether this model is a pipeline of others."""
        return self.platform == "ensemble" or self.ensemble_scheduling is not None

    @property
    def max_inflight_requests(self) -> int:
        """How many calls of one step an ensemble's request may have under way; 0 is any number."""
        text = self.other.get("ensemble_scheduling.max_inflight_requests", "")
        return int(text.rpartition(":")[2] or 0)

    @property
    def filled_inputs(self) -> frozenset[str]:
        """The inputs of the model file that no request brings: a batcher fills them."""
        names = {name for made in self.batch_input for name in made.target_name}
        if self.sequence_batching is not None:
            names.update(tensor.name for tensor in self.sequence_batching.control_input)
            names.update(state.input_name for state in self.sequence_batching.state)
        return frozenset(names)

    @property
    def kept_outputs(self) -> frozenset[str]:
        """The outputs of the model file that are implicit state: a batcher keeps them."""
        batching = self.sequence_batching
        return frozenset(state.output_name for state in (batching.state if batching else ()))
