"""When enough was measured. Pure.

Owns the protocol of a rule that is told what finished and says whether to go on, and the rule that
measures until intervals are narrow enough. Does not own windows (``load.window``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from analyzer.statistics.batch_means import LEAST_PARTS
from analyzer.statistics.episodes import Episodes
from analyzer.statistics.summary import CONFIDENCE, PERCENTILES, Summary, since, summarise
from analyzer.statistics.transient import LEAST_REQUESTS, warm_up

Times = npt.NDArray[np.int64]

#: between two looks the measurement grows by so much, and at least so many seconds
GROWTH = 1.1
LOOK_SECONDS = 0.2
#: so many looks running must find the intervals narrow enough: one may do so by chance
CONFIRMING = 3
#: where values depend on one another, those beyond a percentile must be worth so many: of fewer
#: bursts, a measurement that met small ones by luck would end too soon
BEYOND = 20
#: an interval of this share of what was asked for is no matter of luck
AMPLE = 0.25
#: however slow a server is, it is waited for so many times as long as a measurement may take
PATIENCE = 4
#: the shortest measurement has time for so many episodes, of a length between these: what one
#: beginning in five brings is missed by ten of them once in ten measurements, by five every third
#: time, and then their interval is far too narrow
EPISODES = 10
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 0.5


class Verdict(Enum):
    """What to do now."""

    GO_ON = "go on"
    STEADY = "steady"
    GIVE_UP = "give up"


class StoppingRule(Protocol):
    """Hears what finished, about every 0.1 to 0.25 s, and says whether to go on.

    Times are in ns, of one clock. ``now_ns``, where given, lets a rule end a measurement
    in which nothing finishes.
    """

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in the requests that finished since the last call, however many."""
        ...

    def summary(self) -> Summary:
        """Summarise what counts of all that finished."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How narrow is narrow enough: half-widths of the intervals, as shares of their values.

    ``percentile`` names the latency that must be known to within ``latency``; None is the mean.
    It takes at least ``min_seconds``, and gives up after ``max_seconds``.
    """

    throughput: float = 0.02
    percentile: float | None = 99.0
    latency: float = 0.10
    min_seconds: float = 1.0
    max_seconds: float = 30.0
    confidence: float = CONFIDENCE

    def met(self, summary: Summary) -> bool:
        """Whether a measurement is as precise as that."""
        latency, sure = summary.latency_avg, True
        if self.percentile is not None:
            latency = summary.percentiles[self.percentile]
            beyond = latency.effective_n * (1 - self.percentile / 100)
            sure = (
                beyond >= BEYOND
                or latency.effective_n == latency.n
                or latency.relative <= self.latency * AMPLE
            )
        return (
            latency.certified
            and sure
            and latency.relative <= self.latency
            and summary.throughput.relative <= self.throughput
        )


def episodes_of(precision: Precision, slots: int, *, hurried: bool = False) -> Episodes | None:
    """Return the episodes of a closed loop of so many clients, so short that many are soon over.

    One client alone keeps in step with nobody, and needs none; nor does an open loop (0).
    ``hurried`` is a measurement that may end after half of its least time.
    """
    if slots < 2:  # noqa: PLR2004 - as said
        return None
    parts = EPISODES * (2 if hurried else 1)
    least = min(max(precision.min_seconds / parts, SHORTEST_SECONDS), LONGEST_SECONDS)
    return Episodes(slots, least, precision.max_seconds)


