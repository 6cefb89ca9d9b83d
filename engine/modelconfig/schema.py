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


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """``ModelOptimizationPolicy``, as far as a backend here reads it.

    ``graph_level`` None means that no ``graph`` message is present. What this engine does
    not interpret is kept in ``ModelConfig.other``.
    """

    graph_level: int | None = None
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
    ensemble_scheduling: tuple[EnsembleStep, ...] | None = None
    instance_group: tuple[InstanceGroup, ...] = ()
    default_model_filename: str = ""
    cc_model_filenames: Mapping[str, str] = field(default_factory=dict)
    metric_tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    decoupled: bool = False
    response_cache: bool = False
    other: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_sequence_batching(self) -> bool:
        """Whether the sequence batcher is asked for (a later scheduler; see ``other``)."""
        return "sequence_batching" in self.other

    @property
    def is_ensemble(self) -> bool:
        """Whether this model is a pipeline of others."""
        return self.platform == "ensemble" or self.ensemble_scheduling is not None
