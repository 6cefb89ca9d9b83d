"""Configurations for the simulator, by what matters of them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig


def configured(
    instances: int = 1,
    max_batch: int = 1,
    delay_us: int | None = None,
    preferred: Sequence[int] = (),
    threads: int = 0,
) -> ModelConfig:
    """Give a model on the CPU; without a delay it does not batch."""
    return ModelConfig(
        max_batch_size=max_batch,
        instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=instances),),
        dynamic_batching=None
        if delay_us is None
        else DynamicBatching(
            max_queue_delay_microseconds=delay_us, preferred_batch_size=tuple(preferred)
        ),
        parameters={"intra_op_thread_count": str(threads)} if threads else {},
    )
