"""What is made of a row where it is judged: goodput, what it costs, and bounds that end. Pure.

Neither goodput nor cost is a property of a measurement: a limit and a price may change after it, so
they are made of what the row has (its throughput, and the histogram of its latencies).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from analyzer.metrics import COST, GOODPUT
from analyzer.record.row import Row
from analyzer.statistics.histogram import EMPTY, Histogram

_THROUGHPUT = "perf_throughput"
_SECONDS, _MILLION = 3600.0, 1e6


def enriched(row: Row, limit_ms: float | None, cost_per_hour: float | None) -> Row:
    """Return a row with the metrics that a latency limit and a price an hour give it.

    A row without a histogram that can be read has no goodput, and one that answered nothing no
    cost.
    """
    rate = row.metrics.get(_THROUGHPUT)
    if row.failure is not None or rate is None:
        return row
    found: dict[str, float] = {}
    share = _share_within(row.histogram, limit_ms) if limit_ms is not None else None
    if share is not None:
        found[GOODPUT] = rate * share
    if cost_per_hour is not None and rate > 0.0:
        found[COST] = cost_of(rate, cost_per_hour)
    if found.items() <= row.metrics.items():
        return row
    return replace(row, metrics={**row.metrics, **found})


def bounds(row: Row, tag: str) -> tuple[float, float] | None:
    """Return a metric's interval; None where it has none.

    Where requests were too few to bound a percentile from above, the slowest of them stands for the
    bound: it may lie lower than the true one, but says more than that there is none.
    """
    estimate = row.estimates.get(tag)
    if estimate is None:
        return None
    high = estimate.high
    if math.isinf(high) and row.histogram:
        high = max(estimate.value, _slowest(row.histogram) / 1e6)
    return min(estimate.low, estimate.value), max(high, estimate.value)


def cost_of(rate: float, cost_per_hour: float) -> float:
    """Return what a million inferences cost at ``rate``, inferences a second, above 0."""
    return cost_per_hour / (rate * _SECONDS) * _MILLION


# A campaign asks after every measurement, of all rows there are.
@lru_cache(maxsize=4096)
def _slowest(histogram: str) -> float:
    found = _read(histogram)
    return found.quantile(1.0) if found.count else math.inf


@lru_cache(maxsize=4096)
def _share_within(histogram: str, limit_ms: float) -> float | None:
    found = _read(histogram)
    return 1.0 - found.share_above(limit_ms * 1e6) if found.count else None


def _read(histogram: str) -> Histogram:
    """Read a histogram; one that a journal has and nobody can read any more says nothing."""
    try:
        return Histogram.from_text(histogram)
    except ValueError:
        return EMPTY
