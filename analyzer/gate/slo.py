"""A promise about a request rate: is it kept? Decided request by request, both ways. Pure.

The machine is ``statistics.slo``'s, for one rate only: it passes as soon as so few late requests
would be unlikely were the percentile above its limit (459 in time and none late, for a p99), fails
as soon as so many would be, or when the queue grows without end, and counts requests that were late
together as fewer. What it cannot decide within the requests it was given is inconclusive here,
where a search for the highest rate counts it as too much.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.gate.gates import spelled
from analyzer.gate.values import Finding, Gate, Kind, Settings, Verdict
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.slo import Goal, Outcome, Progress, RateSearch

MOST_REQUESTS = 100_000


class Promise:
    """Watches one open loop at the gate's rate, and says when it knows enough.

    ``progress`` is what the load client asks while it sends (``find_rate``'s ``on_chunk``);
    ``finding`` is what came of it.

    Raises:
        ValueError: the gate is no promise about a rate.
    """

    def __init__(
        self, check: str, gate: Gate, settings: Settings, most_requests: int = MOST_REQUESTS
    ) -> None:
        percent = gate.quantity.percentile
        if gate.kind is not Kind.SLO or gate.bound is None or gate.rate is None or percent is None:
            raise ValueError(f"{spelled(gate)} is no promise about a request rate")
        self._check = check
        self._gate = gate
        self._settings = settings
        self._rate = gate.rate
        self._percent = percent
        self._bound = gate.bound
        goal = Goal(
            limit_ns=self.limit_ns,
            percentile=percent,
            certainty=1.0 - settings.alpha,
            most_rate=gate.rate,
            most_requests=most_requests,
        )
        self._search = RateSearch(goal, gate.rate)
        self._search.ask()

    @property
    def limit_ns(self) -> int:
        """The limit of the latency, ns; the metrics' unit is ms."""
        return round(self._bound * 1e6)

    @property
    def rate(self) -> float:
        """Requests a second, to be sent in an open loop."""
        return self._rate

    def progress(self, n: int, violations: int, in_flight: Sequence[float]) -> Progress:
        """Judge by what has been seen so far; as ``RateSearch.progress``."""
        return self._search.progress(n, violations, in_flight)

    def finding(self, outcome: Outcome, seen: Estimate | None = None) -> Finding:
        """Say what came of it; ``outcome`` is what ``progress`` said last, or "inconclusive".

        ``seen`` is the percentile that was measured, ms.
        """
        self._search.tell(self._rate, outcome)
        tried = self._search.result().probes[-1]
        verdict = {
            "pass": Verdict.PASS, "fail": Verdict.FAIL, "inconclusive": Verdict.INCONCLUSIVE,
        }[tried.outcome]  # fmt: skip
        share = tried.violations / tried.requests if tried.requests else 0.0
        allowed = 1 - self._percent / 100
        late = (
            f"{tried.violations} of {tried.requests} requests ({share:.2%}) at {self._rate:g}/s "
            f"took longer than {self._bound:g} ms, and {allowed * 100:.3g}% of them may"
        )
        ending = {
            Verdict.PASS: "the promise is kept",
            Verdict.FAIL: "the promise is broken",
            Verdict.INCONCLUSIVE: "too few to know; measure longer",
        }[verdict]
        return Finding(
            check=self._check,
            gate=self._gate,
            baseline=None,
            candidate=seen,
            change=None,
            interval=None,
            confidence=1.0 - self._settings.alpha,
            margin=0.0,
            alpha=self._settings.alpha,
            pairs=0,
            verdict=verdict,
            reason=f"{late}: {ending}",
        )
