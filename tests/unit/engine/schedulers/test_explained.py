"""Why a batch left with no more in it; and nothing is decided otherwise by asking."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.scheduler import Ticket
from engine.schedulers.dynamic import BatchRules, Dynamic
from engine.schedulers.explained import Explained
from engine.telemetry.stats import Closing


def explained(rules: BatchRules, told: list[Closing], instances: int = 1) -> Explained:
    return Explained(
        Dynamic(rules, instances),
        told.append,
        max_rows=rules.max_rows,
        preferred=rules.preferred,
        max_delay_ns=rules.max_delay_ns,
    )


def tickets(*rows: int, shape: str = "") -> list[Ticket]:
    return [Ticket(number, size, 0, None, shape) for number, size in enumerate(rows)]


@pytest.mark.parametrize(
    ("rules", "offered", "at_ns", "reason"),
    [
        (BatchRules(max_rows=4), tickets(2, 2, 1), 0, Closing.MAX),
        (BatchRules(max_rows=8, preferred=frozenset({3})), tickets(2, 1), 0, Closing.PREFERRED),
        (BatchRules(max_rows=4, max_delay_ns=50), tickets(1), 50, Closing.DELAY),
        (BatchRules(max_rows=4), tickets(1, 1), 0, Closing.IDLE),
        (
            BatchRules(max_rows=4),
            [*tickets(1, 1, shape="a"), Ticket(9, 1, 0, None, "b")],
            0,
            Closing.SHAPE,
        ),
        (BatchRules(max_rows=4), tickets(2, 1, 3), 0, Closing.ROOM),
    ],
)
def test_each_reason_is_told(
    rules: BatchRules, offered: list[Ticket], at_ns: int, reason: Closing
) -> None:
    told: list[Closing] = []
    scheduler = explained(rules, told)
    scheduler.offer(offered, 0)
    if at_ns:
        assert told == []
        scheduler.tick(at_ns)
    assert told == [reason]


def test_who_is_hurried_by_a_stop_has_no_reason_of_its_own() -> None:
    told: list[Closing] = []
    scheduler = explained(BatchRules(max_rows=4, max_delay_ns=50), told)
    scheduler.offer(tickets(1), 0)
    scheduler.stop(10)
    assert told == [Closing.OTHER]


EVENTS = st.lists(
    st.tuples(st.integers(0, 60), st.lists(st.tuples(st.integers(1, 4), st.sampled_from("ab")))),
    max_size=12,
)


@given(EVENTS, st.integers(0, 50), st.sampled_from([frozenset[int](), frozenset({2, 3})]))
def test_it_decides_what_the_batcher_inside_decides_and_explains_every_batch(
    events: list[tuple[int, list[tuple[int, str]]]], delay_ns: int, preferred: frozenset[int]
) -> None:
    rules = BatchRules(max_rows=4, max_delay_ns=delay_ns, preferred=preferred)
    told: list[Closing] = []
    bare, scheduler = Dynamic(rules, 1), explained(rules, told)
    now_ns = number = batches = 0
    for gap, requests in events:
        now_ns += gap
        coming = []
        for rows, shape in requests:
            number += 1
            coming.append(Ticket(number, rows, now_ns, None, shape))
        step = bare.offer(coming, now_ns)
        assert scheduler.offer(coming, now_ns) == step
        assert scheduler.cancel(number, now_ns) == bare.cancel(number, now_ns)
        ticked = bare.tick(now_ns)
        assert scheduler.tick(now_ns) == ticked
        ran = [*step.dispatches, *ticked.dispatches]
        while ran:
            batches += 1
            ran.pop()
            freed = bare.free(0, now_ns)
            assert scheduler.free(0, now_ns) == freed
            ran += freed.dispatches
    assert Counter(told).total() == batches
    assert Closing.OTHER not in told
