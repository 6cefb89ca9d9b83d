"""The strategies of the sequence batcher, by example; their laws are in tests/laws."""

from __future__ import annotations

import gc

import pytest

from engine.modelconfig.schema import (
    ModelConfig,
    SequenceBatching,
    SequenceDirect,
    SequenceOldest,
)
from engine.ratelimit import Needs, RateLimiter
from engine.scheduler import Limitable, Refusal, SequenceMark, Step, Ticket
from engine.schedulers import make
from engine.schedulers.limited import Limited
from engine.sequencing import Live

US = 1000


def scheduler(
    batching: SequenceBatching, *, rows: int = 2, start_at: int = 0, backlog_at: int = 0
) -> Limitable:
    config = ModelConfig(name="m", max_batch_size=rows, sequence_batching=batching)
    return make(config, 1, start_at=start_at, backlog_at=backlog_at)


def ticket(number: int, name: int | str, flags: str = "", **more: int) -> Ticket:
    return Ticket(
        id=number,
        rows=1,
        arrived_ns=more.get("at", 0),
        deadline_ns=more.get("deadline"),
        sequence=SequenceMark(name, "(" in flags, ")" in flags),
    )


def ran(step: Step) -> list[tuple[list[int], tuple[int, ...]]]:
    return [([one.id for one in each.tickets], each.slots) for each in step.dispatches]


def refused(step: Step) -> dict[int, Refusal]:
    return {one.ticket.id: one.reason for one in step.rejects}


def test_an_idle_time_that_is_not_given_is_a_second() -> None:
    machine = scheduler(SequenceBatching())
    assert ran(machine.offer([ticket(1, "a", "(")], 0)) == [([1], (0,))]
    assert machine.free(0, 50).wake_ns == 50 + 1_000_000_000
    assert refused(machine.offer([ticket(2, "a")], 50 + 999_999_999)) == {}


def test_the_delay_means_nothing_without_a_least_utilization() -> None:
    lazy = SequenceDirect(max_queue_delay_microseconds=9)
    assert ran(scheduler(SequenceBatching(direct=lazy)).offer([ticket(1, "a", "(")], 0))
    lazy = SequenceDirect(max_queue_delay_microseconds=9, minimum_slot_utilization=1.0)
    step = (machine := scheduler(SequenceBatching(direct=lazy))).offer([ticket(1, "a", "(")], 0)
    assert (ran(step), step.wake_ns) == ([], 9 * US)
    assert ran(machine.tick(9 * US)) == [([1], (0,))]


@pytest.mark.parametrize("oldest", [None, SequenceOldest(max_candidate_sequences=1)])
def test_requests_that_wait_for_a_slot_end_with_the_earliest_of_their_deadlines(
    oldest: SequenceOldest | None,
) -> None:
    machine = scheduler(SequenceBatching(oldest=oldest), rows=1)
    machine.offer([ticket(1, 1, "(", deadline=3), ticket(2, 2, "("), ticket(3, 2)], 0)
    assert machine.offer([ticket(4, 2, "", deadline=80)], 10).wake_ns == 80
    assert machine.offer([ticket(5, 2, "", deadline=40)], 20).wake_ns == 40
    gone = refused(machine.tick(40))
    assert gone == dict.fromkeys((2, 3, 4, 5), Refusal.SEQUENCE_EXPIRED)
    assert refused(machine.offer([ticket(6, 2)], 41)) == {6: Refusal.UNSTARTED}


def test_a_start_behind_what_is_taken_back_begins_a_sequence_of_its_own() -> None:
    machine = scheduler(SequenceBatching(), rows=1)
    machine.offer([ticket(1, "a", "("), ticket(2, "a"), ticket(3, "a"), ticket(4, "a", "(")], 0)
    assert refused(machine.cancel(2, 1)) == dict.fromkeys((2, 3), Refusal.CANCELLED)
    assert ran(machine.free(0, 2)) == [([4], (0,))]
    assert refused(machine.offer([ticket(5, "a", ")")], 3)) == {}


def test_a_stop_lets_sequences_end_and_none_begin() -> None:
    machine = scheduler(SequenceBatching())
    machine.offer([ticket(1, "a", "(")], 0)
    machine.stop(1)
    step = machine.offer([ticket(2, "b", "("), ticket(3, "a", ")"), ticket(4, "c")], 2)
    assert refused(step) == {2: Refusal.STOPPING, 4: Refusal.UNSTARTED}
    assert ran(machine.free(0, 3)) == [([3], (0,))]
    assert machine.free(0, 4).wake_ns is None


def test_once_stopped_a_silent_sequence_gives_way_to_those_who_wait() -> None:
    """The model is on its way out: who has been let in is answered, and at once."""
    machine = scheduler(SequenceBatching(), rows=1)
    machine.offer([ticket(1, "a", "("), ticket(2, "b", "("), ticket(3, "c", "()")], 0)
    assert ran(machine.free(0, 1)) == []
    assert ran(machine.stop(2)) == [([2], (0,))]
    assert ran(machine.free(0, 3)) == [([3], (0,))]
    assert machine.free(0, 4).wake_ns is None


@pytest.mark.triton("7.17")
def test_a_batcher_that_starts_late_waits_for_slots_and_backlog() -> None:
    """``TRITONSERVER_DELAY_SCHEDULER`` 2 and ``TRITONSERVER_BACKLOG_DELAY_SCHEDULER`` 1."""
    machine = scheduler(SequenceBatching(), start_at=2, backlog_at=1)
    assert ran(machine.offer([ticket(1, "a", "("), ticket(2, "b", "(")], 0)) == []
    assert ran(machine.offer([ticket(3, "c", "(")], 1)) == [([1, 2], (0, 1))]
    assert ran(machine.free(0, 2)) == []
    assert ran(machine.offer([ticket(4, "a")], 3)) == [([4], (0,))]


@pytest.mark.parametrize("oldest", [None, SequenceOldest(max_candidate_sequences=2)])
def test_under_the_rate_limiter_sequences_fall_silent_when_they_have_been_answered(
    oldest: SequenceOldest | None,
) -> None:
    """Not when an instance is granted next, which may be never."""
    batching = SequenceBatching(max_sequence_idle_microseconds=1, oldest=oldest)
    seat = RateLimiter().join([Needs({})])
    machine = Limited(scheduler(batching), seat)
    assert ran(machine.offer([ticket(1, "a", "("), ticket(2, "a")], 0)) == [([1], (0,))]
    assert ran(machine.free(0, 10)) == [([2], (0,))]
    assert machine.free(0, 20).wake_ns == 20 + US
    machine.tick(20 + US)
    assert refused(machine.offer([ticket(3, "a")], 20 + US)) == {3: Refusal.UNSTARTED}


def test_a_million_candidates_and_a_hundred_thousand_deadlines_cost_what_is_used() -> None:
    batching = SequenceBatching(oldest=SequenceOldest(max_candidate_sequences=2**31 - 1))
    machine = scheduler(batching, rows=1)
    assert ran(machine.offer([ticket(1, "a", "(")], 0)) == [([1], (0,))]
    busy = scheduler(SequenceBatching(), rows=1)
    gc.collect()
    busy.offer([ticket(0, "a", "(")], 0)
    before = len([one for one in gc.get_objects() if isinstance(one, Live)])
    for number in range(1, 2000):
        busy.offer([ticket(number, number, "()", deadline=10**12)], 0)
        busy.cancel(number, 0)
    gc.collect()
    after = len([one for one in gc.get_objects() if isinstance(one, Live)])
    assert after - before < 100