class PrecisionRule:
    """Measures until ``precision`` is met, or until nothing depends on more.

    ``inferences`` is how many each request is. What was done while the server warmed up does not
    count. Looks are ever farther apart: to look again and again until chance is kind would make
    intervals lie, and would cost the more the longer a measurement is.

    With a ``bar`` (inferences a second) what matters is whether the throughput reaches it: half of
    ``min_seconds`` will do where the whole interval lies below.

    A closed loop of several clients has ``episodes``; then only what belongs to one counts, and
    four of them are the least.
    """

    def __init__(
        self,
        precision: Precision,
        *,
        inferences: int = 1,
        bar: float = 0.0,
        episodes: Episodes | None = None,
    ) -> None:
        self._precision = precision
        self.episodes = episodes
        self._bar = bar
        self._inferences = inferences
        self._done = _Growing()
        self._latency = _Growing()
        self._began: int | None = None
        self._now = 0
        least = precision.min_seconds / 2 if bar else precision.min_seconds
        self._next = max(least, LOOK_SECONDS)
        self._met = 0
        self._below = 0
        self._seen: tuple[int, int, Summary] | None = None

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished; look at the whole where it is time to."""
        if len(done_ns):
            self._now = max(self._now, int(done_ns.max()))
            if self._began is None:
                self._began = int((done_ns - latency_ns).min())
            if self._episodic is not None:
                own = self._episodic.own(done_ns, latency_ns)
                done_ns, latency_ns = done_ns[own], latency_ns[own]
            self._done.extend(done_ns)
            self._latency.extend(latency_ns)
        if now_ns is not None:
            self._now = max(self._now, now_ns)
            self._began = now_ns if self._began is None else self._began
        elapsed = (self._now - self._began) / 1e9 if self._began is not None else 0.0
        over = elapsed >= self._precision.max_seconds and self._answered(elapsed)
        if elapsed < self._next and not over:
            return Verdict.GO_ON
        self._next = max(elapsed * GROWTH, elapsed + LOOK_SECONDS)
        return self._look(elapsed, over=over)

    def summary(self) -> Summary:
        """Summarise what finished since the server was warm."""
        return self._known()[2]

    @property
    def dropped(self) -> int:
        """How many requests are left out at the front: the server was not warm yet."""
        return self._known()[1]

    @property
    def spans_ns(self) -> tuple[tuple[int, int], ...]:
        """From when to when requests count, where there are episodes; else ()."""
        if self._episodic is None:
            return ()
        return self._episodic.spans(self._done.values, self._latency.values)

    @property
    def _episodic(self) -> Episodes | None:
        return self.episodes if self.episodes is not None and self.episodes.on else None

    @property
    def bar(self) -> float:
        """The throughput that it takes to be of interest, inferences a second; 0: none."""
        return self._bar

    @property
    def slower(self) -> bool:
        """Whether it ended because the throughput lies below the bar."""
        return self._below >= CONFIRMING > self._met

    def _known(self) -> tuple[int, int, Summary]:
        count = len(self._done)
        if self._seen is None or self._seen[0] != count:
            dropped = 0
            if self._episodic is None:
                # Clients of a closed loop had two answers each before: to leave out some of the few
                # that a slow server gives would cut a batch in two, and count the rest of it as
                # answered in no time.
                least = LEAST_REQUESTS if self.episodes is None else 0
                dropped = warm_up(self._latency.values, self._done.values, least)
            self._seen = count, dropped, self._summarise(dropped)
        return self._seen

    def _answered(self, elapsed: float) -> bool:
        """Whether every client has been answered since the beginning, or was waited for enough."""
        if self.episodes is None or len(self._done) > self.episodes.slots:
            return True
        return elapsed >= PATIENCE * self._precision.max_seconds

    def _look(self, elapsed: float, *, over: bool) -> Verdict:
        summary = self.summary()
        long = elapsed >= self._precision.min_seconds
        often = self._episodic is None or summary.parts >= LEAST_PARTS
        enough = long and often and self._precision.met(summary)
        self._met = self._met + 1 if enough else 0
        below = often and summary.throughput.high < self._bar
        self._below = self._below + 1 if below else 0
        if self._met >= CONFIRMING:
            return Verdict.STEADY
        return Verdict.GIVE_UP if over or self.slower else Verdict.GO_ON

    def _summarise(self, dropped: int) -> Summary:
        percentile = self._precision.percentile
        wanted = {*PERCENTILES, *(() if percentile is None else (percentile,))}
        done, latency, spans = self._done.values, self._latency.values, self.spans_ns
        if self._episodic is not None and not spans:
            done, latency = done[:0], latency[:0]
        return summarise(
            done[dropped:],
            latency[dropped:],
            inferences=self._inferences,
            confidence=self._precision.confidence,
            percentiles=sorted(wanted),
            spans_ns=spans or since(int(done[dropped - 1]) if dropped else None),
        )


class _Growing:
    """Numbers in one array that has room for more."""

    def __init__(self) -> None:
        self._room = np.empty(1024, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Times:
        return self._room[: self._count]

    def extend(self, values: Times) -> None:
        end = self._count + len(values)
        if end > len(self._room):
            grown = np.empty(2 ** math.ceil(math.log2(end)), np.int64)
            grown[: self._count] = self.values
            self._room = grown
        self._room[self._count : end] = values
        self._count = end
