"""The goodput of what is served: the highest rate that keeps its limit, within a bounded time.

Owns how long the search may take and what its rates are measured with. Does not own which rates are
tried, nor when one has passed (``statistics.slo``), nor how one is measured (``load.slo``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from analyzer.load.slo import Send, highest_rate
from analyzer.record.row import Promise
from analyzer.statistics.slo import Goal, RateSearch, SloResult, Tried
from analyzer.statistics.stopping import StoppingRule

if TYPE_CHECKING:
    from analyzer.load.driven import Driven

#: so many requests show what share of them is late; a probe may take as long as they do
ENOUGH = 5000
#: a search takes so many probes as a rule, and its confirmation as long as so many of them
PROBES, CONFIRMING = 10, 3
LEAST_SECONDS = 2.5
#: what a search within a profile is precise to, as a share of the rate
PRECISION = 0.05
#: no lower rate is tried than so much of where the search begins
LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to, and the run at the rate that held (the last run, if none did)."""

    promise: Promise
    result: SloResult
    rate: float
    driven: Driven

    @property
    def plain(self) -> dict[str, Any]:
        """Spell it in JSON's types, for a row.

        Keys: percentile, limit_ms, rate (requests a second, null: none held), low and high (what
        held, and what did not any more; null: that was not found), confirmed, note, probes (each
        rate, outcome, purpose, requests, violations).
        """
        low, high = self.result.bracket
        return {
            "percentile": self.promise.percentile,
            "limit_ms": self.promise.limit_ms,
            "rate": self.result.rate,
            "low": low,
            "high": high if math.isfinite(high) else None,
            "confirmed": self.result.confirmed,
            "note": self.result.note,
            "probes": [asdict(each) for each in self.result.probes],
        }


def highest(
    send: Send,
    start_rate: float,
    promise: Promise,
    *,
    seed: int = 0,
    now: Callable[[], float] = time.monotonic,
    on_probe: Callable[[Tried], None] = lambda _: None,
) -> Found:
    """Find the highest rate that keeps what is promise, beginning at ``start_rate`` (above 0).

    A probe that is not decided in its share of the time counts by its answers. None is begun when
    the time is over: what is known then is the result, and says whether it was confirmed.

    Raises:
        LoadError: nothing was measured; the text holds the server's or the client's own.
    """
    goal = Goal(
        limit_ns=round(promise.limit_ms * 1e6),
        percentile=float(promise.percentile),
        precision=PRECISION,
        least_rate=LEAST_SHARE * start_rate,
    )
    runs: dict[float, Driven] = {}
    last = start_rate

    def kept(rate: float, probe_seed: int, rule: Callable[[], StoppingRule]) -> Driven:
        nonlocal last
        runs[rate], last = send(rate, probe_seed, rule), rate
        return runs[rate]

    end = now() + promise.seconds
    each = max(LEAST_SECONDS, min(ENOUGH / start_rate, promise.seconds / PROBES))
    result = highest_rate(
        RateSearch(goal, start_rate, seed),
        kept,
        max_seconds=each,
        confirm_seconds=CONFIRMING * each,
        by_share=True,
        stop=lambda: now() >= end,
        on_probe=on_probe,
    )
    rate = last if result.rate is None else result.rate
    return Found(promise, result, rate, runs[rate])
