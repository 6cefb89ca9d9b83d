"""The waiting line and Triton's queue policy (spec 7.10, traps 79 and 80)."""

from __future__ import annotations

import tracemalloc

import pytest

from engine.modelconfig.schema import QueuePolicy
from engine.queueing import Queue, deadline_ns
from engine.scheduler import Ticket


def _policy(default_us: int, *, override: bool) -> QueuePolicy:
    return QueuePolicy(default_timeout_microseconds=default_us, allow_timeout_override=override)


@pytest.mark.parametrize(
    ("policy", "asked_us", "deadline"),
    [
        (None, 50, None),
        (_policy(0, override=True), 50, None),
        (_policy(100, override=False), 50, 100_007),
        (_policy(100, override=True), 0, 100_007),
        (_policy(100, override=True), 50, 50_007),
        (_policy(100, override=True), 100, 100_007),
        (_policy(100, override=True), 500, 100_007),
    ],
)
def test_a_timeout_of_its_own_counts_only_if_allowed_and_shorter(
    policy: QueuePolicy | None, asked_us: int, deadline: int | None
) -> None:
    assert deadline_ns(policy, 7, asked_us) == deadline


def test_tickets_taken_back_leave_nothing_behind() -> None:
    """However many come and go while nobody is served, the queue holds on to none of them."""
    queue = Queue()
    queue.join(Ticket(0, 1, 0))
    tracemalloc.start()
    try:
        for number in range(1, 10_000):
            queue.join(Ticket(number, 1, 0, deadline_ns=number))
            if number % 2:
                assert queue.remove(number) is not None
            else:
                assert [ticket.id for ticket in queue.expired(number)] == [number]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(queue) == 1
    assert held < 100_000, "10,000 tickets take a megabyte"
    assert queue.next_deadline_ns() is None


def test_the_next_deadline_is_that_of_the_waiting_whatever_their_order() -> None:
    queue = Queue()
    for number, deadline in enumerate((50, 20, 90, None)):
        queue.join(Ticket(number, 1, 0, deadline_ns=deadline))
    assert queue.next_deadline_ns() == 20
    queue.remove(1)
    assert queue.next_deadline_ns() == 50
    assert [ticket.id for ticket in queue.expired(90)] == [0, 2]
    assert queue.next_deadline_ns() is None
    assert queue.pop() == Ticket(3, 1, 0)
    assert queue.pop() is None


def test_those_who_stay_still_expire_after_many_have_gone() -> None:
    queue = Queue()
    for number in range(500):
        queue.join(Ticket(number, 1, 0, deadline_ns=1000 + number))
    for _ in range(450):
        ticket = queue.pull()
        assert ticket is not None
        queue.leave([ticket])
    assert queue.next_deadline_ns() == 1450
    assert [ticket.id for ticket in queue.expired(1475)] == list(range(450, 476))
