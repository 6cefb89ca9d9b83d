"""Which messages of ``model_config.proto`` stand for which values of ``schema``.

Owns: the table, and the few fields that need more than a table. Knows the messages by their
fields' names only; the generated code is ``convert``'s.
"""

from __future__ import annotations

from google.protobuf import text_format

from engine.modelconfig import schema
from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path, written
from engine.modelconfig.mapping import (
    CHOSEN,
    SCALAR,
    SCALARS,
    STRINGS_BY_NAME,
    Codec,
    Correspondence,
    Gathered,
    Message,
    Value,
    by_name,
    enum,
    enum_word,
    inside,
    numbers_inside,
    optional,
    repeated,
    restore,
    strings_inside,
)
from engine.types import DType

DTYPES = {dtype.config_name: dtype for dtype in DType}

# What people write for a type, having used other tools.
_ALIASES = {
    "FLOAT": "FP32",
    "FLOAT16": "FP16",
    "FLOAT32": "FP32",
    "FLOAT64": "FP64",
    "BFLOAT16": "BF16",
    "HALF": "FP16",
    "DOUBLE": "FP64",
    "INT": "INT32",
    "LONG": "INT64",
    "BOOLEAN": "BOOL",
    "BYTES": "STRING",
}


def nearest_type(word: str) -> str:
    """Suggest the data type that was probably meant."""
    bare = word.upper().removeprefix("TYPE_")
    meant = f"TYPE_{_ALIASES.get(bare, bare)}"
    if meant in DTYPES:
        return f"did you mean {meant!r}?"
    return near(word, DTYPES)


def _read_dtype(message: Message, name: str, path: Path, gathered: Gathered) -> DType:
    word = enum_word(message, name)
    if word in DTYPES:
        return DTYPES[word]
    if getattr(message, name) == 0:
        what = f"{path[-3]} {message.name!r} must specify 'data_type'"
        hint = (
            "add the type, as in data_type: TYPE_FP32, or leave every input and output out to "
            "have them read from the model file"
        )
        gathered.findings.append(Finding(path, f"model {what}", hint))
    else:
        what = f"{written(path)}: no such value {word or getattr(message, name)}"
        gathered.findings.append(Finding(path, what, nearest_type(word)))
    return DType.FP32


def _write_dtype(message: Message, name: str, value: Value) -> None:
    values = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_name
    setattr(message, name, values[value.config_name].number)


