"""What may be wrong with how a model's requests are batched together.

Owns: the rules for the dynamic batcher (sizes, priorities, queue policies) and for what is
computed from a batch (``batch_input``, ``batch_output``). Does not own: sequences
(``check_sequences``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.modelconfig.findings import Finding, near
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import (
    BatchInput,
    BatchOutput,
    DynamicBatching,
    ModelConfig,
    QueuePolicy,
    TimeoutAction,
)
from engine.types import DType


def check_batching(config: ModelConfig) -> Iterator[Finding]:
    """Say what is wrong with the dynamic batcher and with the tensors made from a batch."""
    if config.dynamic_batching is not None:
        yield from _dynamic(config.dynamic_batching, config)
    for index, made in enumerate(config.batch_input):
        yield from _batch_input(made, ("batch_input", index), config)
    for index, dealt in enumerate(config.batch_output):
        yield from _batch_output(dealt, ("batch_output", index), config)


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
    if not levels and batching.priority_queue_policy:
        what = f"priority_queue_policy has no effect without priority_levels for {config.name}"
        hint = "set priority_levels, or use default_queue_policy"
        yield Finding((root, "priority_queue_policy"), what, hint, warning=True)
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
    if batching.default_queue_policy is not None:
        policy = batching.default_queue_policy
        yield from _without_timeout(policy, (root, "default_queue_policy"), config)
    for policy in batching.priority_queue_policy.values():
        yield from _without_timeout(policy, (root, "priority_queue_policy"), config)


def _without_timeout(policy: QueuePolicy, path: Path, config: ModelConfig) -> Iterator[Finding]:
    """Warn of what means nothing while no request has a timeout by default."""
    if policy.default_timeout_microseconds:
        return
    hint = "set default_timeout_microseconds"
    if policy.allow_timeout_override:
        what = (
            "allow_timeout_override has no effect without default_timeout_microseconds, which a "
            f"request's own timeout only shortens, for {config.name}"
        )
        yield Finding((*path, "allow_timeout_override"), what, hint, warning=True)
    if policy.timeout_action is TimeoutAction.DELAY:
        what = (
            f"timeout_action has no effect without default_timeout_microseconds for {config.name}"
        )
        yield Finding((*path, "timeout_action"), what, hint, warning=True)


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


def _batch_input(made: BatchInput, path: Path, config: ModelConfig) -> Iterator[Finding]:
    kind = f"batch input kind '{made.kind.value}'"
    yield from _source(made, kind, path, config)
    if made.data_type not in {DType.INT32, DType.FP32}:
        what = f"batch input data type must be TYPE_INT32 or TYPE_FP32 for {config.name}"
        yield Finding((*path, "data_type"), what)
    if not made.target_name:
        yield Finding(path, f"{kind} must specify 'target_name' for {config.name}")
    taken = {tensor.name for tensor in config.input}
    for index, name in enumerate(made.target_name):
        if name in taken:
            what = f"{kind}: '{name}' is an input that requests bring for {config.name}"
            hint = "an input is either computed from the batch or brought by requests"
            yield Finding((*path, "target_name", index), what, hint)


def _batch_output(dealt: BatchOutput, path: Path, config: ModelConfig) -> Iterator[Finding]:
    yield from _source(dealt, f"batch output kind '{dealt.kind.value}'", path, config)
    outputs = [tensor.name for tensor in config.output]
    for index, name in enumerate(dealt.target_name):
        place = (*path, "target_name", index)
        if outputs and name not in outputs:
            what = f"unknown target output name '{name}' for {config.name}"
            yield Finding(place, what, near(name, outputs))
        if name in dealt.target_name[:index]:
            what = f"target output name '{name}' can only be specified once for {config.name}"
            yield Finding(place, what)


def _source(
    made: BatchInput | BatchOutput, kind: str, path: Path, config: ModelConfig
) -> Iterator[Finding]:
    """Every kind there is looks at exactly one input."""
    if len(made.source_input) != 1:
        what = f"{kind} expects 1 source input, got {len(made.source_input)} for {config.name}"
        yield Finding((*path, "source_input"), what)
    inputs: Sequence[str] = [tensor.name for tensor in config.input]
    for index, name in enumerate(made.source_input):
        if inputs and name not in inputs:
            what = f"unknown source input name '{name}' for {config.name}"
            yield Finding((*path, "source_input", index), what, near(name, inputs))
