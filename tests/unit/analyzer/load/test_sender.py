"""A sender in virtual time: what it sends when, what it writes down, and what it never does."""

from itertools import pairwise, repeat

import numpy as np
import pytest
from support.virtual_client import MS, SECOND, Clock, VirtualClient, Workers, exponential, go, job

from analyzer.load.arrivals import Constant, Fixed, Gamma, Staircase
from analyzer.load.chunk import Chunk, Drained, Ended, Failed, Said
from analyzer.load.job import Supply
from analyzer.load.rotation import Rotation
from analyzer.load.sender import DRAIN_NS, FURTHER, ROOM, TEXTS, Sender


def client(service_ms: float, workers: int = 1, stall: tuple[int, int] = (0, 0)) -> VirtualClient:
    server = Workers(workers, repeat(int(service_ms * MS)), stall)
    return VirtualClient(Clock(), server.done)


def test_in_a_closed_loop_each_is_due_when_the_one_before_is_answered() -> None:
    run = go(job(slots=3), client(5, workers=3), seconds=1)
    array = run.records.array
    assert len(array) == pytest.approx(3 * 200, abs=70)
    assert np.all(array["last"] - array["planned"] == 5 * MS)
    assert np.all(np.isin(array["planned"], [run.start_ns, *array["last"]]))
    assert isinstance(run.said[-1], Ended)


def test_in_an_open_loop_requests_are_sent_when_due_whoever_waits() -> None:
    """A server at half the rate asked for: every answer is later than the one before."""
    run = go(job(schedule=Constant(200), slots=1000), client(10), seconds=2)
    sent = np.array([moment for moment, _, _ in run.client.sent])
    assert np.all(np.diff(sent) == 5 * MS)
    assert np.all(run.records.lag_ns == 0)
    assert np.all(np.diff(run.records.latency_ns) == 5 * MS)
    assert run.last.dropped == 0


def test_what_finds_no_free_slot_is_dropped_and_counted_and_nothing_is_late() -> None:
    run = go(job(schedule=Constant(1000), slots=2), client(10, workers=2), seconds=1)
    assert np.all(run.records.lag_ns == 0)
    assert run.last.dropped + len(run.records) == pytest.approx(1000, abs=120)
    assert len(run.records) == pytest.approx(200, abs=30)


def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() -> None:
    """Two seconds in twenty: a tenth of the requests come in it, if they do not wait to come."""
    begin = SECOND + 8 * SECOND
    stall = (begin, begin + 2 * SECOND)
    open_loop = go(job(schedule=Constant(100), slots=1000), client(4, 1, stall), seconds=20)
    closed = go(job(slots=1), client(4, 1, stall), seconds=20)
    for percentile, open_ms, closed_ms in ((50, 4, 4), (95, 1000, 4), (99, 1800, 4)):
        assert np.percentile(open_loop.records.latency_ns, percentile) >= open_ms * MS
        assert np.percentile(closed.records.latency_ns, percentile) == closed_ms * MS
    assert np.max(closed.records.latency_ns) > 1.9 * SECOND


def test_latencies_are_those_of_the_queue_that_the_server_is() -> None:
    """M/M/1 at half load: a mean time in the system of twice the service time."""
    server = Workers(1, exponential(MS, 1))
    run = go(
        job(schedule=Gamma(500, seed=2), slots=10_000), VirtualClient(Clock(), server.done),
        seconds=60,
    )  # fmt: skip
    assert run.records.latency_ns.mean() == pytest.approx(2 * MS, rel=0.1)


def test_the_number_in_flight_is_rate_times_latency() -> None:
    server = Workers(2, exponential(3 * MS, 1))
    run = go(
        job(schedule=Gamma(500, seed=2), slots=10_000), VirtualClient(Clock(), server.done),
        seconds=30,
    )  # fmt: skip
    # Nothing is in flight at the end, so that both sides are whole.
    assert run.last.in_flight == 0
    assert run.last.area == int(run.records.latency_ns.sum())


def test_a_given_number_is_sent_and_then_it_ends() -> None:
    run = go(job(count=7, slots=3), client(5))
    assert len(run.records) == len(run.client.sent) == 7
    trace = go(job(schedule=Fixed((0, 5 * MS, 5 * MS, 2 * SECOND)), slots=9), client(5))
    assert [moment - trace.start_ns for moment, _, _ in trace.client.sent] == [
        0, 5 * MS, 5 * MS, 2 * SECOND,
    ]  # fmt: skip


