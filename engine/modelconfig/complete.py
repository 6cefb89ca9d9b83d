"""Defaults and auto-completion: from what a file says to what is served, and shown.

Owns: the rules by which Triton fills a configuration (ONNX Runtime's for a model file that
has a signature, instance groups, normalisation) and the full shapes that follow. Does not own:
reading the model file, nor which backend it is for (``repository.recognise``, which comes first).

1. From a file's signature, inputs and outputs are completed only if one of the two lists is
   empty, and only then are ``max_batch_size`` and the dynamic batcher touched (even an explicit
   ``max_batch_size: 0``).
   A file that names its batch dimension (OpenVINO's layouts) has these two touched always, and
   one that does not is only warned of a ``max_batch_size`` (``unnamed_batch``).
2. A model that is code says itself what is to be added (``adopt``), whatever is there already.
3. Instance groups and defaults are filled always, also with completion switched off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.errors import ConfigError, Problem
from engine.modelconfig.check import problems
from engine.modelconfig.findings import Finding
from engine.modelconfig.schema import (
    Dims,
    DynamicBatching,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    Optimization,
    SequenceBatching,
    VersionPolicy,
)
from engine.types import TensorSpec

__all__ = [
    "SELF_COMPLETED",
    "adopt",
    "complete",
    "input_specs",
    "output_specs",
    "problems",
    "unnamed_batch",
]

_ANY = -1
#: what a model may say of its own configuration (rule 2)
SELF_COMPLETED = ("input", "output", "max_batch_size", "dynamic_batching", "decoupled")
#: after so long without a request a sequence has ended, where the configuration says nothing
SEQUENCE_IDLE_US = 1_000_000
# These do better with two instances on a CPU, Triton says (SetDefaultInstanceCount).
_TWO_ON_CPU = {"onnxruntime", "tensorflow"}


def complete(  # noqa: PLR0913 - facts of as many owners: file, command line, machine
    config: ModelConfig,
    *,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    batchable: bool,
    named_batch: bool | None = None,
    most_rows: int = 0,
    default_max_batch_size: int = 4,
    auto: bool = True,
    gpus: tuple[int, ...] = (),
    auto_gpu: bool = True,
) -> ModelConfig:
    """Fill in all that a recognised configuration leaves open.

    ``inputs`` and ``outputs`` are the model file's own, full shapes; () if it has no
    signature. ``batchable``, ``named_batch`` and ``most_rows`` are as in ``backend.Signature``.
    ``gpus`` are the devices of this machine; without ``auto_gpu`` only a group that says
    KIND_GPU is put on them.

    Raises:
        ConfigError: ``max_batch_size`` is set and the model file's batch dimension is fixed.
    """
    whole = (config.input or config.batch_input) and config.output
    # A model file may have no input (it generates, or holds constants), but it has an output.
    if auto and outputs and not config.is_ensemble and not (whole and not named_batch):
        if named_batch is not None:
            default_max_batch_size = max(default_max_batch_size, 1)
            # Dims that have the model's whole rank leave no room for a batch in front.
            batchable = batchable and not _of_full_rank(config, inputs)
        elif not batchable and config.max_batch_size != 0:
            raise _cannot_batch(config, (*inputs, *outputs))
        # A file that says how much it can do needs no default.
        config = _from_file(config, inputs, outputs, batchable, most_rows or default_max_batch_size)
    return _normalised(config, gpus, auto_gpu=auto_gpu)


def adopt(config: ModelConfig, completed: ModelConfig) -> ModelConfig:
    """Take from a model's own completion what a model may say (rule 2)."""
    said = {name: getattr(completed, name) for name in SELF_COMPLETED}
    policy = "model_transaction_policy"  # said, though it says no more than saying nothing
    other = {
        **config.other,
        **{key: completed.other[key] for key in completed.other if key == policy},
    }
    return replace(config, other=other, **said)


def _from_file(
    config: ModelConfig,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    batchable: bool,  # noqa: FBT001 - a fact of the file
    default_max_batch_size: int,
) -> ModelConfig:
    """Apply rule 1 (``AutoCompleteConfig`` of the ONNX Runtime and OpenVINO backends)."""
    if batchable and config.max_batch_size == 0:
        config = replace(config, max_batch_size=max(default_max_batch_size, 0))
    scheduled = config.dynamic_batching is not None or config.sequence_batching is not None
    if batchable and config.max_batch_size > 1 and not scheduled:
        config = replace(config, dynamic_batching=DynamicBatching())
    batched = config.max_batch_size > 0
    if not config.input and not config.batch_input:
        brought = [spec for spec in inputs if spec.name not in config.filled_inputs]
        config = replace(config, input=tuple(_input(spec, batched=batched) for spec in brought))
    if not config.output:
        told = [spec for spec in outputs if spec.name not in config.kept_outputs]
        config = replace(config, output=tuple(_output(spec, batched=batched) for spec in told))
    return config


def _of_full_rank(config: ModelConfig, inputs: tuple[TensorSpec, ...]) -> bool:
    ranks = {spec.name: len(spec.shape) for spec in inputs}
    return config.max_batch_size == 0 and any(
        ranks.get(tensor.name) == len(tensor.dims if tensor.reshape is None else tensor.reshape)
        for tensor in config.input
    )


