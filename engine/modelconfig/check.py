"""What a configuration that reads well may still have wrong.

Owns: the rules that need nothing but the configuration, in the words of Triton's
``ValidateModelConfig`` where it has words, and a hint of ours. Does not own: what the model
file says (``agree``), how an ensemble is wired (``wiring``), nor places in a text
(``findings.located``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import prod

from engine.errors import Problem
from engine.modelconfig.findings import Finding, located
from engine.modelconfig.locate import Path, Places
from engine.modelconfig.messages import only_one, schema_schedulers
from engine.modelconfig.schema import (
    Dims,
    DynamicBatching,
    InputFormat,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    ModelInput,
    ModelOutput,
    QueuePolicy,
    TimeoutAction,
)
from engine.modelconfig.wiring import wiring

_ANY = -1  # the dimension that may vary

PLATFORMS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "pytorch",
}
_ENSEMBLE = "ensemble"


def problems(
    config: ModelConfig,
    source: str,
    places: Places | None = None,
    gpus: Sequence[int] | None = None,
) -> tuple[Problem, ...]:
    """Say everything that is wrong with a configuration.

    ``places`` (of the text it was read from) gives each problem its line; ``gpus`` are the
    devices of this machine, None if they are not known and not to be judged.
    """
    return located(findings(config, gpus), source, places)


def findings(config: ModelConfig, gpus: Sequence[int] | None = None) -> tuple[Finding, ...]:
    """Say the same by the paths of the fields."""
    rules: tuple[Callable[[ModelConfig], Iterator[Finding]], ...] = (
        _whole,
        _tensors,
        _schedulers,
        wiring,
    )
    found = [finding for rule in rules for finding in rule(config)]
    found += _groups(config, gpus)
    return tuple(found)


def _whole(config: ModelConfig) -> Iterator[Finding]:
    if config.max_batch_size < 0:
        yield Finding(
            ("max_batch_size",),
            f"'max_batch_size' must be non-negative value for {config.name}",
            "0 switches batching off",
        )
    expected = PLATFORMS.get(config.platform)
    if config.platform == _ENSEMBLE:
        if config.backend:
            yield Finding(
                ("backend",),
                f"Ensemble model '{config.name}' must have platform type 'ensemble' and empty "
                "backend type",
                "remove the backend",
            )
    elif config.platform and config.backend and expected != config.backend:
        known = set(PLATFORMS.values())
        if config.backend in known or expected is not None:
            matching = [name for name, backend in PLATFORMS.items() if backend == config.backend]
            hint = f"write platform: {' or '.join(matching)!r}, or leave it out"
            yield Finding(
                ("platform",),
                "unexpected 'platform' and 'backend' pair, "
                f"got:{config.platform}, {config.backend}",
                hint if matching else "leave one of them out",
            )
    if config.decoupled and config.response_cache:
        yield Finding(
            ("response_cache",),
            f"Response Cache does not currently support model {config.name} with 'decoupled' "
            "transaction policy. Please disable the response cache.",
        )


def _tensors(config: ModelConfig) -> Iterator[Finding]:
    lists: tuple[tuple[str, Sequence[ModelInput | ModelOutput]], ...] = (
        ("input", config.input),
        ("output", config.output),
    )
    for kind, tensors in lists:
        counts = Counter(tensor.name for tensor in tensors if tensor.name)
        for index, tensor in enumerate(tensors):
            path: Path = (kind, index)
            if counts[tensor.name] > 1:
                counts[tensor.name] = 0  # said once
                what = f"model {kind} {tensor.name!r} is given more than once for {config.name}"
                yield Finding((*path, "name"), what, "every name may stand once")
            yield from _tensor(tensor, kind, path, config)
    for index, tensor in enumerate(config.input):
        yield from _input(tensor, ("input", index), config)


def _tensor(
    tensor: ModelInput | ModelOutput, kind: str, path: Path, config: ModelConfig
) -> Iterator[Finding]:
    after = f" for {config.name}"
    if not tensor.name:
        yield Finding(path, f"model {kind} must specify 'name'{after}")
        return
    prefix = f"model {kind} '{tensor.name}' "
    if not tensor.dims:
        hint = (
            "dims exclude the batch dimension; a scalar has dims: [ 1 ] and reshape { shape: [ ] }"
        )
        yield Finding(path, f"{prefix}must specify 'dims'{after}", hint)
    for index, dim in enumerate(tensor.dims):
        if dim < 1 and dim != _ANY:
            yield Finding(
                (*path, "dims", index),
                f"{prefix}dimension must be integer >= 1, or -1 to indicate a variable-size "
                f"dimension{after}",
            )
    if tensor.reshape is not None:
        what = _reshape(tensor.dims, tensor.reshape)
        if what:
            yield Finding((*path, "reshape"), f"{prefix}{what}{after}")
    if tensor.is_shape_tensor and config.platform not in {"", "tensorrt_plan"}:
        what = f"shape tensors are only supported for TensorRT platform{after}"
        yield Finding((*path, "is_shape_tensor"), what)
    if tensor.is_non_linear_format_io and config.platform not in {"", "tensorrt_plan"}:
        what = f"Non-linear IO format is only supported for the TensorRT platform{after}"
        yield Finding((*path, "is_non_linear_format_io"), what)


def _reshape(dims: Dims, shape: Dims) -> str:
    """Say what is wrong with a reshape (Triton's ``ValidateIOShape``); "" if nothing is.

    Triton refuses an empty shape for a model that does not batch; here a scalar is a scalar.
    """
    if any(dim < 1 and dim != _ANY for dim in shape):
        return (
            "reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension"
        )
    if dims.count(_ANY) != shape.count(_ANY):
        return "has different number of variable-size dimensions for dims and reshape"
    if _runs(dims) != _runs(shape):
        return "has different size for dims and reshape"
    return ""


def _runs(dims: Dims) -> list[int]:
    """Multiply the dimensions between those that may vary."""
    runs: list[list[int]] = [[]]
    for dim in dims:
        if dim == _ANY:
            runs.append([])
        else:
            runs[-1].append(dim)
    return [prod(run) for run in runs]


def _input(tensor: ModelInput, path: Path, config: ModelConfig) -> Iterator[Finding]:
    image = tensor.format is not InputFormat.FORMAT_NONE
    if image and len(tensor.dims) != len("HWC"):
        what = f"model input NHWC/NCHW require 3 dims for {config.name}"
        yield Finding((*path, "format"), what, f"this input has {len(tensor.dims)}")
    if tensor.optional and config.max_batch_size > 0 and config.backend == "onnxruntime":
        yield Finding(
            (*path, "optional"),
            f"'optional' is set to true for input '{tensor.name}' while the backend model doesn't "
            f"support optional input with batching for {config.name}",
            "set max_batch_size: 0, or make the input required",
        )


def _schedulers(config: ModelConfig) -> Iterator[Finding]:
    schedulers = schema_schedulers(config)
    if len(schedulers) > 1:
        yield Finding((schedulers[1],), only_one(schedulers), "keep one of them")
    if config.dynamic_batching is not None:
        yield from _dynamic(config.dynamic_batching, config)


def _dynamic(batching: DynamicBatching, config: ModelConfig) -> Iterator[Finding]:
    root = "dynamic_batching"
    for index, size in enumerate(batching.preferred_batch_size):
        path = (root, "preferred_batch_size", index)
        if size <= 0:
            what = f"dynamic batching preferred size must be positive for {config.name}"
            yield Finding(path, what)
        elif size > config.max_batch_size:
            yield Finding(
                path,
                f"dynamic batching preferred size must be <= max batch size for {config.name}",
                f"{size} is above max_batch_size: {config.max_batch_size}",
            )
    levels = batching.priority_levels
    if levels and not 1 <= batching.default_priority_level <= levels:
        yield Finding(
            (root, "default_priority_level"),
            f"default priority level must be in range [1, {levels}] for {config.name}",
        )
    if levels and any(not 1 <= level <= levels for level in batching.priority_queue_policy):
        yield Finding(
            (root, "priority_queue_policy"),
            f"priority queue policy must have priority level in range [1, {levels}] "
            f"for {config.name}",
        )
    if batching.preserve_ordering:
        yield from _ordering(batching, config)


def _ordering(batching: DynamicBatching, config: ModelConfig) -> Iterator[Finding]:
    path = ("dynamic_batching", "preserve_ordering")
    if batching.priority_levels > 1:
        yield Finding(
            path,
            "Only one priority level is allowed when 'preserve_ordering' is true "
            f"for {config.name}",
        )
    policies: list[QueuePolicy] = list(batching.priority_queue_policy.values())
    if batching.default_queue_policy is not None:
        policies.append(batching.default_queue_policy)
    if any(
        policy.timeout_action is TimeoutAction.DELAY and policy.default_timeout_microseconds
        for policy in policies
    ):
        yield Finding(
            path,
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true "
            f"for {config.name}",
        )


def _groups(config: ModelConfig, gpus: Sequence[int] | None) -> Iterator[Finding]:
    if config.is_ensemble:
        if config.instance_group:
            what = f"instance group should not be specified for ensemble '{config.name}'"
            yield Finding(("instance_group",), what, "its steps have instances of their own")
        return
    for index, group in enumerate(config.instance_group):
        path: Path = ("instance_group", index)
        name = f"instance group {group.name or f'{config.name}_{index}'} of model {config.name}"
        if group.count < 0:
            what = f"{name} must have a count of at least 1, got {group.count}"
            yield Finding((*path, "count"), what)
        if group.kind in {InstanceKind.KIND_CPU, InstanceKind.KIND_MODEL} and group.gpus:
            what = f"{name} has kind {group.kind.value} but specifies one or more GPUs"
            yield Finding((*path, "gpus"), what, "remove gpus, or write kind: KIND_GPU")
        if group.profile and config.platform not in {"", "tensorrt_plan"}:
            what = (
                f"{name} and platform {config.platform} specifies profile field which is only "
                "supported for TensorRT models"
            )
            yield Finding((*path, "profile"), what)
        if gpus is not None and group.kind is InstanceKind.KIND_GPU:
            yield from _devices(group, name, path, gpus)


def _devices(group: InstanceGroup, name: str, path: Path, gpus: Sequence[int]) -> Iterator[Finding]:
    if not gpus:
        what = f"{name} has kind KIND_GPU but no GPUs are available"
        yield Finding((*path, "kind"), what, "write kind: KIND_CPU, or KIND_AUTO for either")
        return
    for index, device in enumerate(group.gpus):
        if device not in gpus:
            what = f"{name} specifies invalid or unsupported gpu id {device}"
            there = ", ".join(map(str, gpus))
            yield Finding((*path, "gpus", index), what, f"the GPUs here are: {there}")