def test_messages_go_in_rotation_and_items_by_weight() -> None:
    supplies = (
        Supply(weight=3.0, messages=(b"a", b"b", b"c")),
        Supply(weight=1.0, messages=(b"x",)),
    )
    run = go(job(supplies=supplies, count=4000, slots=1), client(1))
    sent = b"".join(message for _, _, message in run.client.sent)
    assert sent.replace(b"x", b"") == (b"abc" * 1400)[: 4000 - sent.count(b"x")]
    assert sent.count(b"x") == pytest.approx(1000, rel=0.1)
    items = run.records.array["item"]
    assert np.count_nonzero(items == 1) == sent.count(b"x")


def test_a_staircase_sends_more_at_once_when_each_was_answered_often_enough() -> None:
    stairs = Staircase(1, 3, 1, 10)
    run = go(job(slots=3, stairs=stairs, count=100), client(10, workers=8))
    begun = np.array([moment for moment, _, _ in run.client.sent]) - run.start_ns
    in_flight = [np.count_nonzero((begun <= at) & (begun > at - 10 * MS)) for at in begun]
    assert in_flight[:10] == [1] * 10
    assert max(in_flight[10:28]) == 2
    assert max(in_flight) == 3


def test_failures_are_told_once_each_by_their_text() -> None:
    flaky = VirtualClient(
        Clock(),
        Workers(1, repeat(MS)).done,
        lambda number: f"trouble {number % 2}" if number % 10 == 0 or number == 5 else None,
    )
    run = go(job(count=40, slots=1), flaky)
    assert run.records.errors == ("trouble 1", "trouble 0")
    assert [run.records.error_of(at) for at in (3, 4, 9)] == ["", "trouble 1", "trouble 0"]
    assert np.count_nonzero(run.records.array["error"]) == 5


def test_a_server_that_numbers_its_errors_does_not_fill_the_memory() -> None:
    flaky = VirtualClient(Clock(), Workers(1, repeat(1000)).done, lambda number: f"no {number}")
    run = go(job(count=TEXTS + 50, slots=1), flaky)
    assert run.records.errors[-1] == FURTHER
    assert len(run.records.errors) == TEXTS + 1


def test_more_than_fits_is_told_early_and_none_is_lost() -> None:
    count = 2 * ROOM + 10
    run = go(job(count=count, slots=1), VirtualClient(Clock(), Workers(1, repeat(1)).done))
    assert len(run.records) == count


def test_that_nothing_can_be_sent_ends_it_with_what_came_before() -> None:
    class Gone(VirtualClient):
        def send(self, slot: int, message: bytes, planned_ns: int) -> None:
            super().send(slot, message, planned_ns)
            if len(self.sent) == 5:
                self.audience.broken("nothing listens")

    run = go(job(slots=1), Gone(Clock(), Workers(1, repeat(MS)).done, lambda _: "it is unwell"))
    assert run.said[-1] == Failed(message="nothing listens; before that: it is unwell")


def test_what_is_never_answered_is_given_up_in_the_end() -> None:
    hanging = VirtualClient(Clock(), Workers(2, repeat(10**15)).done)
    run = go(job(slots=2), hanging, seconds=1)
    assert run.said[-1] == Ended(abandoned=2)
    assert hanging.clock.ns - run.start_ns == pytest.approx(SECOND + DRAIN_NS, rel=0.05)


def test_a_pause_waits_for_all_answers_and_then_each_begins_at_a_moment_of_its_own() -> None:
    """Three times over: 200 ms of four clients, and a beginning that takes 40 ms."""
    virtual, said = client(10, workers=4), list[Said]()
    begun = [virtual.clock.ns + 10 * MS]

    def say(one: Said) -> None:
        said.append(one)
        if isinstance(one, Drained):
            begun.append(virtual.clock.ns + 2 * MS)
            sender.again(begun[-1], 40 * MS)
            sender.pause(begun[-1] + 200 * MS)
            if len(begun) == 4:
                sender.stop()

    plan = job(slots=4)
    sender = Sender(plan, Rotation(plan.supplies, 0), say, virtual.clock.now)
    virtual.audience = sender
    sender.pause(begun[0] + 200 * MS)
    sender.run(virtual, begun[0])
    sent = np.array([moment for moment, _, _ in virtual.sent])
    for at, after in pairwise(begun):
        mine = sent[(sent >= at) & (sent < after)]
        assert len(mine) == pytest.approx(80, abs=12)
        # Nothing is sent in a pause, which ends when the last answer is there.
        assert mine.max() < at + 200 * MS
        assert after == mine.max() + 12 * MS
    assert np.all(sent[:4] == begun[0])
    for at in begun[1:3]:
        first = np.sort(sent[sent >= at])[:4]
        assert len(set(first.tolist())) == 4
        assert at <= first.min() < first.max() < at + 40 * MS
    drained = [at for at, one in enumerate(said) if isinstance(one, Drained)]
    before = [said[at - 1] for at in drained]
    assert [one.in_flight for one in before if isinstance(one, Chunk)] == [0, 0, 0]
    assert isinstance(said[-1], Ended)
