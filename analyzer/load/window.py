"""When a window ends, and when enough windows have been seen. Pure.

Rules, in the manner of perf_analyzer (``inference_profiler.cc``), and where they differ:

1. Windows follow one another without a gap; a request belongs to the one it finishes in.
2. A window lasts ``seconds``, and longer until ``requests`` have finished, but not longer
   than ``cap_seconds``: a slow model gets windows long enough to say something.
3. Measuring is steady when the last three windows agree: the greatest throughput is at most
   1 + ``tolerance`` times the least, and likewise the average latency. Average, not p99: of the
   few dozen requests of a short window the p99 is a single one of them.
4. A window in which nothing finished agrees with nothing.
5. After ``max_windows`` it gives up, which is no error: the latest half of the windows, at
   least three, is reported as not stable. An early transient is in the half left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.statistics.stopping import Verdict

AGREEING = 3


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnd:
    """When a window is over."""

    seconds: float
    requests: int
    cap_seconds: float

    def over(self, elapsed_seconds: float, finished: int) -> bool:
        """Whether a window that has run so long, and finished so many, is to end now.

        At the cap it ends with fewer requests than it should have, but not without any.
        """
        if elapsed_seconds < self.seconds:
            return False
        return finished >= self.requests or (finished > 0 and elapsed_seconds >= self.cap_seconds)


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