def _cannot_batch(config: ModelConfig, specs: Sequence[TensorSpec]) -> ConfigError:
    what = (
        f"autofill failed for model '{config.name}': model does not support batching while "
        "non-zero max_batch_size is specified"
    )
    fixed = next((spec for spec in specs if spec.shape[:1] != (_ANY,)), None)
    seen = f" ('{fixed.name}' has shape {list(fixed.shape)})" if fixed is not None else ""
    hint = f"set max_batch_size: 0, or export the model with a variable first dimension{seen}"
    return ConfigError([Problem(config.name, what, hint=hint)])


def unnamed_batch(config: ModelConfig, named_batch: bool | None) -> Iterator[Finding]:  # noqa: FBT001 - a fact of the file
    """Warn of a model that is to batch though its layouts do not say that it can (rule 1)."""
    if named_batch is False and config.max_batch_size > 0 and config.dynamic_batching is None:
        yield Finding(
            ("max_batch_size",),
            f"autofill warning for model '{config.name}': model does not support batching while "
            "non-zero max_batch_size is specified (its file names no batch dimension)",
            "write dynamic_batching {} if batches are to be made of requests",
            warning=True,
        )


def _dims(spec: TensorSpec, *, batched: bool) -> tuple[Dims, Dims | None]:
    """Give dims and reshape: dims may not be empty, so a scalar is one element.

    Of a batch of scalars the model sees the batch dimension alone, which takes a reshape. Without
    a batch there is none in Triton's configurations: the backend knows that its file has a scalar.
    """
    dims = spec.shape[1:] if batched else spec.shape
    if dims:
        return dims, None
    return (1,), () if batched else None


def _input(spec: TensorSpec, *, batched: bool) -> ModelInput:
    dims, reshape = _dims(spec, batched=batched)
    return ModelInput(
        name=spec.name,
        data_type=spec.dtype,
        dims=dims,
        reshape=reshape,
        optional=spec.optional and not batched,
    )


def _output(spec: TensorSpec, *, batched: bool) -> ModelOutput:
    dims, reshape = _dims(spec, batched=batched)
    return ModelOutput(name=spec.name, data_type=spec.dtype, dims=dims, reshape=reshape)


def _normalised(config: ModelConfig, gpus: tuple[int, ...], *, auto_gpu: bool) -> ModelConfig:
    """Apply rule 3 (Triton's ``NormalizeModelConfig`` and ``NormalizeInstanceGroup``)."""
    config = replace(config, version_policy=config.version_policy or VersionPolicy(latest=1))
    batching = config.dynamic_batching
    if batching is not None and not batching.preferred_batch_size and config.max_batch_size > 0:
        batching = replace(batching, preferred_batch_size=(config.max_batch_size,))
        config = replace(config, dynamic_batching=batching)
    if config.sequence_batching is not None:
        sequences = _sequences(config.sequence_batching, config.max_batch_size)
        config = replace(config, sequence_batching=sequences)
    if config.is_ensemble:
        return config
    optimization = config.optimization or Optimization()
    if optimization.input_pinned_memory is None:
        optimization = replace(optimization, input_pinned_memory=True)
    if optimization.output_pinned_memory is None:
        optimization = replace(optimization, output_pinned_memory=True)
    groups: Sequence[InstanceGroup] = config.instance_group or (InstanceGroup(name=config.name),)
    return replace(
        config,
        optimization=optimization,
        instance_group=tuple(
            _group(group, config, index, gpus, auto_gpu=auto_gpu)
            for index, group in enumerate(groups)
        ),
    )


def _sequences(batching: SequenceBatching, max_batch_size: int) -> SequenceBatching:
    """Fill in when a sequence is idle, and the preferred size; no strategy stays none: direct."""
    if batching.max_sequence_idle_microseconds == 0:
        batching = replace(batching, max_sequence_idle_microseconds=SEQUENCE_IDLE_US)
    oldest = batching.oldest
    if oldest is not None and not oldest.preferred_batch_size and max_batch_size > 0:
        batching = replace(batching, oldest=replace(oldest, preferred_batch_size=(max_batch_size,)))
    return batching


def _group(
    group: InstanceGroup,
    config: ModelConfig,
    index: int,
    gpus: tuple[int, ...],
    *,
    auto_gpu: bool,
) -> InstanceGroup:
    kind = group.kind
    if kind is InstanceKind.KIND_AUTO:
        usable = auto_gpu and bool(gpus) and set(group.gpus) <= set(gpus)
        kind = InstanceKind.KIND_GPU if usable else InstanceKind.KIND_CPU
        if not usable:  # the devices it wished for are not there, so it wishes for none
            group = replace(group, gpus=())
    twice = kind is InstanceKind.KIND_CPU and config.backend in _TWO_ON_CPU
    on_all = kind is InstanceKind.KIND_GPU and not group.gpus
    return replace(
        group,
        name=group.name or f"{config.name}_{index}",
        kind=kind,
        count=group.count if group.count != 0 else 2 if twice else 1,
        gpus=gpus if on_all else group.gpus,
    )


def input_specs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """List the inputs as a client sees them: full shapes, -1 in front of a batching model's."""
    return tuple(
        TensorSpec(
            tensor.name,
            tensor.data_type,
            tensor.dims if tensor.is_shape_tensor else _full(tensor.dims, config),
            tensor.optional,
        )
        for tensor in config.input
    )


def output_specs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """List the outputs as a client sees them."""
    return tuple(
        TensorSpec(
            tensor.name,
            tensor.data_type,
            tensor.dims if tensor.is_shape_tensor else _full(tensor.dims, config),
        )
        for tensor in config.output
    )


def _full(dims: Dims, config: ModelConfig) -> Dims:
    return (_ANY, *dims) if config.max_batch_size > 0 else dims
