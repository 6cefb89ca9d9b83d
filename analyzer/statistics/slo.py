"""The highest rate at which a percentile of latency stays within a limit. Pure.

An open loop's latency rises with its rate, so the rate is bracketed by steps of a quarter and then
bisected, in logarithms. At each rate requests are sent until violations are so few, or so many,
that the answer is known (``binomial``), until the queue visibly grows without end, or until there
were enough: what is not decided then counts as a failure. The rate found is confirmed by a run of
its own, longer, with other random numbers; where that fails, the next lower one is tried.

Requests that wait in one queue are late together, so a thousand of them say less than a thousand.
How much less is read from violations, and from the number of requests in flight, which remembers
what the queue remembers, and can be seen before anything is late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analyzer.statistics.batch_means import batched, spread
from analyzer.statistics.binomial import CERTAINTY, breaks, holds
from analyzer.statistics.trend import mann_kendall

Outcome = Literal["pass", "fail", "inconclusive"]
Progress = Literal["pass", "fail", "go on"]
Purpose = Literal["bracket", "bisect", "confirm"]

#: a rate is looked at again when it has seen so many times more requests
GROWTH = 1.15
#: z of a trend in the number of requests in flight that is taken for a queue without end
GROWING = 3.0
_STRETCHES = 20
_LEAST_LOOK = 100
#: samples of what is in flight that depend on one another less than this tell nothing
_MEMORY = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What to measure next: so many requests a second, with these random numbers."""

    rate: float
    seed: int
    purpose: Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A rate that was measured and what came of it; of ``requests`` so many were over the limit."""

    rate: float
    outcome: Outcome
    purpose: Purpose
    requests: int
    violations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SloResult:
    """The highest rate that holds, or None; ``bracket`` is what held, and what did not any more.

    ``confirmed`` says that a run of its own held at ``rate``. ``note`` says in words what a reader
    should know besides; empty where nothing.
    """

    rate: float | None
    bracket: tuple[float, float]
    confirmed: bool
    probes: tuple[Tried, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is asked for: the ``percentile`` of latencies is at most ``limit_ns``.

    It is found to ``precision``, a share of the rate, between ``least_rate`` (0: a hundredth of
    where the search starts) and ``most_rate``.
    A rate is undecided after ``most_requests``; a confirmation takes ``confirm_requests`` at least.
    """

    limit_ns: int
    percentile: float = 99.0
    precision: float = 0.02
    certainty: float = CERTAINTY
    step: float = 1.25
    least_rate: float = 0.0
    most_rate: float = math.inf
    most_requests: int = 100_000
    confirm_requests: int = 5000
    most_probes: int = 60


