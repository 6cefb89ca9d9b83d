"""The highest request rate that keeps a promise (``--slo p99<=10ms``): probe after probe.

Which rate comes next, and when one has kept the promise or broken it, is ``statistics.slo``'s to
say. Here the probes are carried out, each an open loop with random numbers of its own, and told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.perf import text
from analyzer.perf.options import Measuring, Mode, PerfOptions, Promise, Rule
from analyzer.perf.runs import Found, Runs, rule_of
from analyzer.perf.windows import CountRule
from analyzer.statistics.slo import Goal, RateSearch, SloResult, find_rate
from analyzer.statistics.stopping import Verdict

if TYPE_CHECKING:
    from analyzer.perf.figures import Figures
    from analyzer.statistics.slo import Outcome, Progress
    from analyzer.statistics.stopping import StoppingRule
    from analyzer.statistics.summary import Summary

Judge = Callable[[int, int, Sequence[float]], "Progress"]
Times = npt.NDArray[np.int64]

#: the search begins at so much of what the server does in a closed loop of so many requests
START_SHARE = 0.6
#: no lower rate is tried than so much of it: a server that breaks a promise there is not at its end
LEAST_SHARE = 0.02
SATURATING = 32
#: bounds of how many requests a rate may take before it is undecided, whatever --max-seconds is
LEAST_MOST, MOST = 5_000, 100_000
#: the beginning of a probe does not count, and the rest is at least so long
WARM_NS, LEAST_NS = 1_000_000_000, 2_000_000_000
SATURATION = Measuring(rule=Rule.PRECISION, throughput=0.05, latency=1.0, max_seconds=3.0)


class PromiseRule:
    """A ``StoppingRule`` that goes on until ``judge`` knows whether the promise is kept.

    How many requests are under way is, by Little's law, the rate times how long the latest took;
    while nothing is answered, it grows by what is due. What comes of the beginning does not count,
    when connections are opened and the queues that this made are worked off; nor does a verdict
    that a fraction of a second led to: a hundred requests of one moment are one event.
    """

    def __init__(self, inner: StoppingRule, rate: float, limit_ns: float, judge: Judge) -> None:
        self._inner = inner
        self._rate = rate
        self._limit_ns = limit_ns
        self._judge = judge
        self._requests = 0
        self._violations = 0
        self._in_flight: list[float] = []
        self._last = 0
        self._begun = 0
        self.outcome: Outcome = "inconclusive"

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests were answered, and how many of them too late."""
        return self._requests, self._violations

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished, and ask whether it is enough."""
        now = max(now_ns or 0, int(done_ns.max()) if len(done_ns) else 0)
        self._begun = self._begun or now
        if now - self._begun < WARM_NS:
            self._last = now
            return Verdict.GO_ON
        self._inner.add(done_ns, latency_ns, now_ns)
        self._requests += len(done_ns)
        self._violations += int((latency_ns > self._limit_ns).sum())
        if len(done_ns):
            self._in_flight.append(self._rate * float(latency_ns.mean()) / 1e9)
        elif self._in_flight:
            self._in_flight.append(self._in_flight[-1] + self._rate * (now - self._last) / 1e9)
        self._last = now
        told = self._judge(self._requests, self._violations, self._in_flight)
        if told == "go on" or now - self._begun < WARM_NS + LEAST_NS:
            return Verdict.GO_ON
        self.outcome = told
        return Verdict.STEADY

    def summary(self) -> Summary:
        """Summarise what counts."""
        return self._inner.summary()


class Hunt:
    """Finds the rate, with the means of ``runs``."""

    def __init__(self, options: PerfOptions, runs: Runs, stop: Callable[[], bool]) -> None:
        assert options.promise is not None
        self._options = options
        self._promise: Promise = options.promise
        self._runs = runs
        self._stop = stop
        self._held: dict[float, Figures] = {}

    def run(self) -> Found:
        """Look for the rate; the levels found are those at which the promise held."""
        wanted = text.promised(self._promise)
        self._runs.say(f"Looking for the highest request rate with {wanted}")
        alone, full = (self._closed(level) for level in (1, SATURATING))
        least = alone.summary.percentiles[self._promise.percentile]
        if least.low > self._promise.limit_ms * 1e6:
            self._runs.say("", text.never_kept(self._promise, least.value))
            return Found(every=(), interrupted=self._stop(), kept=False)
        saturated = full.throughput / self._options.batch_size
        self._runs.say(f"  In a closed loop of {SATURATING}: {saturated:.4g} requests/sec")
        most = saturated * self._options.measuring.max_seconds
        goal = Goal(
            limit_ns=round(self._promise.limit_ms * 1e6),
            percentile=self._promise.percentile,
            most_requests=round(min(MOST, max(LEAST_MOST, most))),
            least_rate=max(1e-3, LEAST_SHARE * saturated),
        )
        search = RateSearch(goal, max(1e-3, START_SHARE * saturated), self._options.seed)
        found = find_rate(search, self._probe, self._stop)
        every = self._told(found)
        return Found(every=every, interrupted=self._stop(), kept=found.rate is not None)

    def _closed(self, concurrency: int) -> Figures:
        """Measure a closed loop, roughly."""
        options = replace(self._options, mode=Mode.CONCURRENCY, measuring=SATURATION, promise=None)
        return self._runs.once(options, concurrency, None, lambda: rule_of(options))

    def _probe(self, rate: float, seed: int, on_chunk: Judge) -> Outcome:
        options = replace(self._options, seed=seed)
        rules: list[PromiseRule] = []

        def make_rule() -> StoppingRule:
            limit = self._promise.limit_ms * 1e6
            counting = CountRule(percentile=options.percentile, inferences=options.batch_size)
            rules.append(PromiseRule(counting, rate, limit, on_chunk))
            return rules[-1]

        each = self._runs.once(options, rate, None, make_rule)
        requests, late = rules[-1].counts
        outcome = rules[-1].outcome
        if outcome == "pass":
            self._held[rate] = each
        self._runs.say(text.probed(each, self._promise, outcome, requests, late))
        return outcome

    def _told(self, found: SloResult) -> tuple[Figures, ...]:
        """Say what was found, and return the figures at that rate."""
        self._runs.say("", *text.kept(found, self._promise))
        each = None if found.rate is None else self._held.get(found.rate)
        if each is None:
            return ()
        self._runs.say("", text.heading(self._options, each.level))
        self._runs.tell(each, self._options)
        return (each,)
