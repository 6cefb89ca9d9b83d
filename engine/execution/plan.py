"""What a model's configuration asks of this engine: which instances, and can it be done at all.

Pure: reads a complete configuration, decides, touches nothing. Rules, from Triton's instance
groups: ``count`` instances for a group, on each of its GPUs if it has any; a passive group is
loaded and gets no requests; the machine's cores are dealt out evenly to the instances that
compute on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.backend import Placement
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig


@dataclass(frozen=True, slots=True)
class Planned:
    """One instance to be loaded."""

    name: str
    placement: Placement
    passive: bool = False


def plan(config: ModelConfig, cores: int) -> tuple[Planned, ...]:
    """List the instances, those that get requests first; at least one of them does."""
    groups = config.instance_group or (InstanceGroup(),)
    listed = [
        (name, device, group.passive)
        for place, group in enumerate(groups)
        for name, device in _members(config.name, place, group)
    ]
    if all(passive for _, _, passive in listed):
        listed.append((config.name, None, False))
    on_cpu = sum(device is None and not passive for _, device, passive in listed)
    threads = max(1, cores // max(1, on_cpu))
    planned = [
        Planned(name, Placement(device=device, threads=threads), passive)
        for name, device, passive in listed
    ]
    return tuple(sorted(planned, key=lambda one: one.passive))


def unsupported(config: ModelConfig) -> tuple[str, ...]:
    """Say what the configuration asks for that cannot be done yet; each text names the field."""
    return tuple(_lacking(config))


def _members(model: str, place: int, group: InstanceGroup) -> Iterator[tuple[str, int | None]]:
    name = group.name or f"{model}_{place}"
    on_gpu = group.kind is InstanceKind.KIND_GPU or (
        group.kind is InstanceKind.KIND_AUTO and group.gpus
    )
    for number in range(max(1, group.count)):
        if on_gpu:
            for gpu in group.gpus:
                yield f"{name}_{number}_gpu{gpu}", gpu
        else:
            yield f"{name}_{number}", None


def _lacking(config: ModelConfig) -> Iterator[str]:
    if config.is_ensemble:
        yield "ensemble_scheduling: ensembles are not served yet"
    if config.sequence_batching is not None:
        yield "sequence_batching: the sequence batcher is not there yet"
    if config.decoupled:
        yield "model_transaction_policy.decoupled: only one response a request is served yet"
    yield from (
        f"{field}: not served yet; remove it if the model can do without"
        for field, given in (
            ("batch_input", config.batch_input),
            ("batch_output", config.batch_output),
            ("model_operations", "model_operations" in config.other),
        )
        if given
    )
    yield from (
        f"input '{tensor.name}': allow_ragged_batch is not served yet"
        for tensor in config.input
        if tensor.allow_ragged_batch
    )
    yield from (
        f"instance_group[{place}]: KIND_GPU, but no GPU was found; use KIND_CPU, or make the GPU"
        " visible"
        for place, group in enumerate(config.instance_group)
        if group.kind is InstanceKind.KIND_GPU and not group.gpus
    )
