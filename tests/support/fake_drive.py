"""The load client in virtual time: a server of so many workers, and requests that it answers.

What ``load`` asks for is simulated on a clock of its own; the stopping rule hears of what finished
every 0.1 s of it, and the result has the records that a real run would have.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from analyzer.load.arrivals import Schedule, schedule_of
from analyzer.load.driven import Driven, Times
from analyzer.load.records import RECORD, Records
from analyzer.metrics import ServerTimes
from analyzer.record.row import LoadSpec
from analyzer.statistics.stopping import StoppingRule, Verdict

START = 1_000_000_000_000
TICK = 100_000_000


@dataclass
class FakeServer:
    """``workers`` requests are served at a time, each for ``service_ms``, give or take ``jitter``.

    ``slower`` gives a factor by the time of virtual seconds since the start. Every ``fail_every``th
    request fails. ``loads`` remembers what was asked.
    """

    workers: int = 2
    service_ms: float = 1.0
    jitter: float = 0.05
    slower: Callable[[float], float] = lambda _: 1.0
    fail_every: int = 0
    server: ServerTimes | None = None
    most: int = 200_000
    responses: int = 1
    loads: list[LoadSpec] = field(default_factory=list)

    def __call__(
        self, load: LoadSpec, schedule: Schedule | None, rule: Callable[[], StoppingRule]
    ) -> Driven:
        self.loads.append(load)
        judge, rows, told = rule(), [], 0
        verdict, now = Verdict.GO_ON, START + TICK
        plan = schedule or schedule_of(load)
        for row in islice(self._rows(load, plan), load.request_count or self.most):
            while row[4] > now and verdict is Verdict.GO_ON:
                done = _array(rows[told:])
                told = len(rows)
                good = done["error"] == 0
                verdict = judge.add(done["last"][good], (done["last"] - done["planned"])[good], now)
                now += TICK
            if verdict is not Verdict.GO_ON:
                break
            rows.append(row)
        return self._driven(load, _array(rows), verdict)

    def _rows(self, load: LoadSpec, plan: Schedule | None) -> Iterator[tuple[int, ...]]:
        """Yield records in the order of their ends."""
        chance = np.random.default_rng(load.seed)
        free = [START] * self.workers
        due = iter([START] * load.concurrency) if plan is None else map(_later, plan.offsets())
        waiting: list[tuple[int, int, int]] = []
        coming = next(due, None)
        count = 0
        while coming is not None or waiting:
            while coming is not None and (not waiting or coming <= waiting[0][0]):
                worker = heapq.heappop(free)
                began = max(worker, coming)
                factor = self.slower((began - START) / 1e9) * (1 + self.jitter * chance.normal())
                last = began + max(1000, int(self.service_ms * 1e6 * factor))
                heapq.heappush(free, last)
                heapq.heappush(waiting, (last, coming, began))
                coming = next(due, None)
            last, planned, _ = heapq.heappop(waiting)
            count += 1
            failed = int(bool(self.fail_every) and count % self.fail_every == 0)
            yield (planned, planned, planned + 2000, last - 1000, last, 0, failed, 1, 0)
            if plan is None:
                coming = last

    def _driven(self, load: LoadSpec, array: np.ndarray, verdict: Verdict) -> Driven:
        records = Records(array, ("it failed",) if self.fail_every else ())
        good = records.succeeded
        failed = int((~good).sum())
        return Driven(
            protocol=load.protocol,
            started_ns=START,
            ended_ns=int(array["last"].max()) if len(array) else START,
            latency_ns=records.latency_ns[good],
            window_rates=(),
            send_ns=2000.0,
            receive_ns=1000.0,
            failed=failed,
            first_error="it failed" if failed else None,
            stable=verdict is Verdict.STEADY or bool(load.request_count),
            client_cpu=0.1,
            server=self.server,
            windows=1,
            warmup_requests=10,
            warmup_seconds=0.5,
            records=records,
            service=Times.of(records.service_ns[good]),
            send_lag=Times.of(records.lag_ns[good]),
        )


def _later(offset: int) -> int:
    return START + offset


def _array(rows: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(rows, dtype=RECORD)
