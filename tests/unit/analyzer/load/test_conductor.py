"""One run, with a crew that only says what it is told to: no process, no server."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.virtual_client import MS, SECOND

from analyzer.errors import LoadError
from analyzer.launcher import Endpoint
from analyzer.load.arrivals import schedule_of
from analyzer.load.chunk import Chunk, Drained, Ended, Ready, Said
from analyzer.load.conductor import Conductor, Crowded
from analyzer.load.crew import DriverSettings
from analyzer.load.outcome import STOPPED
from analyzer.load.records import RECORD
from analyzer.load.share import is_local, jobs_of, most_senders
from analyzer.load.window import WindowsRule
from analyzer.load.workload import Item, Workload
from analyzer.record.row import LoadSpec
from analyzer.statistics.stopping import Precision, PrecisionRule, episodes_of
from engine.types import InferRequest

NOBODY = Endpoint("127.0.0.1:1")
WORKLOAD = Workload((Item(model="m", requests=(InferRequest(inputs=()),)),))


class TalkingCrew:
    """Senders that answer a request every ms each, and take ``cpu`` of a core each for it."""

    def __init__(self, senders: int, cpu: float) -> None:
        self._senders = senders
        self._cpu = cpu
        self._start = SECOND
        self._told = 0
        self.stopped = False
        self.begun: list[tuple[int, int]] = []
        self.pauses: list[int] = []

    def __len__(self) -> int:
        return self._senders

    def begin(self, at_ns: int, spread_ns: int = 0) -> None:
        self._start, self._told = at_ns, 0
        self.begun.append((at_ns, spread_ns))

    def now(self) -> int:
        return self._start + self._told

    def pause(self, at_ns: int) -> None:
        self.pauses.append(at_ns)

    def stop(self) -> None:
        self.stopped = True

    def says(self) -> Iterator[tuple[int, Said] | None]:
        for index in range(self._senders):
            yield index, Ready(cpu_ns=7)
        told, answered = 0, 0
        while not self.stopped and told < 30 * SECOND:
            for index in range(self._senders):
                yield index, self._chunk(told, index)
            told = self._told = told + 50 * MS
            yield None
            if len(self.pauses) > answered and self._start + told >= self.pauses[answered]:
                answered, told = answered + 1, 0
                for index in range(self._senders):
                    yield index, Drained()
        for index in range(self._senders):
            yield index, Ended()

    def _chunk(self, told: int, index: int) -> Chunk:
        array = np.zeros(50, dtype=RECORD)
        array["last"] = self._start + told + np.arange(1, 51) * MS - index
        array["planned"] = array["began"] = array["last"] - MS
        upto = self._start + told + 50 * MS
        return Chunk(
            upto_ns=upto,
            in_flight=1,
            area=told + 50 * MS,
            cpu_ns=7 + int((told + 50 * MS) * self._cpu),
            dropped=0,
            records=array.tobytes(),
        )


def conduct(crew: TalkingCrew, *, last: bool, stop: bool = False, **changes: Any) -> Any:
    rule = WindowsRule(seconds=0.2, max_windows=4, tolerance=0.1)
    load = LoadSpec(**{"concurrency": len(crew), **changes})
    conductor = Conductor(NOBODY, WORKLOAD, load, None, rule, DriverSettings())
    # The fake has what a run needs of a crew.
    return conductor.go(crew, lambda: stop, lambda _: None, last=last)  # type: ignore[arg-type]


def test_senders_are_merged_into_one_stream_of_requests() -> None:
    crew = TalkingCrew(3, 0.2)
    driven = conduct(crew, last=True)
    assert crew.stopped
    assert driven.requests == 3 * 600
    assert np.all(np.diff(driven.records.array["last"]) > 0)
    assert driven.window_rates == pytest.approx([3000] * 3)
    assert driven.client_cpu == pytest.approx(0.6)
    assert driven.in_flight == pytest.approx(3)
    assert driven.little == pytest.approx(1, rel=1e-3)
    assert not driven.invalid
    assert driven.server is None


def test_a_closed_loop_is_begun_anew_when_all_senders_are_drained() -> None:
    precision = Precision(throughput=1e-6, percentile=None, min_seconds=0.5, max_seconds=0.8)
    rule = PrecisionRule(precision, episodes=episodes_of(precision, 3))
    crew = TalkingCrew(3, 0.2)
    settings = DriverSettings(now=crew.now)
    conductor = Conductor(NOBODY, WORKLOAD, LoadSpec(concurrency=3), None, rule, settings)
    driven = conductor.go(crew, lambda: False, lambda _: None, last=True)  # type: ignore[arg-type]
    # The first pause comes when the server is warm; then each episode has a beginning and an end.
    assert len(crew.pauses) == len(crew.begun) > 4
    assert crew.begun[0][1] == 0
    assert all(spread == MS for _, spread in crew.begun[1:])
    for (at, _), pause in zip(crew.begun[1:], crew.pauses[1:], strict=True):
        assert 100 * MS <= pause - at <= 102 * MS
    assert all(at > pause for (at, _), pause in zip(crew.begun[1:], crew.pauses, strict=False))
    assert driven.summary is not None
    assert driven.summary.parts == len(driven.spans_ns) == driven.windows
    assert driven.requests == sum(
        round(rate * (end - start) / 1e9)
        for rate, (start, end) in zip(driven.window_rates, driven.spans_ns, strict=True)
    )
    assert driven.seconds < (driven.ended_ns - driven.started_ns) / 1e9
    assert driven.summary.throughput.value == pytest.approx(3000, rel=0.02)


def test_a_sender_that_is_too_busy_asks_for_another_where_there_may_be_one() -> None:
    with pytest.raises(Crowded):
        conduct(TalkingCrew(1, 0.9), last=False)
    assert conduct(TalkingCrew(1, 0.7), last=False).stable
    assert "a sender was busy 97%" in conduct(TalkingCrew(1, 0.97), last=True).invalid


def test_stopped_before_a_window_is_over_there_is_nothing() -> None:
    with pytest.raises(LoadError, match=STOPPED):
        conduct(TalkingCrew(1, 0.1), last=True, stop=True)


def test_a_core_is_left_to_a_server_on_this_machine() -> None:
    assert [most_senders(NOBODY, cores) for cores in (1, 2, 8)] == [1, 1, 7]
    elsewhere = Endpoint("192.0.2.7:8000")
    assert not is_local(elsewhere)
    assert most_senders(elsewhere, 8) == 8
    assert is_local(Endpoint("192.0.2.7:8000", pid=1))
    assert is_local(Endpoint("localhost:8000"))


@pytest.mark.parametrize("senders", [1, 3, 16])
def test_slots_and_requests_are_shared_out_whole(senders: int) -> None:
    load = LoadSpec(concurrency=5, rule="count", request_count=103, warmup_requests=4)
    jobs = jobs_of(NOBODY, WORKLOAD, load, None, senders)
    assert sum(job.slots for job in jobs) == 5
    assert sum(job.count for job in jobs) == 107
    assert all(job.slots and job.count and job.ahead == job.slots for job in jobs)
    assert [job.index for job in jobs] == list(range(min(senders, 5)))


def test_an_open_loop_has_as_many_slots_as_may_be_in_flight() -> None:
    load = LoadSpec(request_rate=20_000.0, max_inflight=900)

    jobs = jobs_of(NOBODY, WORKLOAD, load, schedule_of(load), 2)
    assert [(job.slots, job.ahead, job.elastic) for job in jobs] == [(450, 256, False)] * 2


def test_a_load_of_nothing_at_once_is_an_error() -> None:
    with pytest.raises(LoadError, match="concurrency of at least 1"):
        jobs_of(NOBODY, WORKLOAD, LoadSpec(concurrency=0), None, 1)
