"""How much better one measurement is than another, where nothing was repeated. Pure.

By the intervals that the two have themselves; else, of throughput, by their windows; else without
an interval. What differs from one start of a server to the next is in none of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from analyzer.metrics import BY_TAG
from analyzer.ranking.derived import bounds
from analyzer.ranking.interval import Interval, difference, welch
from analyzer.record.row import Row

#: so many requests a window has to have on average, for its rate to say anything
_IN_A_WINDOW = 10


def advantage(
    best: Row, default: Row, weights: Sequence[tuple[str, float]]
) -> tuple[Interval | None, str]:
    """Return an interval of the log advantage (more is better), or None, and how it was made."""
    if (found := _by_intervals(best, default, weights)) is not None:
        return found, "intervals of one measurement each put together, not verified"
    if (found := _by_windows(best, default, weights)) is not None:
        return found, "Welch interval over the windows of one measurement each, not verified"
    return None, "one measurement each, no interval"


def _by_intervals(best: Row, default: Row, weights: Sequence[tuple[str, float]]) -> Interval | None:
    """Put the two measurements' own intervals together; None where one has none."""
    tag = weights[0][0]
    known = [bounds(row, tag) for row in (best, default)]
    if len(weights) > 1 or any(each is None or each[0] <= 0.0 for each in known):
        return None
    sides = [
        Interval(*(math.log(each) for each in (row.metrics[tag], *found)))
        for row, found in zip((best, default), known, strict=True)
        if found is not None and math.isfinite(found[1])
    ]
    if len(sides) < len(known):
        return None
    more = BY_TAG[tag].direction.value > 0
    return difference(*(sides if more else reversed(sides)))


def _by_windows(best: Row, default: Row, weights: Sequence[tuple[str, float]]) -> Interval | None:
    """Compare the windows of rows that have no intervals: those with few requests say nothing."""
    if [tag for tag, _ in weights] != ["perf_throughput"]:
        return None
    if any(0 < row.requests < _IN_A_WINDOW * len(row.window_rates) or row.estimates
           for row in (best, default)):  # fmt: skip
        return None
    if min((*best.window_rates, *default.window_rates), default=0.0) <= 0.0:
        return None
    return welch(
        [math.log(rate) for rate in best.window_rates],
        [math.log(rate) for rate in default.window_rates],
    )
