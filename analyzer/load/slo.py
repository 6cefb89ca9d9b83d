"""The highest rate at which a server keeps a latency limit: the search, with the load client.

Owns how one rate is measured: requests come at that rate in an open loop, with the load's own
distribution (Poisson's is a crowd of users), until the search has seen enough. Does not own which
rates are tried, nor when one has passed (``statistics.slo``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from analyzer.errors import LoadError
from analyzer.load.driver import DriverSettings, run
from analyzer.statistics.slo import (
    GROWTH,
    Outcome,
    Progress,
    RateSearch,
    SloResult,
    Tried,
    find_rate,
)
from analyzer.statistics.stopping import StoppingRule, Verdict
from analyzer.statistics.summary import Summary, summarise

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.load.driven import Driven
    from analyzer.load.workload import Workload
    from analyzer.record.row import LoadSpec

Times = npt.NDArray[np.int64]
OnChunk = Callable[[int, int, Sequence[float]], Progress]

MAX_SECONDS = 60.0
#: a hundred requests of one moment are one event, so that no verdict comes sooner
MIN_SECONDS = 2.0
MOST_INVALID = 3
#: requests of each rate that do not count, until the queue is as long as usual
WARM = 50
#: so many samples of how many requests are in flight; and the first look is after so many requests
SAMPLES, FIRST_LOOK = 1000, 100


#: sends at a rate, with a seed, until a rule says stop
Send = Callable[[float, int, Callable[[], StoppingRule]], "Driven"]


def at_rate(
    endpoint: Endpoint,
    workload: Workload,
    load: LoadSpec,
    stop: Callable[[], bool] = lambda: False,
    settings: DriverSettings | None = None,
) -> Send:
    """Return what sends ``workload`` at a rate, and else as ``load`` says."""

    def send(rate: float, seed: int, rule: Callable[[], StoppingRule]) -> Driven:
        warmup = max(load.warmup_requests, WARM)
        asked = replace(load, request_rate=rate, seed=seed, warmup_requests=warmup)
        return run(endpoint, workload, asked, rule=rule, stop=stop, settings=settings)

    return send


def highest_rate(  # noqa: PLR0913 - how a rate is searched for has as many parts
    search: RateSearch,
    send: Send,
    *,
    max_seconds: float = MAX_SECONDS,
    confirm_seconds: float | None = None,
    by_share: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on_probe: Callable[[Tried], None] = lambda _: None,
) -> SloResult:
    """Search for the highest rate that keeps the limit of ``search``.

    A rate is measured for at most ``max_seconds``, and when it is confirmed for at most
    ``confirm_seconds`` (None: as long). ``on_probe`` hears of each rate as it is decided. A rate
    that the load client itself cannot send in time is not decided, and counts as too much; the
    result says so. With ``by_share`` what is not decided in its time counts by the share of its
    answers that were late, which is right on average and not certain: a confirmation of this kind
    is none, and the result says so.

    Raises:
        LoadError: nothing was measured, or (not by share) three times running the client was the
            bottleneck; the text holds the server's or the client's own.
    """
    confirming = max_seconds if confirm_seconds is None else confirm_seconds
    runs = _Runs(search, send, max_seconds, confirming, by_share=by_share)
    told = 0

    def tell() -> None:
        nonlocal told
        fresh = search.result().probes[told:]
        told += len(fresh)
        for tried in fresh:
            on_probe(tried)

    def measure(rate: float, seed: int, on_chunk: OnChunk) -> Outcome:
        tell()
        return runs.measure(rate, seed, on_chunk)

    result = find_rate(search, measure, stop)
    tell()
    return runs.noted(result)


class _Runs:
    """Measures one rate after the other, and remembers what a reader of the result should know."""

    def __init__(
        self,
        search: RateSearch,
        send: Send,
        max_seconds: float,
        confirm_seconds: float,
        *,
        by_share: bool,
    ) -> None:
        self._search = search
        self._send = send
        self._max_seconds = max_seconds
        self._confirm_seconds = confirm_seconds
        self._by_share = by_share
        self._invalid: list[str] = []
        self._unsure = ""

    def measure(self, rate: float, seed: int, on_chunk: OnChunk) -> Outcome:
        """Send at a rate until it is decided, or its time is over.

        Raises:
            LoadError: three times running the client was the bottleneck (not by share).
        """
        goal, probe = self._search.goal, self._search.ask()
        last = probe is not None and probe.purpose == "confirm"
        longest = self._confirm_seconds if last else self._max_seconds
        rule = RateRule(on_chunk, goal.limit_ns, longest)
        driven = self._send(rate, seed, rule.anew)
        outcome = self._judged(rule, driven, f"{rate:.4g}/s", longest, last=last)
        # Latency counts from when a request was due, so a late client makes nothing look better.
        if driven.invalid and not (self._by_share and outcome == "pass"):
            self._invalid.append(f"{rate:.4g}/s was not decided: {driven.invalid}")
            if len(self._invalid) >= MOST_INVALID and not self._by_share:
                raise LoadError("; ".join(self._invalid))
            return "fail"
        self._invalid.clear()
        return outcome

    def _judged(
        self, rule: RateRule, driven: Driven, rate: str, seconds: float, *, last: bool
    ) -> Outcome:
        # Who was refused, or cut off, did not get an answer in time.
        lost = driven.failed + driven.dropped
        kept = rule.bears(lost, self._search.goal.percentile)
        if lost and not kept:
            return "fail"
        if not self._by_share or rule.outcome != "inconclusive":
            return rule.outcome
        if last and kept:
            self._unsure = (
                f"{rate} kept the limit for {seconds:.3g} s, too few requests to be certain"
            )
        return "pass" if kept else "fail"

    def noted(self, result: SloResult) -> SloResult:
        """Return the result with what is to be said of it besides."""
        invalid = self._invalid[-1:] if self._by_share else self._invalid
        note = "; ".join(filter(None, (result.note, *invalid, self._unsure)))
        return replace(result, note=note, confirmed=result.confirmed and not self._unsure)


class RateRule:
    """A stopping rule that asks a search whether a rate is decided; gives up after some seconds.

    What comes before the first ``MIN_SECONDS`` are over is heard, but not judged.
    """

    def __init__(self, on_chunk: OnChunk, limit_ns: int, max_seconds: float) -> None:
        self._on_chunk = on_chunk
        self._limit_ns = limit_ns
        self._max_ns = int(max_seconds * 1e9)
        self.anew()

    def anew(self) -> Self:
        """Forget what was heard: the run begins anew, with more senders. Return itself."""
        self._done: list[Times] = []
        self._latency: list[Times] = []
        self._count = 0
        self._late = 0
        self._began: int | None = None
        self._now = 0
        self._look = FIRST_LOOK
        self._flying: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self.outcome: Outcome = "inconclusive"
        return self

    def add(self, done_ns: Times, latency_ns: Times, now_ns: int | None = None) -> Verdict:
        """Take in what finished, and ask the search."""
        if len(done_ns):
            self._done.append(done_ns)
            self._latency.append(latency_ns)
            self._count += len(done_ns)
            self._late += int(np.count_nonzero(latency_ns > self._limit_ns))
            self._now = max(self._now, int(done_ns[-1]))
        self._now = max(self._now, now_ns or 0)
        self._began = self._now if self._began is None else self._began
        if self._count >= self._look:
            self._look = int(self._count * GROWTH) + 1
            self._flying = in_flight(np.concatenate(self._done), np.concatenate(self._latency))
        passed = self._now - self._began
        if passed < MIN_SECONDS * 1e9:
            return Verdict.GO_ON
        told = self._on_chunk(self._count, self._late, self._flying.tolist())
        if told != "go on":
            self.outcome = told
            return Verdict.STEADY if told == "pass" else Verdict.GIVE_UP
        return Verdict.GIVE_UP if passed >= self._max_ns else Verdict.GO_ON

    def bears(self, lost: int, percentile: float) -> bool:
        """Whether so many more that got no answer leave the percentile within its limit."""
        return self._late + lost <= (1 - percentile / 100) * (self._count + lost)

    def summary(self) -> Summary:
        """Summarise all that finished."""
        none = [np.empty(0, np.int64)]
        return summarise(np.concatenate(self._done or none), np.concatenate(self._latency or none))


def in_flight(done_ns: Times, latency_ns: Times) -> Times:
    """Return how many of n finished requests were under way at moments one after another.

    Until the latest of them began: of later moments some are missing, which have not finished.
    Each moment is somewhere in its own part of that time: at even distances those of requests that
    come at even distances would beat with them.
    """
    begun, ended = np.sort(done_ns - latency_ns), np.sort(done_ns)
    places = np.arange(SAMPLES) + np.random.default_rng(0).random(SAMPLES)
    moments = begun[0] + (begun[-1] - begun[0]) * (places / SAMPLES)
    found = np.searchsorted(begun, moments, "right") - np.searchsorted(ended, moments, "right")
    return np.asarray(found, np.int64)
