"""The schedulers, and which one a model's configuration asks for.

Each module is one pure machine of the form ``engine.scheduler.Scheduler``; none knows another.
"""

from __future__ import annotations

from engine.modelconfig.schema import ModelConfig, SequenceBatching
from engine.ranking import rank_rules
from engine.scheduler import Limitable
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic, Prioritised
from engine.schedulers.sequence_direct import DirectRules, SequenceDirect
from engine.schedulers.sequence_oldest import SequenceOldest

_IDLE_US = 1_000_000


def rules(config: ModelConfig) -> BatchRules | None:
    """What the configuration's dynamic batcher keeps to; None if it has none.

    A model without a batch dimension takes one request at a time, whatever its batcher.
    """
    batching = config.dynamic_batching
    if batching is None:
        return None
    policy = batching.default_queue_policy
    max_rows = max(1, config.max_batch_size)
    return BatchRules(
        max_rows=max_rows,
        max_delay_ns=batching.max_queue_delay_microseconds * 1000,
        preferred=frozenset(batching.preferred_batch_size)
        if config.max_batch_size
        else frozenset(),
        max_queue=policy.max_queue_size if policy is not None else 0,
        ranks=rank_rules(batching),
    )


def make(
    config: ModelConfig, instances: int, *, start_at: int = 0, backlog_at: int = 0
) -> Limitable:
    """Make the scheduler that the configuration asks for, for instances 0 to ``instances`` - 1.

    A batcher lets nobody leave before ``start_at`` requests wait; one of sequences (strategy
    "direct"), which has such a number, not before ``backlog_at`` more wait for a slot.
    """
    if config.sequence_batching is not None:
        rows = max(1, config.max_batch_size)
        if config.sequence_batching.oldest is not None:
            return _make_oldest(config.sequence_batching, rows, instances, start_at)
        held = (start_at, backlog_at)
        return _make_direct(config.sequence_batching, rows, instances, held)
    batching = rules(config)
    if batching is None:
        return Direct(instances)
    made = Dynamic if batching.ranks is None else Prioritised
    return made(batching, instances, start_at)


def _make_direct(
    batching: SequenceBatching, rows: int, instances: int, held: tuple[int, int]
) -> Limitable:
    """Make the sequence batcher for the strategy "direct", or for none, which means it."""
    direct = batching.direct
    rules = DirectRules(
        slots=rows,
        idle_ns=_idle_ns(batching),
        delay_ns=direct.max_queue_delay_microseconds * 1000 if direct is not None else 0,
        utilization=direct.minimum_slot_utilization if direct is not None else 0.0,
        start_at=held[0],
        backlog_at=held[1],
    )
    return SequenceDirect(rules, instances)


def _make_oldest(batching: SequenceBatching, rows: int, instances: int, start_at: int) -> Limitable:
    """Make the sequence batcher for the strategy "oldest"."""
    oldest = batching.oldest
    assert oldest is not None
    inner = BatchRules(
        max_rows=rows,
        max_delay_ns=oldest.max_queue_delay_microseconds * 1000,
        preferred=frozenset(size for size in oldest.preferred_batch_size if size <= rows),
    )
    slots = oldest.max_candidate_sequences or rows
    batchers = [Dynamic(inner, 1, start_at) for _ in range(instances)]
    return SequenceOldest(slots, _idle_ns(batching), batchers)


def _idle_ns(batching: SequenceBatching) -> int:
    return (batching.max_sequence_idle_microseconds or _IDLE_US) * 1000
