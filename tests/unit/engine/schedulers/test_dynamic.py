"""Triton's batching rules, as a table of cases (spec 7.2 to 7.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from engine.ranking import LevelRules, RankRules
from engine.scheduler import Refusal, Scheduler, Step, Ticket
from engine.schedulers.dynamic import BatchRules, Dynamic, Prioritised

US = 1000


@dataclass(frozen=True)
class Case:
    law: str
    rules: BatchRules
    queued: Sequence[int | tuple[int, str]]
    batches: Sequence[int]
    waiting: int = 0
    age_us: int = 0


CASES = (
    Case("no delay: all that waits leaves, up to the maximum", BatchRules(max_rows=4), (1,) * 6,
         (4, 2)),
    Case("no delay: an instance never waits for a full batch", BatchRules(max_rows=8), (1, 1),
         (2,)),
    Case("rows count, not requests", BatchRules(max_rows=8), (3, 3, 3), (6, 3)),
    Case("a request is never split", BatchRules(max_rows=4), (3, 3), (3, 3)),
    Case("a request of the maximum leaves alone", BatchRules(max_rows=4), (4, 1), (4, 1)),
    Case("the largest preferred size that is reached",
         BatchRules(max_rows=16, preferred=frozenset((2, 4, 8))), (1,) * 7, (4, 2, 1)),
    Case("a preferred size goes before all that fits, even without a delay",
         BatchRules(max_rows=8, preferred=frozenset((4,))), (1,) * 6, (4, 2)),
    Case("no preferred size reachable: what is there leaves before it would pass them all",
         BatchRules(max_rows=8, preferred=frozenset((4,))), (3, 3, 1), (3, 4)),
    Case("a request above every preferred size leaves at once",
         BatchRules(max_rows=8, preferred=frozenset((4,)), max_delay_ns=100 * US), (6,), (6,)),
    Case("with a delay, less than a preferred size waits",
         BatchRules(max_rows=8, preferred=frozenset((4,)), max_delay_ns=100 * US), (1, 1), (),
         waiting=2),
    Case("with a delay, a preferred size does not wait",
         BatchRules(max_rows=8, preferred=frozenset((4,)), max_delay_ns=100 * US), (1,) * 5,
         (4,), waiting=1),
    Case("with a delay and no preferred size, a full batch does not wait",
         BatchRules(max_rows=4, max_delay_ns=100 * US), (1,) * 5, (4,), waiting=1),
    Case("with a delay, a batch that the next request overfills does not wait",
         BatchRules(max_rows=4, max_delay_ns=100 * US), (3, 3), (3,), waiting=3),
    Case("another shape closes the batch, and order is kept",
         BatchRules(max_rows=8, max_delay_ns=100 * US), ((1, "a"), (1, "a"), (1, "b"), (1, "a")),
         (2, 1), waiting=1),
    Case("another shape after a preferred size: the preferred part first, then the rest",
         BatchRules(max_rows=8, preferred=frozenset((2, 8)), max_delay_ns=100 * US),
         ((1, "a"), (1, "a"), (1, "a"), (1, "b")), (2, 1), waiting=1),
    Case("past the delay, all that fits leaves, preferred or not",
         BatchRules(max_rows=8, preferred=frozenset((4,)), max_delay_ns=100 * US), (1,) * 6,
         (6,), age_us=100),
    Case("past the delay, never more than the maximum",
         BatchRules(max_rows=4, max_delay_ns=100 * US), (1,) * 6, (4, 2), age_us=100),
    Case("just before the delay, still waiting",
         BatchRules(max_rows=8, max_delay_ns=100 * US), (1,) * 6, (), waiting=6, age_us=99),
)  # fmt: skip


def _tickets(queued: Sequence[int | tuple[int, str]]) -> list[Ticket]:
    parts = [(one, "a") if isinstance(one, int) else one for one in queued]
    return [
        Ticket(number, rows, arrived_ns=0, shape=shape)
        for number, (rows, shape) in enumerate(parts, 1)
    ]


def _occupied(rules: BatchRules) -> Scheduler:
    """A batcher with one instance, which runs something for now."""
    batcher = Dynamic(rules, 1)
    ticket = Ticket(0, rules.max_rows, arrived_ns=-1)
    assert [d.tickets for d in batcher.offer([ticket], -1).dispatches] == [(ticket,)]
    return batcher


def _rows(step: Step) -> list[int]:
    return [sum(ticket.rows for ticket in dispatch.tickets) for dispatch in step.dispatches]


@pytest.mark.triton("7.2", "7.3", "7.4", "7.6")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.law.replace(" ", "-"))
def test_the_batches_that_leave_when_the_instance_is_free_again(case: Case) -> None:
    batcher = _occupied(case.rules)
    assert batcher.offer(_tickets(case.queued), 0).dispatches == ()
    now_ns, seen, order = case.age_us * US, [], []
    while (step := batcher.free(0, now_ns)).dispatches:
        seen += _rows(step)
        order += [ticket.id for ticket in step.dispatches[0].tickets]
    assert seen == list(case.batches)
    assert order == list(range(1, len(order) + 1))
    assert sum(ticket.rows for ticket in _tickets(case.queued)) - sum(seen) == case.waiting


@pytest.mark.triton("7.5")
def test_a_batch_grows_over_many_turns_until_it_is_full() -> None:
    batcher = Dynamic(BatchRules(max_rows=3, max_delay_ns=1000), 1)
    first, second, third = _tickets((1, 1, 1))
    assert batcher.offer([first], 0) == Step(wake_ns=1000)
    assert batcher.offer([second], 400) == Step(wake_ns=1000)
    assert [d.tickets for d in batcher.offer([third], 800).dispatches] == [(first, second, third)]


def test_nobody_overtakes_a_batch_that_waits() -> None:
    batcher = Dynamic(BatchRules(max_rows=4, max_delay_ns=1000), 2)
    waits, large = Ticket(1, 1, arrived_ns=0), Ticket(2, 4, arrived_ns=10)
    batcher.offer([waits], 0)
    step = batcher.offer([large], 10)
    assert [dispatch.tickets for dispatch in step.dispatches] == [(waits,), (large,)]


def test_the_delay_counts_from_the_arrival_of_the_oldest() -> None:
    batcher = Dynamic(BatchRules(max_rows=8, max_delay_ns=1000), 1)
    old, new = Ticket(1, 1, arrived_ns=0), Ticket(2, 1, arrived_ns=900)
    batcher.offer([old], 0)
    assert batcher.offer([new], 900).wake_ns == 1000
    assert [d.tickets for d in batcher.tick(1000).dispatches] == [(old, new)]


@pytest.mark.triton("7.12")
def test_taking_the_oldest_back_starts_the_delay_of_the_next() -> None:
    batcher = Dynamic(BatchRules(max_rows=8, max_delay_ns=1000), 1)
    batcher.offer([Ticket(1, 1, arrived_ns=0)], 0)
    batcher.offer([Ticket(2, 1, arrived_ns=300)], 300)
    step = batcher.cancel(1, 500)
    assert [reject.reason for reject in step.rejects] == [Refusal.CANCELLED]
    assert step.wake_ns == 1300


def test_one_turn_fills_every_idle_instance() -> None:
    batcher = Dynamic(BatchRules(max_rows=2), 3)
    step = batcher.offer(_tickets((1,) * 7), 0)
    assert _rows(step) == [2, 2, 2]
    assert {dispatch.instance for dispatch in step.dispatches} == {0, 1, 2}


def test_a_full_queue_refuses_newcomers_and_keeps_those_it_has() -> None:
    batcher = _occupied(BatchRules(max_rows=4, max_queue=2))
    tickets = _tickets((1, 1, 1, 1))
    step = batcher.offer(tickets, 0)
    assert [(r.ticket, r.reason) for r in step.rejects] == [
        (tickets[2], Refusal.FULL),
        (tickets[3], Refusal.FULL),
    ]
    assert [d.tickets for d in batcher.free(0, 1).dispatches] == [(tickets[0], tickets[1])]


def test_the_bound_is_on_waiting_so_idle_instances_make_room_first() -> None:
    batcher = Dynamic(BatchRules(max_rows=2, max_queue=2), 2)
    step = batcher.offer(_tickets((1,) * 7), 0)
    assert _rows(step) == [2, 2]
    assert [reject.ticket.id for reject in step.rejects] == [7]


def test_an_expired_request_leaves_though_no_instance_is_free() -> None:
    batcher = _occupied(BatchRules(max_rows=4))
    late = Ticket(1, 1, arrived_ns=0, deadline_ns=50)
    assert batcher.offer([late], 0).wake_ns == 50
    step = batcher.tick(50)
    assert [(r.ticket, r.reason) for r in step.rejects] == [(late, Refusal.EXPIRED)]
    assert step.wake_ns is None


def _prioritised(rules: BatchRules, ranks: RankRules | None = None) -> Scheduler:
    """A batcher of requests by level, with one instance, which runs something for now."""
    batcher = Prioritised(replace(rules, ranks=ranks or RankRules()), 1)
    assert batcher.offer([Ticket(0, rules.max_rows, arrived_ns=-1)], -1).dispatches
    return batcher


def _ids(step: Step) -> list[list[int]]:
    return [[ticket.id for ticket in dispatch.tickets] for dispatch in step.dispatches]


@pytest.mark.triton("7.9")
def test_a_batch_holds_the_highest_levels_and_then_the_next() -> None:
    batcher = _prioritised(BatchRules(max_rows=3))
    levels = (3, 1, 2, 1, 2)
    batcher.offer([Ticket(i, 1, 0, priority=level) for i, level in enumerate(levels, 1)], 0)
    assert _ids(batcher.free(0, 1)) == [[2, 4, 3]]
    assert _ids(batcher.free(0, 2)) == [[5, 1]]


@pytest.mark.triton("7.9")
def test_who_comes_later_with_a_higher_level_joins_a_batch_that_waits_in_front() -> None:
    batcher = Prioritised(BatchRules(max_rows=3, max_delay_ns=100, ranks=RankRules()), 1)
    batcher.offer([Ticket(1, 1, 0, priority=2)], 0)
    batcher.offer([Ticket(2, 1, 10, priority=2)], 10)
    step = batcher.offer([Ticket(3, 1, 20, priority=1), Ticket(4, 1, 20, priority=1)], 20)
    assert _ids(step) == [[3, 4, 1]]
    assert step.wake_ns is None
    assert batcher.free(0, 30).wake_ns == 110


def test_the_oldest_of_a_batch_counts_whatever_its_level() -> None:
    batcher = Prioritised(BatchRules(max_rows=8, max_delay_ns=100, ranks=RankRules()), 1)
    batcher.offer([Ticket(1, 1, 0, priority=2)], 0)
    assert batcher.offer([Ticket(2, 1, 50, priority=1)], 50).wake_ns == 100
    assert _ids(batcher.tick(100)) == [[2, 1]]


@pytest.mark.triton("7.11")
def test_who_is_put_off_runs_when_nobody_of_his_level_is_in_time() -> None:
    batcher = _prioritised(BatchRules(max_rows=1), RankRules(LevelRules(puts_off=True)))
    batcher.offer([Ticket(1, 1, 0, deadline_ns=10), Ticket(2, 1, 0), Ticket(3, 1, 0)], 0)
    assert _ids(batcher.free(0, 20)) == [[2]]
    assert _ids(batcher.free(0, 30)) == [[3]]
    assert _ids(batcher.free(0, 40)) == [[1]]


def test_putting_one_off_can_complete_a_preferred_size() -> None:
    rules = BatchRules(
        max_rows=8,
        max_delay_ns=1000,
        preferred=frozenset((2, 8)),
        ranks=RankRules(LevelRules(puts_off=True)),
    )
    batcher = Prioritised(rules, 1)
    tickets = [Ticket(1, 1, 0, deadline_ns=10), Ticket(2, 2, 0)]
    assert batcher.offer(tickets, 0) == Step(wake_ns=10)
    step = batcher.tick(10)
    assert _ids(step) == [[2]]


@pytest.mark.triton("7.17")
def test_a_batcher_that_starts_late_lets_nobody_leave_before_so_many_wait() -> None:
    batcher = Dynamic(BatchRules(max_rows=2, max_queue=3), 1, start_at=3)
    late = Ticket(1, 1, 0, deadline_ns=10)
    assert batcher.offer([late], 0) == Step()
    assert batcher.tick(50) == Step()
    assert batcher.offer([Ticket(2, 1, 60)], 60) == Step()
    step = batcher.offer([Ticket(3, 1, 70), Ticket(4, 1, 70)], 70)
    assert _ids(step) == [[2, 3]]
    assert [(r.ticket.id, r.reason) for r in step.rejects] == [
        (4, Refusal.FULL),
        (1, Refusal.EXPIRED),
    ]


def test_a_batcher_that_starts_late_starts_when_it_is_stopped() -> None:
    batcher = Dynamic(BatchRules(max_rows=2), 1, start_at=9)
    batcher.offer([Ticket(1, 1, 0)], 0)
    assert _ids(batcher.stop(1)) == [[1]]


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BatchRules(max_rows=0)
    with pytest.raises(ValueError, match=r"\[9\] are not in 1..8"):
        BatchRules(max_rows=8, preferred=frozenset((4, 9)))