def _read_policy(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
    del path, gathered
    if not message.HasField(name):
        return None
    policy = getattr(message, name)
    match policy.WhichOneof("policy_choice"):
        case "latest":
            return schema.VersionPolicy(latest=policy.latest.num_versions)
        case "all":
            return schema.VersionPolicy(all=True)
        case "specific":
            return schema.VersionPolicy(specific=tuple(policy.specific.versions))
        case _:
            return schema.VersionPolicy()


def _write_policy(message: Message, name: str, value: schema.VersionPolicy | None) -> None:
    if value is None:
        return
    policy = getattr(message, name)
    policy.SetInParent()
    if value.latest is not None:
        policy.latest.SetInParent()
        policy.latest.num_versions = value.latest
    elif value.specific is not None:
        policy.specific.SetInParent()
        policy.specific.versions.extend(value.specific)
    elif value.all:
        policy.all.SetInParent()


def _read_steps(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
    if not message.HasField(name):
        return None
    ensemble = getattr(message, name)
    if ensemble.max_inflight_requests:
        key = written((*path, "max_inflight_requests"))
        gathered.other[key] = f"max_inflight_requests: {ensemble.max_inflight_requests}\n"
    return repeated(_STEP).read(ensemble, "step", (*path, "step"), gathered)


def _write_steps(message: Message, name: str, value: Value) -> None:
    if value is not None:
        getattr(message, name).SetInParent()
        repeated(_STEP).write(getattr(message, name), "step", value)


def _read_dtype_if_any(message: Message, name: str, path: Path, gathered: Gathered) -> Value:
    return _read_dtype(message, name, path, gathered) if getattr(message, name) else None


def _write_dtype_if_any(message: Message, name: str, value: Value) -> None:
    if value is not None:
        _write_dtype(message, name, value)


_DTYPE = Codec(_read_dtype, _write_dtype)
_DTYPE_IF_ANY = Codec(_read_dtype_if_any, _write_dtype_if_any)
_RESHAPE = inside("shape", SCALARS)

_INPUT = Correspondence(
    schema.ModelInput,
    name=SCALAR,
    data_type=_DTYPE,
    dims=SCALARS,
    format=enum(schema.InputFormat),
    reshape=_RESHAPE,
    is_shape_tensor=SCALAR,
    allow_ragged_batch=SCALAR,
    optional=SCALAR,
    is_non_linear_format_io=SCALAR,
)
_OUTPUT = Correspondence(
    schema.ModelOutput,
    name=SCALAR,
    data_type=_DTYPE,
    dims=SCALARS,
    label_filename=SCALAR,
    reshape=_RESHAPE,
    is_shape_tensor=SCALAR,
    is_non_linear_format_io=SCALAR,
)
_RESOURCE = Correspondence(schema.Resource, name=SCALAR, count=SCALAR, is_global=("global", SCALAR))
_RATE_LIMITER = Correspondence(schema.RateLimiter, resources=repeated(_RESOURCE), priority=SCALAR)
_GROUP = Correspondence(
    schema.InstanceGroup,
    name=SCALAR,
    kind=enum(schema.InstanceKind),
    count=SCALAR,
    rate_limiter=optional(_RATE_LIMITER),
    gpus=SCALARS,
    profile=SCALARS,
    passive=SCALAR,
    host_policy=SCALAR,
)
_QUEUE_POLICY = Correspondence(
    schema.QueuePolicy,
    timeout_action=enum(schema.TimeoutAction),
    default_timeout_microseconds=SCALAR,
    allow_timeout_override=SCALAR,
    max_queue_size=SCALAR,
)
_DYNAMIC = Correspondence(
    schema.DynamicBatching,
    preferred_batch_size=SCALARS,
    max_queue_delay_microseconds=SCALAR,
    preserve_ordering=SCALAR,
    priority_levels=SCALAR,
    default_priority_level=SCALAR,
    default_queue_policy=optional(_QUEUE_POLICY),
    priority_queue_policy=by_name(_QUEUE_POLICY),
)
_CONTROL = Correspondence(
    schema.Control,
    kind=enum(schema.ControlKind),
    int32_false_true=SCALARS,
    fp32_false_true=SCALARS,
    bool_false_true=SCALARS,
    data_type=_DTYPE_IF_ANY,
)
_CONTROL_INPUT = Correspondence(schema.ControlInput, name=SCALAR, control=repeated(_CONTROL))
_INITIAL_STATE = Correspondence(
    schema.InitialState,
    data_type=_DTYPE_IF_ANY,
    dims=SCALARS,
    name=SCALAR,
    zero_data=CHOSEN,
    data_file=CHOSEN,
)
_STATE = Correspondence(
    schema.State,
    input_name=SCALAR,
    output_name=SCALAR,
    data_type=_DTYPE_IF_ANY,
    dims=SCALARS,
    initial_state=repeated(_INITIAL_STATE),
    use_same_buffer_for_input_output=SCALAR,
    use_growable_memory=SCALAR,
)
_DIRECT = Correspondence(
    schema.SequenceDirect, max_queue_delay_microseconds=SCALAR, minimum_slot_utilization=SCALAR
)
_OLDEST = Correspondence(
    schema.SequenceOldest,
    max_candidate_sequences=SCALAR,
    preferred_batch_size=SCALARS,
    max_queue_delay_microseconds=SCALAR,
    preserve_ordering=SCALAR,
)
_SEQUENCE = Correspondence(
    schema.SequenceBatching,
    max_sequence_idle_microseconds=SCALAR,
    control_input=repeated(_CONTROL_INPUT),
    state=repeated(_STATE),
    direct=optional(_DIRECT),
    oldest=optional(_OLDEST),
    iterative_sequence=SCALAR,
)
_BATCH_INPUT = Correspondence(
    schema.BatchInput,
    kind=enum(schema.BatchInputKind),
    target_name=SCALARS,
    data_type=_DTYPE_IF_ANY,
    source_input=SCALARS,
)
_BATCH_OUTPUT = Correspondence(
    schema.BatchOutput,
    target_name=SCALARS,
    kind=enum(schema.BatchOutputKind),
    source_input=SCALARS,
)
_WARMUP_INPUT = Correspondence(
    schema.WarmupInput,
    data_type=_DTYPE_IF_ANY,
    dims=SCALARS,
    zero_data=CHOSEN,
    random_data=CHOSEN,
    input_data_file=CHOSEN,
)
_WARMUP = Correspondence(
    schema.ModelWarmup,
    name=SCALAR,
    batch_size=SCALAR,
    inputs=by_name(_WARMUP_INPUT),
    count=SCALAR,
)
_METRIC_CONTROL = Correspondence(
    schema.MetricControl,
    family=("metric_identifier", inside("family", SCALAR, absent="")),
    buckets=("histogram_options", inside("buckets", SCALARS)),
)
_ACCELERATOR = Correspondence(schema.Accelerator, name=SCALAR, parameters=STRINGS_BY_NAME)
_ACCELERATORS = Correspondence(
    schema.ExecutionAccelerators,
    gpu_execution_accelerator=repeated(_ACCELERATOR),
    cpu_execution_accelerator=repeated(_ACCELERATOR),
)
_GRAPH_BOUND = Correspondence(schema.GraphBound, batch_size=SCALAR, input=numbers_inside("dim"))
_GRAPH_SPEC = Correspondence(
    schema.GraphSpec,
    batch_size=SCALAR,
    input=numbers_inside("dim"),
    graph_lower_bound=optional(_GRAPH_BOUND),
)
_CUDA = Correspondence(
    schema.CudaOptions,
    graphs=SCALAR,
    busy_wait_events=SCALAR,
    graph_spec=repeated(_GRAPH_SPEC),
    output_copy_stream=SCALAR,
)
_OPTIMIZATION = Correspondence(
    schema.Optimization,
    graph_level=("graph", inside("level", SCALAR)),
    priority=enum(schema.ModelPriority),
    cuda=optional(_CUDA),
    execution_accelerators=optional(_ACCELERATORS),
    input_pinned_memory=inside("enable", SCALAR),
    output_pinned_memory=inside("enable", SCALAR),
    gather_kernel_buffer_threshold=SCALAR,
    eager_batching=SCALAR,
)
_STEP = Correspondence(
    schema.EnsembleStep,
    model_name=SCALAR,
    model_version=SCALAR,
    input_map=STRINGS_BY_NAME,
    output_map=STRINGS_BY_NAME,
)
_CONFIG = Correspondence(
    schema.ModelConfig,
    name=SCALAR,
    platform=SCALAR,
    backend=SCALAR,
    runtime=SCALAR,
    version_policy=Codec(_read_policy, _write_policy),
    max_batch_size=SCALAR,
    input=repeated(_INPUT),
    output=repeated(_OUTPUT),
    optimization=optional(_OPTIMIZATION),
    dynamic_batching=optional(_DYNAMIC),
    sequence_batching=optional(_SEQUENCE),
    ensemble_scheduling=Codec(_read_steps, _write_steps),
    instance_group=repeated(_GROUP),
    default_model_filename=SCALAR,
    cc_model_filenames=STRINGS_BY_NAME,
    metric_tags=STRINGS_BY_NAME,
    parameters=strings_inside("string_value"),
    decoupled=("model_transaction_policy", inside("decoupled", SCALAR, absent=False)),
    response_cache=("response_cache", inside("enable", SCALAR, absent=False)),
    batch_input=repeated(_BATCH_INPUT),
    batch_output=repeated(_BATCH_OUTPUT),
    model_warmup=repeated(_WARMUP),
    model_metrics=("model_metrics", inside("metric_control", repeated(_METRIC_CONTROL))),
)


def schema_schedulers(config: schema.ModelConfig) -> tuple[str, ...]:
    """Name the schedulers a configuration asks for; more than one cannot be."""
    given = {
        "dynamic_batching": config.dynamic_batching is not None,
        "sequence_batching": config.sequence_batching is not None,
        "ensemble_scheduling": config.ensemble_scheduling is not None,
    }
    return tuple(name for name, is_given in given.items() if is_given)


def only_one(schedulers: tuple[str, ...]) -> str:
    """Say that alternatives were given together."""
    return f"only one of {' and '.join(schedulers)} may be given"


def read(message: Message) -> tuple[schema.ModelConfig, tuple[Finding, ...]]:
    """Turn a message into a configuration.

    Where something has no value in the schema, a finding says so and a stand-in is put in.
    """
    gathered = Gathered()
    config: schema.ModelConfig = _CONFIG.read(message, (), gathered, other=gathered.other)
    return config, tuple(gathered.findings)


def write(config: schema.ModelConfig, message: Message) -> tuple[Finding, ...]:
    """Fill an empty message with a configuration; the findings say what did not fit."""
    schedulers = schema_schedulers(config)
    if len(schedulers) > 1:
        # The proto has them as alternatives: to write one would silently unset the other.
        return (Finding((schedulers[1],), only_one(schedulers)),)
    try:
        _CONFIG.write(message, config)
        restore(message, config.other)
    except (text_format.ParseError, ValueError, TypeError) as fault:
        return (Finding((), f"the configuration cannot be written: {fault}"),)
    return ()
