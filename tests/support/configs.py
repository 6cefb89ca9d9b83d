"""Hypothesis strategies for model configurations: every field, also those kept as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from hypothesis import strategies as st

from engine.modelconfig.schema import (
    Accelerator,
    BatchInput,
    BatchInputKind,
    BatchOutput,
    BatchOutputKind,
    Control,
    ControlInput,
    ControlKind,
    CudaOptions,
    DynamicBatching,
    EnsembleStep,
    ExecutionAccelerators,
    GraphBound,
    GraphSpec,
    InitialState,
    InputFormat,
    InstanceGroup,
    InstanceKind,
    MetricControl,
    ModelConfig,
    ModelInput,
    ModelOutput,
    ModelPriority,
    ModelWarmup,
    Optimization,
    QueuePolicy,
    RateLimiter,
    Resource,
    SequenceBatching,
    SequenceDirect,
    SequenceOldest,
    State,
    TimeoutAction,
    VersionPolicy,
    WarmupInput,
)
from engine.types import DType

_T = TypeVar("_T")

_COINS = st.booleans()
_WORDS = st.text(
    st.characters(exclude_categories=["Cs"]),  # lone surrogates are no text
    max_size=8,
)
_INT32 = st.integers(-(2**31), 2**31 - 1)
_UINT32 = st.integers(0, 2**32 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_UINT64 = st.integers(0, 2**64 - 1)
_DIMS = st.lists(_INT64, max_size=4).map(tuple)
_MAPS: st.SearchStrategy[Mapping[str, str]] = st.dictionaries(_WORDS, _WORDS, max_size=3)


def _few(of: st.SearchStrategy[_T], most: int = 3) -> st.SearchStrategy[tuple[_T, ...]]:
    return st.lists(of, max_size=most).map(tuple)


_INPUTS = st.builds(
    ModelInput,
    name=_WORDS,
    data_type=st.sampled_from(DType),
    dims=_DIMS,
    format=st.sampled_from(InputFormat),
    reshape=st.none() | _DIMS,
    is_shape_tensor=st.booleans(),
    allow_ragged_batch=st.booleans(),
    optional=st.booleans(),
    is_non_linear_format_io=st.booleans(),
)
_OUTPUTS = st.builds(
    ModelOutput,
    name=_WORDS,
    data_type=st.sampled_from(DType),
    dims=_DIMS,
    label_filename=_WORDS,
    reshape=st.none() | _DIMS,
    is_shape_tensor=st.booleans(),
    is_non_linear_format_io=st.booleans(),
)
_POLICIES = st.one_of(
    st.none(),
    st.builds(VersionPolicy, latest=_UINT32),
    st.just(VersionPolicy(all=True)),
    st.builds(VersionPolicy, specific=_few(_INT64)),
)
_GROUPS = st.builds(
    InstanceGroup,
    name=_WORDS,
    kind=st.sampled_from(InstanceKind),
    count=_INT32,
    rate_limiter=st.none()
    | st.builds(
        RateLimiter,
        resources=_few(st.builds(Resource, name=_WORDS, count=_UINT32, is_global=st.booleans()), 2),
        priority=_UINT32,
    ),
    gpus=_few(_INT32),
    profile=_few(_WORDS),
    passive=st.booleans(),
    host_policy=_WORDS,
)
_QUEUE_POLICIES = st.builds(
    QueuePolicy,
    timeout_action=st.sampled_from(TimeoutAction),
    default_timeout_microseconds=_UINT64,
    allow_timeout_override=st.booleans(),
    max_queue_size=_UINT32,
)
_BATCHING = st.builds(
    DynamicBatching,
    preferred_batch_size=_few(_INT32),
    max_queue_delay_microseconds=_UINT64,
    preserve_ordering=st.booleans(),
    priority_levels=_UINT64,
    default_priority_level=_UINT64,
    default_queue_policy=st.none() | _QUEUE_POLICIES,
    priority_queue_policy=st.dictionaries(_UINT64, _QUEUE_POLICIES, max_size=2),
)
_ACCELERATORS = _few(st.builds(Accelerator, name=_WORDS, parameters=_MAPS), 2)
_SHAPES = st.dictionaries(_WORDS, _few(_INT32), max_size=2)
_GRAPH_BOUNDS = st.builds(GraphBound, batch_size=_INT32, input=_SHAPES)
_CUDA = st.builds(
    CudaOptions,
    graphs=_COINS,
    busy_wait_events=_COINS,
    graph_spec=_few(
        st.builds(
            GraphSpec,
            batch_size=_INT32,
            input=_SHAPES,
            graph_lower_bound=st.none() | _GRAPH_BOUNDS,
        ),
        2,
    ),
    output_copy_stream=_COINS,
)
_OPTIMIZATION = st.builds(
    Optimization,
    graph_level=st.none() | _INT32,
    priority=st.sampled_from(ModelPriority),
    cuda=st.none() | _CUDA,
    execution_accelerators=st.none()
    | st.builds(
        ExecutionAccelerators,
        gpu_execution_accelerator=_ACCELERATORS,
        cpu_execution_accelerator=_ACCELERATORS,
    ),
    input_pinned_memory=st.none() | st.booleans(),
    output_pinned_memory=st.none() | st.booleans(),
    gather_kernel_buffer_threshold=_UINT32,
    eager_batching=st.booleans(),
)
_STEPS = _few(
    st.builds(
        EnsembleStep,
        model_name=_WORDS,
        model_version=_INT64,
        input_map=_MAPS,
        output_map=_MAPS,
    )
)

# What the engine does not interpret, in protobuf's own writing.
KEPT = {
    "model_operations": 'model_operations {\n  op_library_filename: "ops.so"\n}\n',
    "model_repository_agents": (
        'model_repository_agents {\n  agents {\n    name: "checksum"\n  }\n}\n'
    ),
}
_FLOATS = st.floats(width=32, allow_nan=False)
_DTYPE_IF_ANY = st.none() | st.sampled_from(DType)
_CONTROLS = st.builds(
    Control,
    kind=st.sampled_from(ControlKind),
    int32_false_true=_few(_INT32, 2),
    fp32_false_true=_few(_FLOATS, 2),
    bool_false_true=_few(_COINS, 2),
    data_type=_DTYPE_IF_ANY,
)
_INITIAL = st.one_of(
    st.builds(
        InitialState, data_type=_DTYPE_IF_ANY, dims=_DIMS, name=_WORDS, zero_data=st.none() | _COINS
    ),
    st.builds(InitialState, data_type=_DTYPE_IF_ANY, dims=_DIMS, name=_WORDS, data_file=_WORDS),
)
_STATES = st.builds(
    State,
    input_name=_WORDS,
    output_name=_WORDS,
    data_type=_DTYPE_IF_ANY,
    dims=_DIMS,
    initial_state=_few(_INITIAL, 2),
    use_same_buffer_for_input_output=_COINS,
    use_growable_memory=_COINS,
)
_DIRECT = st.builds(
    SequenceDirect, max_queue_delay_microseconds=_UINT64, minimum_slot_utilization=_FLOATS
)
_OLDEST = st.builds(
    SequenceOldest,
    max_candidate_sequences=_INT32,
    preferred_batch_size=_few(_INT32),
    max_queue_delay_microseconds=_UINT64,
    preserve_ordering=_COINS,
)
_SEQUENCES = st.builds(
    SequenceBatching,
    max_sequence_idle_microseconds=_UINT64,
    control_input=_few(st.builds(ControlInput, name=_WORDS, control=_few(_CONTROLS, 2)), 2),
    state=_few(_STATES, 2),
    iterative_sequence=_COINS,
).flatmap(
    lambda batching: st.one_of(
        st.just(batching),
        _DIRECT.map(lambda direct: replace(batching, direct=direct)),
        _OLDEST.map(lambda oldest: replace(batching, oldest=oldest)),
    )
)
_BATCH_INPUTS = st.builds(
    BatchInput,
    kind=st.sampled_from(BatchInputKind),
    target_name=_few(_WORDS, 2),
    data_type=_DTYPE_IF_ANY,
    source_input=_few(_WORDS, 2),
)
_BATCH_OUTPUTS = st.builds(
    BatchOutput,
    kind=st.sampled_from(BatchOutputKind),
    target_name=_few(_WORDS, 2),
    source_input=_few(_WORDS, 2),
)
_WARMUP_INPUTS = st.one_of(
    st.builds(WarmupInput, data_type=_DTYPE_IF_ANY, dims=_DIMS, zero_data=st.none() | _COINS),
    st.builds(WarmupInput, data_type=_DTYPE_IF_ANY, dims=_DIMS, random_data=_COINS),
    st.builds(WarmupInput, data_type=_DTYPE_IF_ANY, dims=_DIMS, input_data_file=_WORDS),
)
_WARMUPS = st.builds(
    ModelWarmup,
    name=_WORDS,
    batch_size=_UINT32,
    inputs=st.dictionaries(_WORDS, _WARMUP_INPUTS, max_size=2),
    count=_UINT32,
)
_METRICS = st.builds(
    MetricControl,
    family=_WORDS,
    buckets=st.none() | _few(st.floats(allow_nan=False)),
)
SECONDARY = "secondary_devices {\n  device_id: 7\n}\n"


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    """Any configuration the schema can hold, sensible or not."""
    other = dict(draw(st.dictionaries(st.sampled_from(sorted(KEPT)), st.none())))
    kept: dict[str, str] = {name: KEPT[name] for name in other}
    scheduler = draw(st.sampled_from(["none", "dynamic", "sequence", "ensemble"]))
    optimization: Optimization | None = draw(st.none() | _OPTIMIZATION)
    groups = draw(_few(_GROUPS))
    has_secondary = draw(_COINS)
    if groups and has_secondary:
        kept[f"instance_group[{len(groups) - 1}].secondary_devices"] = SECONDARY
    steps = draw(_STEPS) if scheduler == "ensemble" else None
    if steps is not None and draw(_COINS):
        kept["ensemble_scheduling.max_inflight_requests"] = "max_inflight_requests: 3\n"
    return ModelConfig(
        name=draw(_WORDS),
        platform=draw(_WORDS),
        backend=draw(_WORDS),
        runtime=draw(_WORDS),
        version_policy=draw(_POLICIES),
        max_batch_size=draw(_INT32),
        input=draw(_few(_INPUTS)),
        output=draw(_few(_OUTPUTS)),
        optimization=optimization,
        dynamic_batching=draw(_BATCHING) if scheduler == "dynamic" else None,
        sequence_batching=draw(_SEQUENCES) if scheduler == "sequence" else None,
        ensemble_scheduling=steps,
        instance_group=groups,
        default_model_filename=draw(_WORDS),
        cc_model_filenames=draw(_MAPS),
        metric_tags=draw(_MAPS),
        parameters=draw(_MAPS),
        decoupled=draw(_COINS),
        response_cache=draw(_COINS),
        batch_input=draw(_few(_BATCH_INPUTS, 2)),
        batch_output=draw(_few(_BATCH_OUTPUTS, 2)),
        model_warmup=draw(_few(_WARMUPS, 2)),
        model_metrics=draw(st.none() | _few(_METRICS, 2)),
        other=kept,
    )
