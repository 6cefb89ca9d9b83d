"""perf_analyzer's rule of when enough was measured: windows that agree. Pure.

Rules, in the manner of perf_analyzer (``inference_profiler.cc``), and where they differ:

1. Windows follow one another without a gap; a request belongs to the one it finishes in. A window's
   bounds are moments at which requests finished: n requests one after another take exactly n
   latencies, however short the window.
2. A window lasts ``seconds``, and longer until ``requests`` have finished, but not longer
   than ``cap_seconds``: a slow model gets windows long enough to say something.
3. Measuring is steady when the last three windows agree: the greatest throughput is at most
   1 + ``tolerance`` times the least, and likewise the average latency. Average, not p99: of the
   few dozen requests of a short window the p99 is a single one of them.
4. After ``max_windows`` it gives up, which is no error: the latest half of the windows, at
   least three, is reported as not stable. An early transient is in the half left out.
5. However slow the model, the windows together take about twice what ``max_windows`` windows
   of the usual length do, and no longer: a sweep has a time to keep to. But three are taken,
   and none ends empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analyzer.statistics.stopping import Verdict
from analyzer.statistics.summary import PERCENTILES, Summary, since, summarise

AGREEING = 3
MIN_REQUESTS = 5
#: a window lasts at most so many times its seconds, if a request finished
CAP = 6
#: rule 5
PATIENCE = 2

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSample:
    """One window: what finished in it, and how fast. ``requests`` succeeded.

    ``in_flight`` is how many were under way at its end, ``dropped`` how many were not sent in it
    because as many were as may be.
    """

    seconds: float
    requests: int
    failed: int
    latency_avg_ns: float
    latency_p99_ns: float
    in_flight: int = 0
    dropped: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0


def sample_of(latency_ns: Times, seconds: float) -> WindowSample:
    """Describe the requests that succeeded in a window of so many seconds."""
    count = len(latency_ns)
    rank = int(0.99 * (count - 1) + 0.5)
    return WindowSample(
        seconds=seconds,
        requests=count,
        failed=0,
        latency_avg_ns=float(latency_ns.mean()) if count else 0.0,
        latency_p99_ns=float(np.partition(latency_ns, rank)[rank]) if count else 0.0,
    )


class Steadiness:
    """Judges window after window, from these alone."""

    def __init__(self, *, tolerance: float, max_windows: int) -> None:
        self._tolerance = tolerance
        self._max_windows = max(1, max_windows)
        self._seen: list[WindowSample] = []

    def add(self, sample: WindowSample) -> Verdict:
        """Take in the window that just ended, and say what to do."""
        self._seen.append(sample)
        if self._agree(self._seen[-AGREEING:]):
            return Verdict.STEADY
        return Verdict.GIVE_UP if len(self._seen) >= self._max_windows else Verdict.GO_ON

    @property
    def samples(self) -> tuple[WindowSample, ...]:
        """All of them, in order."""
        return tuple(self._seen)

    @property
    def steady(self) -> bool:
        """Whether the last three windows agree."""
        return self._agree(self._seen[-AGREEING:])

    @property
    def counted(self) -> int:
        """How many of the latest windows make the result."""
        if self.steady:
            return AGREEING
        return min(len(self._seen), max(AGREEING, (len(self._seen) + 1) // 2))

    def _agree(self, last: list[WindowSample]) -> bool:
        if len(last) < AGREEING or not all(sample.requests for sample in last):
            return False
        rates = [sample.rate for sample in last]
        latencies = [sample.latency_avg_ns for sample in last]
        most = 1 + self._tolerance
        return max(rates) <= most * min(rates) and max(latencies) <= most * min(latencies)


class WindowsRule:
    """Cuts what finishes into windows, and stops when ``Steadiness`` has seen enough.

    The first request that it hears of marks the first window's beginning, and is in none.
    ``inferences`` is how many each request is.
    """

    def __init__(
        self,
        *,
        seconds: float,
        max_windows: int,
        tolerance: float,
        requests: int = MIN_REQUESTS,
        cap_seconds: float | None = None,
        inferences: int = 1,
    ) -> None:
        self._seconds = seconds
        self._requests = max(1, requests)
        self._cap = CAP * seconds if cap_seconds is None else cap_seconds
        self._patience = PATIENCE * max_windows * seconds if seconds else math.inf
        self._steadiness = Steadiness(tolerance=tolerance, max_windows=max_windows)
        self._inferences = inferences
        self._done = np.empty(0, np.int64)
        self._latency = np.empty(0, np.int64)
        #: windows are between these, by the number of requests so far
        self._bounds: list[int] = []
        self._verdict = Verdict.GO_ON

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished; judge the windows that are over."""
        if self._verdict is not Verdict.GO_ON:
            return self._verdict
        self._done = np.concatenate((self._done, done_ns))
        self._latency = np.concatenate((self._latency, latency_ns))
        if not self._bounds and len(self._done):
            self._bounds.append(1)
        while self._bounds and self._verdict is Verdict.GO_ON:
            end = self._end(now_ns)
            if end is None:
                break
            self._cut(end)
        return self._verdict

    @property
    def samples(self) -> tuple[WindowSample, ...]:
        """The windows so far, in order."""
        return self._steadiness.samples

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Which requests, of all it was told of, are in each of the windows that count."""
        return tuple(pairwise(self._bounds[-1 - self._steadiness.counted :]))

    def summary(self) -> Summary:
        """Summarise the windows that count."""
        spans = self.spans
        start, end = (spans[0][0], spans[-1][1]) if spans else (0, 0)
        return summarise(
            self._done[start:end],
            self._latency[start:end],
            inferences=self._inferences,
            percentiles=PERCENTILES,
            spans_ns=since(int(self._done[start - 1]) if start else None),
        )

    def _end(self, now_ns: int | None) -> int | None:
        """Return how many requests there had been when the running window ended, if it has."""
        start = self._bounds[-1]
        done, bound = self._done[start:], int(self._done[start - 1])
        long_enough = int(np.searchsorted(done, bound + int(self._seconds * 1e9)))
        at_cap = len(done)
        if math.isfinite(self._cap):
            at_cap = int(np.searchsorted(done, bound + int(self._cap * 1e9)))
        last = min(max(long_enough, self._requests - 1), at_cap)
        if last < len(done):
            return start + last + 1
        elapsed = 0.0 if now_ns is None else (now_ns - bound) / 1e9
        full = len(done) >= self._requests and elapsed >= self._seconds
        if full or (len(done) and elapsed >= self._cap):
            return start + len(done)
        return None

    def _cut(self, end: int) -> None:
        start = self._bounds[-1]
        self._bounds.append(end)
        seconds = float(self._done[end - 1] - self._done[start - 1]) / 1e9
        self._verdict = self._steadiness.add(sample_of(self._latency[start:end], seconds))
        total = float(self._done[end - 1] - self._done[0]) / 1e9
        tired = total >= self._patience and len(self.samples) >= AGREEING
        if self._verdict is Verdict.GO_ON and tired:
            self._verdict = Verdict.GIVE_UP


class UntilEnd:
    """Goes on until all has been sent that there is to send."""

    def __init__(self) -> None:
        self._done: list[Times] = [np.empty(0, np.int64)]
        self._latency: list[Times] = [np.empty(0, np.int64)]

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished."""
        del now_ns
        self._done.append(done_ns)
        self._latency.append(latency_ns)
        return Verdict.GO_ON

    def summary(self) -> Summary:
        """Summarise all that finished."""
        return summarise(np.concatenate(self._done), np.concatenate(self._latency))