class RateSearch:
    """Asks for rates, is told how they went, and says which is the highest that holds."""

    def __init__(self, goal: Goal, start_rate: float, seed: int = 0) -> None:
        if not start_rate > 0:
            raise ValueError(f"a search for a rate starts at one above 0, not at {start_rate:g}")
        self._goal = goal
        self._seed = seed
        self._next = min(start_rate, goal.most_rate)
        self._least = goal.least_rate or start_rate / 100
        self._held: list[float] = []
        self._broke = math.inf
        self._confirmed: float | None = None
        self._tried: list[Tried] = []
        self._asked: Probe | None = None
        self._counts: list[tuple[int, int]] = []
        self._look = _LEAST_LOOK
        self._capped = False
        self._holds = False

    @property
    def goal(self) -> Goal:
        """What is asked for."""
        return self._goal

    def ask(self) -> Probe | None:
        """Say what to measure next; None when all is known. Asking twice is asking once."""
        if self._asked is None and not self._over():
            self._asked = Probe(
                rate=self._next, seed=self._seed + len(self._tried), purpose=self._purpose()
            )
            self._counts, self._look, self._capped = [], _LEAST_LOOK, False
            self._holds = False
        return self._asked

    def progress(self, n: int, violations: int, in_flight: Sequence[float]) -> Progress:
        """Judge the rate that was asked for, by what has been seen of it so far.

        ``n`` requests are done, ``violations`` of them over the limit; ``in_flight`` are samples of
        how many were under way, evenly spaced from the beginning until now. Where ``n`` is less
        than the last time, the measurement was begun anew.

        Raises:
            ValueError: no rate was asked for.
        """
        if self._asked is None:
            raise ValueError("nothing was asked for, so there is no progress")
        if self._counts and n < self._counts[-1][0]:
            self._counts, self._look = [], _LEAST_LOOK
        self._counts.append((n, violations))
        if n < self._look and n < self._goal.most_requests:
            return "go on"
        self._look = math.ceil(n * GROWTH)
        goal, flying = self._goal, np.asarray(in_flight, np.float64)
        if _grows(flying, self._asked.rate * goal.limit_ns / 1e9):
            return "fail"
        times = max(self._clustered(), _remembered(flying, n))
        worth, late = n / times, violations / times
        if breaks(worth, late, goal.percentile, goal.certainty):
            return "fail"
        self._holds = holds(worth, late, goal.percentile, goal.certainty)
        early = self._asked.purpose == "confirm" and n < goal.confirm_requests
        if self._holds and not early:
            return "pass"
        self._capped = n >= goal.most_requests
        return "fail" if self._capped else "go on"

    def tell(self, rate: float, outcome: Outcome) -> None:
        """Take in how the rate that was asked for went.

        A confirmation that had to end before it was long enough, but holds as far as it went, will
        do; anything else that is not decided counts as too much.

        Raises:
            ValueError: it was not this one that was asked for.
        """
        if self._asked is None or rate != self._asked.rate:
            raise ValueError(f"nobody asked for a rate of {rate:g}")
        if self._capped and outcome == "fail":
            outcome = "inconclusive"
        if self._asked.purpose == "confirm" and outcome == "inconclusive" and self._holds:
            outcome = "pass"
        n, violations = self._counts[-1] if self._counts else (0, 0)
        purpose, self._asked = self._asked.purpose, None
        self._tried.append(
            Tried(rate=rate, outcome=outcome, purpose=purpose, requests=n, violations=violations)
        )
        if outcome != "pass":
            self._broke = min(self._broke, rate)
            self._held = [each for each in self._held if each < rate]
        elif purpose == "confirm":
            self._confirmed = rate
        else:
            self._held.append(rate)
        self._next = self._following()

    def result(self) -> SloResult:
        """Say what is known so far."""
        held = self._best()
        return SloResult(
            rate=held,
            bracket=(held or 0.0, self._broke),
            confirmed=self._confirmed is not None,
            probes=tuple(self._tried),
            note=self._note(),
        )

    def _best(self) -> float | None:
        if self._confirmed is not None:
            return self._confirmed
        return max(self._held, default=None)

    def _bracketed(self) -> bool:
        held = max(self._held, default=None)
        if held is None:
            return False
        return held >= self._goal.most_rate or self._broke / held <= 1 + self._goal.precision

    def _over(self) -> bool:
        return (
            self._confirmed is not None
            or self._next < self._least
            or len(self._tried) >= self._goal.most_probes
        )

    def _purpose(self) -> Purpose:
        if self._bracketed():
            return "confirm"
        return "bisect" if self._held and self._broke < math.inf else "bracket"

    def _following(self) -> float:
        held = max(self._held, default=None)
        if held is None:
            # A rate that only just failed its confirmation is not a quarter off.
            near = self._tried[-1].purpose == "confirm" or self._tried[-1].rate != self._broke
            return self._broke / (1 + self._goal.precision if near else self._goal.step)
        if self._bracketed():
            return held
        if self._broke == math.inf:
            return min(held * self._goal.step, self._goal.most_rate)
        return math.sqrt(held * self._broke)

    def _clustered(self) -> float:
        """Return how many late requests come together, by how they vary as time goes on."""
        counts = np.array([(0, 0), *self._counts])
        requests, late = np.diff(counts, axis=0).T.astype(np.float64)
        share = counts[-1][1] / max(counts[-1][0], 1)
        if len(late) < _STRETCHES or not 0 < share < 1:
            return 1.0
        excess = late - share * requests
        found = spread(excess)
        total = found.variance * len(excess) ** 2
        return max(1.0, total / float(counts[-1][0] * share * (1 - share)))

    def _note(self) -> str:
        limit = f"p{self._goal.percentile:g} <= {self._goal.limit_ns / 1e6:g} ms"
        if self._best() is None:
            if not self._tried:
                return ""
            return (
                f"no rate held {limit}, down to {min(each.rate for each in self._tried):.4g}/s; "
                "the service time alone may be longer: ask for a higher limit"
            )
        if self._confirmed is not None and self._confirmed >= self._goal.most_rate:
            return "the highest rate that was allowed held; allow a higher one to find the limit"
        undecided = [each for each in self._tried if each.outcome == "inconclusive"]
        if undecided and self._broke in {each.rate for each in undecided}:
            return (
                f"{self._broke:.4g}/s was not decided within {self._goal.most_requests} requests "
                "and counts as too much; allow more requests to know better"
            )
        return ""


def find_rate(
    search: RateSearch,
    measure: Callable[[float, int, Callable[[int, int, Sequence[float]], Progress]], Outcome],
    stop: Callable[[], bool] = lambda: False,
) -> SloResult:
    """Search with ``measure(rate, seed, on_chunk)``, which sends requests in an open loop.

    It calls ``on_chunk(n, violations, in_flight)`` with the counts since the run began, about
    every 0.1 s, until that says something else than "go on", which it returns; "inconclusive"
    where it had to end before.
    """
    while not stop() and (probe := search.ask()) is not None:
        search.tell(probe.rate, measure(probe.rate, probe.seed, search.progress))
    return search.result()


def _remembered(flying: np.ndarray, n: int) -> float:
    """Return how many requests come by while the queue remembers how long it was."""
    variance = float(flying.var()) if len(flying) else 0.0
    if len(flying) < 2 * _STRETCHES or not variance:
        return 1.0
    samples = spread(flying).variance * len(flying) / variance
    return max(1.0, samples * n / len(flying)) if samples > _MEMORY else 1.0


def _grows(flying: np.ndarray, bearable: float) -> bool:
    """Whether the queue grows on and on, and is by now longer than the limit allows.

    By Little's law a queue of ``bearable``, rate times limit, makes the mean request late.
    """
    if len(flying) < 2 * _STRETCHES:
        return False
    stretches = batched(flying, len(flying) // _STRETCHES)
    return bool(stretches[-1] > bearable) and mann_kendall(stretches) > GROWING
