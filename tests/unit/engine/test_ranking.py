"""Priority levels, and who is put off (spec 7.9 to 7.11)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping

import pytest

from engine.modelconfig.schema import DynamicBatching, QueuePolicy, TimeoutAction
from engine.ranking import LevelRules, Ranked, RankRules, rank_rules
from engine.scheduler import Ticket


def test_ranks_come_from_levels_and_from_putting_off() -> None:
    delay = QueuePolicy(timeout_action=TimeoutAction.DELAY, max_queue_size=3)
    assert rank_rules(DynamicBatching()) is None
    assert rank_rules(DynamicBatching(priority_queue_policy={1: delay})) is None
    one_level = RankRules(LevelRules(3, puts_off=True))
    assert rank_rules(DynamicBatching(default_queue_policy=delay)) == one_level
    levels = DynamicBatching(
        priority_levels=2, default_priority_level=1, priority_queue_policy={2: delay}
    )
    assert rank_rules(levels) == RankRules(LevelRules(), {2: LevelRules(3, puts_off=True)})


def _ranked(*tickets: Ticket, levels: Mapping[int, LevelRules] | None = None) -> Ranked:
    queue = Ranked(RankRules(LevelRules(), levels or {}))
    for ticket in tickets:
        queue.join(ticket)
    return queue


def _drain(queue: Ranked) -> list[int]:
    order = []
    while (ticket := queue.pull()) is not None:
        queue.leave([ticket])
        order.append(ticket.id)
    return order


@pytest.mark.triton("7.9")
def test_higher_levels_come_first_and_within_a_level_who_came_first() -> None:
    queue = _ranked(*(Ticket(i, 1, i, priority=level) for i, level in enumerate((2, 3, 1, 2, 1))))
    assert _drain(queue) == [2, 4, 0, 3, 1]
    assert len(queue) == 0


@pytest.mark.triton("7.10", "7.11")
def test_who_is_put_off_comes_after_his_level_and_before_the_next() -> None:
    queue = _ranked(
        Ticket(0, 1, 0, deadline_ns=20, priority=1),
        Ticket(1, 1, 0, deadline_ns=10, priority=1),
        Ticket(2, 1, 0, priority=1),
        Ticket(3, 1, 0, deadline_ns=10, priority=2),
        Ticket(4, 1, 0, priority=2),
        levels={1: LevelRules(puts_off=True)},
    )
    assert queue.next_deadline_ns() == 10
    assert [ticket.id for ticket in queue.expired(10)] == [3]
    assert queue.expired(20) == []
    assert queue.next_deadline_ns() is None
    queue.join(Ticket(5, 1, 20, priority=1))
    assert _drain(queue) == [2, 5, 1, 0, 4]


@pytest.mark.triton("7.10")
def test_each_level_has_its_own_bound_and_who_is_put_off_still_counts() -> None:
    queue = _ranked(levels={1: LevelRules(1, puts_off=True)})
    queue.join(Ticket(0, 1, 0, deadline_ns=5, priority=1))
    queue.join(Ticket(1, 1, 0, priority=2))
    assert queue.full(Ticket(2, 1, 0, priority=1))
    assert not queue.full(Ticket(2, 1, 0, priority=2))
    queue.expired(5)
    assert queue.full(Ticket(2, 1, 0, priority=1))
    assert queue.remove(0) is not None
    assert not queue.full(Ticket(2, 1, 0, priority=1))


def test_a_newcomer_says_that_he_stands_before_somebody_who_was_pulled() -> None:
    queue = _ranked(Ticket(0, 1, 0, priority=2))
    pulled = queue.pull()
    assert pulled is not None
    assert not queue.join(Ticket(1, 1, 0, priority=2))
    assert queue.join(Ticket(2, 1, 0, priority=1))
    queue.push_back([pulled])
    assert not queue.join(Ticket(3, 1, 0, priority=1))
    assert _drain(queue) == [2, 3, 0, 1]


def test_ranked_tickets_taken_back_or_put_off_leave_nothing_behind() -> None:
    queue = _ranked(Ticket(0, 1, 0, priority=9), levels={1: LevelRules(puts_off=True)})
    tracemalloc.start()
    try:
        for number in range(1, 10_000):
            queue.join(Ticket(number, 1, 0, deadline_ns=number, priority=number % 3))
            if number % 2:
                assert queue.remove(number) is not None
            else:
                queue.expired(number)
                queue.remove(number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert _drain(queue) == [0]
    assert held < 100_000, "10,000 tickets take a megabyte"
