"""The highest request rate that keeps a promise (``--slo p99<=10ms``): probe after probe.

Which rate comes next, and when one has kept the promise or broken it, is ``load.slo``'s to say.
Here is what it is begun with, and what is said of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.load.slo import highest_rate
from analyzer.perf import text
from analyzer.perf.options import Measuring, Mode, PerfOptions, Promise, Rule
from analyzer.perf.runs import Found, Runs, rule_of
from analyzer.statistics.slo import Goal, RateSearch

if TYPE_CHECKING:
    from analyzer.load.driven import Driven
    from analyzer.perf.figures import Figures
    from analyzer.statistics.slo import SloResult, Tried
    from analyzer.statistics.stopping import StoppingRule

#: the search begins at so much of what the server does in a closed loop of so many requests
START_SHARE = 0.6
SATURATING = 32
#: no lower rate is tried than so much of it: a server that breaks a promise there is not at its end
LEAST_SHARE = 0.02
SATURATION = Measuring(rule=Rule.PRECISION, throughput=0.05, latency=1.0, max_seconds=3.0)
#: a search takes so many probes as a rule, each a share of its time; the confirmation is longer
PROBES, CONFIRMING = 10, 3
LEAST_SECONDS = 2.5
#: so long a probe runs before it counts: the queue that its beginning made has to be worked off
WARM_SECONDS = 1.0


class Hunt:
    """Finds the rate, with the means of ``runs``."""

    def __init__(
        self,
        options: PerfOptions,
        runs: Runs,
        stop: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        assert options.promise is not None
        self._options = options
        self._promise: Promise = options.promise
        self._runs = runs
        self._stop = stop
        self._latest: dict[float, tuple[Driven, StoppingRule]] = {}

    def run(self) -> Found:
        """Look for the rate; the level found is that at which the promise holds."""
        wanted = text.promised(self._promise)
        self._runs.say(f"Looking for the highest request rate with {wanted}")
        alone, full = (self._closed(level) for level in (1, SATURATING))
        least = alone.summary.percentiles[self._promise.percentile]
        if least.low > self._promise.limit_ms * 1e6:
            self._runs.say("", text.never_kept(self._promise, least.value))
            return Found(every=(), interrupted=self._stop(), kept=False)
        saturated = full.throughput / self._options.batch_size
        self._runs.say(f"  In a closed loop of {SATURATING}: {saturated:.4g} requests/sec")
        goal = Goal(
            limit_ns=round(self._promise.limit_ms * 1e6),
            percentile=self._promise.percentile,
            least_rate=max(1e-3, LEAST_SHARE * saturated),
        )
        seconds = self._options.promise_seconds
        each = min(self._options.measuring.max_seconds, max(LEAST_SECONDS, seconds / PROBES))
        end = self._now() + seconds
        found = highest_rate(
            RateSearch(goal, max(1e-3, START_SHARE * saturated), self._options.seed),
            self._send,
            max_seconds=each,
            confirm_seconds=CONFIRMING * each,
            # What is not decided in its time is decided by its answers: a search that ends in good
            # time and says how sure it is serves better than one that counts all of it as too much.
            by_share=True,
            stop=lambda: self._stop() or self._now() >= end,
            on_probe=self._probed,
        )
        if self._now() >= end and not found.confirmed:
            found = replace(found, note="; ".join(filter(None, (found.note, text.late(seconds)))))
        every = self._told(found)
        return Found(every=every, interrupted=self._stop(), kept=found.rate is not None)

    def _closed(self, concurrency: int) -> Figures:
        """Measure a closed loop, roughly."""
        options = replace(self._options, mode=Mode.CONCURRENCY, measuring=SATURATION, promise=None)
        return self._runs.once(options, concurrency, None, lambda: rule_of(options, concurrency))

    def _send(self, rate: float, seed: int, make_rule: Callable[[], StoppingRule]) -> Driven:
        warm = round(rate * WARM_SECONDS)
        measuring = replace(self._options.measuring, warmup_requests=warm)
        options = replace(self._options, seed=seed, measuring=measuring)
        driven, rule = self._runs.drive(options, rate, None, make_rule)
        self._latest[rate] = driven, rule
        return driven

    def _probed(self, tried: Tried) -> None:
        self._runs.say(text.probed(tried, self._promise))

    def _told(self, found: SloResult) -> tuple[Figures, ...]:
        """Say what was found, and return the figures at that rate."""
        self._runs.say("", *text.kept(found, self._promise))
        if found.rate is None or found.rate not in self._latest:
            return ()
        driven, rule = self._latest[found.rate]
        each = self._runs.figures(driven, self._options, found.rate, rule)
        self._runs.say("", text.heading(self._options, each.level))
        self._runs.tell(each, self._options)
        return (each,)
