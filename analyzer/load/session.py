"""One run of the load: warm-up, then windows until they are steady.

Owns what is counted: which requests, between which moments. Does not own how requests are
sent (``client``), when they are due (``arrivals``) nor when windows end (``window``).

Rules:

1. The warm-up is discarded: until max(8, twice the slots, ``warmup_requests``) requests have
   been answered, so that every instance has been touched, and half a second has passed (half
   a window, where that is less).
2. A window's bounds are the moments at which requests finished: n requests one after another
   take exactly n latencies, however short the window.
3. The server's counters are read at every bound.
4. A window in which requests failed and none succeeded ends the run with the server's text.
5. However slow the model, the windows together take about twice what ``max_windows`` windows
   of the usual length do, and no longer: a sweep has a time to keep to. But three are taken,
   and none ends empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analyzer.counters import Counters, server_times
from analyzer.errors import LoadError
from analyzer.load.arrivals import Arrivals
from analyzer.load.client import Client, Exchange
from analyzer.load.driven import Driven
from analyzer.load.window import AGREEING, Steadiness, WindowEnd, WindowSample
from analyzer.load.wire import Alive, Line, Warmed
from analyzer.record.row import LoadSpec
from analyzer.statistics.stopping import Verdict

WARM_REQUESTS = 8
WARM_SECONDS = 0.5
MIN_WINDOW_REQUESTS = 5
#: a window lasts at most so many times its seconds, if a request finished; the warm-up too
CAP = 6
#: rule 5
PATIENCE = 2
STEP_SECONDS = 0.01
DRAIN_SECONDS = 10.0
STOPPED = "stopped before the first window was over"
_now = time.monotonic_ns


@dataclass(frozen=True, slots=True)
class Bound:
    """The moment between two windows: how many requests had been answered, and what it cost.

    ``at_ns`` is when the last of them was; ``cpu_ns`` is this process's CPU time at ``seen_ns``.
    """

    answered: int
    failed: int
    at_ns: int
    seen_ns: int
    cpu_ns: int
    counters: asyncio.Future[Counters | None]


class Session:
    """Drives a client through one run. ``read`` reads the server's counters, blocking."""

    def __init__(
        self,
        load: LoadSpec,
        arrivals: Arrivals,
        *,
        read: Callable[[], Counters | None],
        say: Callable[[Line], None],
    ) -> None:
        self._load = load
        self._arrivals = arrivals
        self._read = read
        self._say = say
        self._latency = array("q")
        self._send = array("q")
        self._receive = array("q")
        self._last = 0
        self._failed = 0
        self._first_error: str | None = None
        self._broken: str | None = None
        self._in_flight = 0
        self._ending = False
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._bounds: list[Bound] = []

    async def run(self, client: Client) -> Driven:
        """Load the server until its windows are steady, or there have been enough.

        Raises:
            LoadError: nothing could be measured; the text is the server's own.
        """
        self._client = client
        await client.open()
        beat = asyncio.create_task(self._beat())
        try:
            start = _now()
            for slot in range(self._arrivals.slots):
                self._send_on(slot, self._arrivals.first(slot, start))
            await self._warm_up(start)
            steadiness = await self._measure()
        except _Stopped as error:
            raise LoadError(STOPPED) from error
        finally:
            self._ending = True
            await self._drain()
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat
            await client.close()
        return await self._result(steadiness)

    def stop(self) -> None:
        """End early, with the windows there are."""
        self._ending = True
        self._wake.set()

    def finished(self, exchange: Exchange) -> None:
        """Count one request, and send the slot's next."""
        self._in_flight -= 1
        self._last = exchange.last
        if exchange.error is None:
            self._latency.append(exchange.last - exchange.planned)
            self._send.append(exchange.sent - exchange.began)
            self._receive.append(exchange.last - exchange.first)
        else:
            self._failed += 1
            self._first_error = self._first_error or exchange.error
        if not self._ending:
            slot = exchange.slot
            following = self._arrivals.following(slot, exchange.planned, exchange.last)
            self._send_on(slot, following)
        elif not self._in_flight:
            self._drained.set()

    def broken(self, reason: str) -> None:
        """End the run: nothing can be sent any more."""
        self._in_flight -= 1
        self._broken = reason
        self._ending = True
        self._wake.set()
        self._drained.set()

    def _send_on(self, slot: int, planned_ns: int) -> None:
        self._in_flight += 1
        early = planned_ns - _now()
        if early <= 0:
            self._client.send(slot, planned_ns)
        else:
            asyncio.get_running_loop().call_later(early / 1e9, self._client.send, slot, planned_ns)

    async def _warm_up(self, start: int) -> None:
        wanted = max(WARM_REQUESTS, 2 * self._arrivals.slots, self._load.warmup_requests)
        least = min(WARM_SECONDS, self._load.window_seconds / 2)
        rule = WindowEnd(
            seconds=least, requests=wanted, cap_seconds=max(least, CAP * self._load.window_seconds)
        )
        while not rule.over((_now() - start) / 1e9, self._answered) or not self._answered:
            await self._pause(start, least)
        self._cut()
        self._require_success(since=0, failed_before=0)
        self._warmed = Warmed(self._answered, (self._last - start) / 1e9)
        self._say(self._warmed)

    async def _measure(self) -> Steadiness:
        steadiness = Steadiness(tolerance=self._load.tolerance, max_windows=self._load.max_windows)
        seconds = self._load.window_seconds
        rule = WindowEnd(
            seconds=seconds,
            requests=max(MIN_WINDOW_REQUESTS, 2 * self._arrivals.slots),
            cap_seconds=CAP * seconds,
        )
        verdict = Verdict.GO_ON
        until = _now() + int(PATIENCE * self._load.max_windows * seconds * 1e9)
        while verdict is Verdict.GO_ON and (_now() < until or steadiness.counted < AGREEING):
            before = self._bounds[-1]
            begun = _now()
            while not rule.over((_now() - begun) / 1e9, self._answered - before.answered):
                try:
                    await self._pause(begun, seconds)
                except _Stopped:
                    return steadiness
            self._cut()
            sample = self._sample(before, self._bounds[-1])
            self._require_success(since=before.answered, failed_before=before.failed)
            self._say(sample)
            verdict = steadiness.add(sample)
        return steadiness

    async def _pause(self, begun_ns: int, seconds: float) -> None:
        """Let the load run until ``seconds`` after ``begun_ns``, or else for a moment."""
        remaining = seconds - (_now() - begun_ns) / 1e9
        try:
            async with asyncio.timeout(max(STEP_SECONDS, remaining)):
                await self._wake.wait()
        except TimeoutError:
            return
        if self._broken is None:
            raise _Stopped
        before = f"; before that: {self._first_error}" if self._first_error else ""
        raise LoadError(f"{self._broken}{before}")

    def _cut(self) -> None:
        """Put a bound here: at the last request that finished."""
        loop = asyncio.get_running_loop()
        now = _now()
        self._bounds.append(
            Bound(
                answered=self._answered,
                failed=self._failed,
                at_ns=self._last or now,
                seen_ns=now,
                cpu_ns=time.process_time_ns(),
                counters=loop.run_in_executor(None, self._read),
            )
        )

    @property
    def _answered(self) -> int:
        return len(self._latency) + self._failed

    def _require_success(self, *, since: int, failed_before: int) -> None:
        failed = self._failed - failed_before
        if failed and failed == self._answered - since:
            raise LoadError(f"every request failed; the first: {self._first_error}")

    def _sample(self, start: Bound, end: Bound) -> WindowSample:
        latency = self._between(self._latency, start, end)
        count = len(latency)
        rank = int(0.99 * (count - 1) + 0.5)
        return WindowSample(
            seconds=(end.at_ns - start.at_ns) / 1e9,
            requests=count,
            failed=end.failed - start.failed,
            latency_avg_ns=float(latency.mean()) if count else 0.0,
            latency_p99_ns=float(np.partition(latency, rank)[rank]) if count else 0.0,
        )

    def _between(self, values: array[int], start: Bound, end: Bound) -> npt.NDArray[np.int64]:
        """Return a copy of what was recorded of the successes between two bounds."""
        span = slice(start.answered - start.failed, end.answered - end.failed)
        return np.array(values[span], dtype=np.int64)

    async def _result(self, steadiness: Steadiness) -> Driven:
        if len(self._bounds) <= 1:
            raise LoadError(STOPPED)
        bounds = self._bounds[-1 - steadiness.counted :]
        start, end = bounds[0], bounds[-1]
        latency = self._between(self._latency, start, end)
        if not len(latency):
            raise LoadError("no request finished in the measured windows")
        rates = [
            self._sample(left, right).rate * self._load.batch_size
            for left, right in pairwise(bounds)
        ]
        sees = self._client.sees_bytes
        before, after = await start.counters, await end.counters
        return Driven(
            protocol=self._load.protocol,
            started_ns=start.at_ns,
            ended_ns=end.at_ns,
            latency_ns=latency,
            window_rates=tuple(rates),
            send_ns=float(self._between(self._send, start, end).mean()) if sees else None,
            receive_ns=float(self._between(self._receive, start, end).mean()) if sees else None,
            failed=self._failed,
            first_error=self._first_error,
            stable=steadiness.steady,
            client_cpu=(end.cpu_ns - start.cpu_ns) / (end.seen_ns - start.seen_ns),
            server=server_times(before, after),
            windows=len(self._bounds) - 1,
            warmup_requests=self._warmed.requests,
            warmup_seconds=self._warmed.seconds,
        )

    async def _drain(self) -> None:
        """Wait for what is in flight, so that it does not burden the next measurement."""
        if self._in_flight and self._broken is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._drained.wait()

    async def _beat(self) -> None:
        while True:
            self._say(Alive(self._answered, self._in_flight))
            await asyncio.sleep(1)


class _Stopped(Exception):
    """The run was asked to end early."""
