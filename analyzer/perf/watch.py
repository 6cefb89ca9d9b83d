"""What is known of a measurement while it runs: for whoever shows it. Pure.

A ``Watched`` rule is a stopping rule that tells an observer now and then how far it is. To
summarise everything costs the more the more there is, so that is done ever less often.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from analyzer.perf.options import Measuring, Rule
from analyzer.statistics.episodes import Episodes
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.stopping import StoppingRule, Verdict
from analyzer.statistics.summary import Summary

Times = npt.NDArray[np.int64]

LOOK_NS = 250_000_000
#: a summary follows when the measurement has grown by so much, and at least so long
GROWTH, LEAST_NS = 1.15, 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How it goes: since the last look, and in all. Rates in requests a second, times in ns."""

    seconds: float
    requests: int
    rate: float
    p50_ns: float
    p99_ns: float
    summary: Summary | None


class Watched:
    """A stopping rule, and an observer that hears of it."""

    def __init__(self, rule: StoppingRule, observe: Callable[[Look], None]) -> None:
        self._rule = rule
        self._observe = observe
        self._begun = 0
        self._last = 0
        self._requests = 0
        self._recent: list[Times] = []
        self._next_summary = 0.0
        self._summary: Summary | None = None

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished, and say so now and then."""
        verdict = self._rule.add(done_ns, latency_ns, now_ns)
        now = max(now_ns or 0, int(done_ns.max()) if len(done_ns) else 0)
        if not self._begun:
            self._begun = self._last = now
        self._requests += len(done_ns)
        self._recent.append(latency_ns)
        if now - self._last >= LOOK_NS:
            self._look(now)
        return verdict

    def summary(self) -> Summary:
        """Summarise what counts."""
        return self._rule.summary()

    @property
    def dropped(self) -> int:
        """How many requests the rule leaves out at the front."""
        return int(getattr(self._rule, "dropped", 0))

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """The moments between which requests count, where the rule names them."""
        span: tuple[int, int] | None = getattr(self._rule, "span_ns", None)
        return span

    @property
    def spans_ns(self) -> tuple[tuple[int, int], ...]:
        """The spans in which requests count, where there are several."""
        spans: tuple[tuple[int, int], ...] = getattr(self._rule, "spans_ns", ())
        return spans

    @property
    def episodes(self) -> Episodes | None:
        """The rule's episodes, where it has some."""
        found: Episodes | None = getattr(self._rule, "episodes", None)
        return found

    def _look(self, now: int) -> None:
        recent = np.concatenate(self._recent)
        elapsed = now - self._begun
        if elapsed >= self._next_summary and self._requests:
            self._summary = self._rule.summary()
            self._next_summary = max(elapsed * GROWTH, elapsed + LEAST_NS)
        p50, p99 = np.percentile(recent, (50, 99)) if len(recent) else (0.0, 0.0)
        self._observe(
            Look(
                seconds=elapsed / 1e9,
                requests=self._requests,
                rate=len(recent) / ((now - self._last) / 1e9),
                p50_ns=float(p50),
                p99_ns=float(p99),
                summary=self._summary,
            )
        )
        self._last, self._recent = now, []


def seconds_left(look: Look, measuring: Measuring, percentile: int | None) -> float | None:
    """Guess how long it still takes: intervals narrow as the root of the time. None: unknown."""
    if measuring.rule is not Rule.PRECISION or look.summary is None:
        return None
    ratios = [
        look.summary.throughput.relative / measuring.throughput,
        counting(look.summary, percentile).relative / measuring.latency,
    ]
    most = measuring.max_seconds - look.seconds
    worst = max(ratios)
    if worst == inf:
        return max(0.0, most)
    return max(0.0, min(most, look.seconds * (worst**2 - 1)))


def counting(summary: Summary, percentile: int | None) -> Estimate:
    """Return the latency that a measurement by precision watches: p99 where none is named."""
    return summary.percentiles[99.0 if percentile is None else float(percentile)]
