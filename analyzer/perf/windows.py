"""perf_analyzer's rule of when a figure is stable, to the letter. Pure.

1. Windows lie back to back. A time window is 1.2 times ``--measurement-interval`` long; a count
   window as many whole seconds as it takes to see ``--measurement-request-count`` requests.
2. A request counts in the window in which it ends.
3. Stable are three windows in a row in none of which nothing ended, where the largest throughput
   is at most (1 + tolerance) times the least, and likewise the latency that counts: the average, or
   the percentile by nearest rank.
4. It is over when they are stable, when the latency of one of the last three reaches the threshold,
   or after ``max_trials`` windows. What then counts are the last three, pooled.
5. If at the end only the latency is unstable, and sending does not wait for answers, the figures
   are taken, with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.perf.options import Measuring, Rule
from analyzer.statistics.order import nearest
from analyzer.statistics.stopping import Verdict
from analyzer.statistics.summary import PERCENTILES, Summary, since, summarise

Times = npt.NDArray[np.int64]

AGREEING = 3
STRETCH = 1.2
SECOND = 1_000_000_000
#: what a sender saw is known so much later, ns: until then a window is not closed
LATE_NS = 250_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window: requests that ended in it, and the latency that counts (ns)."""

    start_ns: int
    end_ns: int
    requests: int
    latency_ns: float
    average_ns: float
    deviation_ns: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / ((self.end_ns - self.start_ns) / 1e9)


class WindowsRule:
    """A ``StoppingRule`` of windows. ``inferences`` is how many each request is.

    ``threshold_ns`` 0 is no threshold. ``sync`` says that sending waits for answers, so that an
    unstable latency is not excused (rule 5).
    """

    def __init__(
        self,
        measuring: Measuring,
        *,
        percentile: int | None,
        threshold_ns: float,
        sync: bool,
        inferences: int = 1,
    ) -> None:
        self._measuring = measuring
        self._percentile = percentile
        self._threshold_ns = threshold_ns
        self._sync = sync
        self._inferences = inferences
        self._parts: list[tuple[Times, Times]] = []
        self._start: int | None = None
        self._windows: list[Window] = []
        self._kept: list[tuple[Times, Times]] = []

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows so far."""
        return tuple(self._windows)

    @property
    def merged(self) -> tuple[Window, ...]:
        """The windows that count."""
        return tuple(self._windows[-AGREEING:])

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Where the windows that count begin and end; None before the first is over."""
        if not self._windows:
            return None
        return self.merged[0].start_ns, self.merged[-1].end_ns

    @property
    def latency_unsteady(self) -> bool:
        """Whether only the throughput is stable (rule 5)."""
        return not self._agree(latency=True) and self._agree(latency=False)

    @property
    def over_threshold(self) -> bool:
        """Whether the latency that counts, of the windows that count, reaches the threshold."""
        if not self._threshold_ns:
            return False
        return any(each.latency_ns >= self._threshold_ns for each in self.merged)

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished; close the windows that are over."""
        if len(done_ns):
            self._parts.append((done_ns, latency_ns))
        now = max(now_ns or 0, int(done_ns.max()) if len(done_ns) else 0)
        if self._start is None:
            began = int((done_ns - latency_ns).min()) if len(done_ns) else now
            self._start = began or None
        verdict = Verdict.GO_ON
        while self._start is not None and verdict is Verdict.GO_ON:
            end = self._end(self._start, now - LATE_NS)
            if end is None:
                break
            self._close(self._start, end)
            self._start = end
            verdict = self._verdict()
        return verdict

    def summary(self) -> Summary:
        """Summarise the windows that count; before the first is over, all there is."""
        return _summarised(
            self._kept[-AGREEING:] or self._parts,
            self._percentile,
            self._inferences,
            self.merged[0].start_ns if self._windows else None,
        )

    def _end(self, start: int, known_ns: int) -> int | None:
        """Return where the window that begins at ``start`` ends, if that is past."""
        if self._measuring.rule is Rule.TIME_WINDOWS:
            end = start + int(self._measuring.window_ms * STRETCH) * 1_000_000
            return end if end <= known_ns else None
        seconds = (known_ns - start) // SECOND
        done, _ = _joined(self._parts)
        for count in range(1, seconds + 1):
            end = start + count * SECOND
            if int((done <= end).sum()) >= self._measuring.window_requests:
                return end
        return None

    def _close(self, start: int, end: int) -> None:
        done, latency = _joined(self._parts)
        inside = done <= end
        mine, took = done[inside], latency[inside]
        self._kept.append((mine, took))
        self._parts = [(done[~inside], latency[~inside])]
        average = float(took.mean()) if len(took) else 0.0
        counts = average
        if self._percentile is not None and len(took):
            counts = float(np.sort(took)[nearest(len(took), self._percentile)])
        self._windows.append(
            Window(
                start_ns=start,
                end_ns=end,
                requests=len(took),
                latency_ns=counts,
                average_ns=average,
                deviation_ns=float(took.std(ddof=1)) if len(took) > 1 else 0.0,
            )
        )

    def _verdict(self) -> Verdict:
        if self._agree(latency=True):
            return Verdict.STEADY
        if len(self._windows) >= AGREEING and self.over_threshold:
            return Verdict.GIVE_UP
        if len(self._windows) < self._measuring.max_trials:
            return Verdict.GO_ON
        excused = not self._sync and self._agree(latency=False)
        return Verdict.STEADY if excused else Verdict.GIVE_UP

    def _agree(self, *, latency: bool) -> bool:
        last = self.merged
        if len(last) < AGREEING or not all(each.requests for each in last):
            return False
        most = 1 + self._measuring.tolerance
        rates = [each.rate for each in last]
        latencies = [each.latency_ns for each in last]
        return max(rates) <= most * min(rates) and (
            not latency or max(latencies) <= most * min(latencies)
        )


class CountRule:
    """The rule of a given number of requests: it only keeps count, as the last one ends it."""

    def __init__(self, *, percentile: int | None, inferences: int) -> None:
        self._percentile = percentile
        self._inferences = inferences
        self._parts: list[tuple[Times, Times]] = []

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished."""
        del now_ns
        self._parts.append((done_ns, latency_ns))
        return Verdict.GO_ON

    def summary(self) -> Summary:
        """Summarise all that finished."""
        return _summarised(self._parts, self._percentile, self._inferences, None)


def _joined(parts: Sequence[tuple[Times, Times]]) -> tuple[Times, Times]:
    nothing = np.empty(0, np.int64)
    return (
        np.concatenate([nothing, *(done for done, _ in parts)]),
        np.concatenate([nothing, *(latency for _, latency in parts)]),
    )


def _summarised(
    parts: Sequence[tuple[Times, Times]],
    percentile: int | None,
    inferences: int,
    from_ns: int | None,
) -> Summary:
    done, latency = _joined(parts)
    wanted = {*PERCENTILES, *(() if percentile is None else (float(percentile),))}
    return summarise(
        done, latency, inferences=inferences, percentiles=sorted(wanted), spans_ns=since(from_ns)
    )
