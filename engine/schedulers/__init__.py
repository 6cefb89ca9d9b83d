"""The schedulers, and which one a model's configuration asks for.

Each module is one pure machine of the form ``engine.scheduler.Scheduler``; none knows another.
"""

from __future__ import annotations

from engine.modelconfig.schema import ModelConfig
from engine.queueing import rank_rules
from engine.scheduler import Limitable
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic, Prioritised


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


def make(config: ModelConfig, instances: int, *, start_at: int = 0) -> Limitable:
    """Make the scheduler that the configuration asks for, for instances 0 to ``instances`` - 1.

    A dynamic batcher lets nobody leave before ``start_at`` requests wait.
    """
    batching = rules(config)
    if batching is None:
        return Direct(instances)
    made = Dynamic if batching.ranks is None else Prioritised
    return made(batching, instances, start_at)
