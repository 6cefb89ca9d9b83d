"""Which scheduler a configuration asks for, and with which rules."""

from __future__ import annotations

import pytest

from engine.modelconfig.schema import DynamicBatching, ModelConfig, QueuePolicy, TimeoutAction
from engine.scheduler import Refusal, Ticket
from engine.schedulers import make, rules
from engine.schedulers.direct import Direct
from engine.schedulers.dynamic import BatchRules, Dynamic, Prioritised


@pytest.mark.triton("7.1")
def test_without_a_batcher_each_request_runs_alone() -> None:
    assert isinstance(make(ModelConfig(max_batch_size=8), 2), Direct)


def test_dynamic_batching_becomes_rules_in_nanoseconds() -> None:
    config = ModelConfig(
        max_batch_size=8,
        dynamic_batching=DynamicBatching(
            preferred_batch_size=(4, 8),
            max_queue_delay_microseconds=100,
            default_queue_policy=QueuePolicy(max_queue_size=7),
        ),
    )
    assert rules(config) == BatchRules(
        max_rows=8, max_delay_ns=100_000, preferred=frozenset((4, 8)), max_queue=7
    )
    assert type(make(config, 1)) is Dynamic


def test_levels_and_putting_off_need_ranks() -> None:
    levels = DynamicBatching(priority_levels=2, default_priority_level=1)
    delay = DynamicBatching(default_queue_policy=QueuePolicy(timeout_action=TimeoutAction.DELAY))
    for batching in (levels, delay):
        config = ModelConfig(max_batch_size=8, dynamic_batching=batching)
        assert type(make(config, 1)) is Prioritised


def test_a_model_without_a_batch_dimension_keeps_its_queue_policy() -> None:
    config = ModelConfig(
        dynamic_batching=DynamicBatching(default_queue_policy=QueuePolicy(max_queue_size=1))
    )
    scheduler = make(config, 1)
    step = scheduler.offer([Ticket(number, 1, 0) for number in range(4)], 0)
    assert [len(dispatch.tickets) for dispatch in step.dispatches] == [1]
    assert [reject.reason for reject in step.rejects] == [Refusal.FULL] * 2
