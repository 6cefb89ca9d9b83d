"""By how much a quantity differs between two runs, and how sure that is. Pure.

Rules:

1. Compared is what is alike: one configuration under one load. Equal digests are one configuration,
   and so are the defaults, which each machine completes in its own way.
2. Repetitions say more than one measurement's own interval: each of them met another state of
   server and machine. Where there are two or more they count together, those of the verification if
   it has as many; where both runs have them, by Welch's interval over their logarithms.
3. Else the two intervals are put together as Zou and Donner do (MOVER), on the logarithms. What
   differs from one start of a server to the next is then not in it, and the method says so.
4. A ratio of geometric means is what is told: by logarithms the interval of B over A is the mirror
   of that of A over B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analyzer.metrics import BY_TAG
from analyzer.ranking.derived import bounds
from analyzer.ranking.interval import Interval, difference, paired, welch
from analyzer.record.row import Phase, Row
from analyzer.report.evidence import Evidence, of

#: so few repetitions have a spread
_FEWEST = 2
REPEATED = "Welch interval over {} and {} repetitions"
SINGLE = "intervals of the measurements put together; what differs from start to start is not in it"
NO_INTERVAL = "one measurement each, no interval"
_DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How a metric went from one run to another: means, and the change in per cent (rule 4).

    ``low`` and ``high`` bound the change with 95 % confidence; None where nothing does. ``counts``
    are the measurements on either side, and ``method`` says how the interval was made.
    """

    tag: str
    before: float
    after: float
    percent: float
    low: float | None
    high: float | None
    counts: tuple[int, int]
    method: str

    @property
    def proven(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def good(self) -> bool | None:
        """Whether a proven change is for the better; None where none is proven."""
        if not self.proven:
            return None
        return (self.percent > 0) is (BY_TAG[self.tag].direction.value > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What both runs measured: a configuration, by its name in each, under one load."""

    before: tuple[Row, ...]
    after: tuple[Row, ...]

    def change(self, tag: str) -> Change | None:
        """Return how a metric changed; None where one of them did not measure it."""
        return change(tag, self.before, self.after)


def shared(before: Evidence, after: Evidence) -> tuple[Shared, ...]:
    """Return what two runs have in common, in the order of the first (rule 1)."""
    ours, theirs = _groups(before), _groups(after)
    return tuple(
        Shared(before=tuple(rows), after=tuple(theirs[key]))
        for key, rows in ours.items()
        if key in theirs
    )


def change(tag: str, before: Sequence[Row], after: Sequence[Row]) -> Change | None:
    """Compare a metric of rows that measured the same thing in two runs.

    None where one of them did not measure it above 0.
    """
    known = [_counting(tag, rows) for rows in (before, after)]
    if not all(known):
        return None
    first, second = ([math.log(row.metrics[tag]) for row in rows] for rows in known)
    counts = (len(first), len(second))
    if min(counts) >= _FEWEST:
        found, method = welch(second, first), REPEATED.format(*counts)
    else:
        found, method = _together(tag, known[0], known[1]), SINGLE
    return Change(
        tag=tag,
        before=fmean(row.metrics[tag] for row in known[0]),
        after=fmean(row.metrics[tag] for row in known[1]),
        percent=100.0 * math.expm1(fmean(second) - fmean(first)),
        low=None if found is None else 100.0 * math.expm1(found.low),
        high=None if found is None else 100.0 * math.expm1(found.high),
        counts=counts,
        method=NO_INTERVAL if found is None else method,
    )


def at_best(evidence: Evidence) -> tuple[Row, ...]:
    """Return every measurement of the chosen configuration at its best load; () of none."""
    chosen = evidence.chosen
    if chosen is None:
        return ()
    return tuple(
        row
        for row in evidence.measured
        if of(chosen, row) and row.load.same == chosen.best.load.same
        and row.describes
    )  # fmt: skip


def reached(evidence: Evidence, tag: str) -> float | None:
    """Return what the choice reaches at its best load: the mean that ``change`` has."""
    rows = _counting(tag, at_best(evidence))
    return fmean(row.metrics[tag] for row in rows) if rows else None


def _counting(tag: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that count for a metric: the verification's, if it repeated them (rule 2)."""
    known = [row for row in rows if row.metrics.get(tag, 0.0) > 0.0]
    checks = [row for row in known if row.trial.phase is Phase.VERIFY]
    return checks if len(checks) >= _FEWEST else known


def _groups(evidence: Evidence) -> dict[tuple[str, tuple[int, bool, float]], list[Row]]:
    groups: dict[tuple[str, tuple[int, bool, float]], list[Row]] = {}
    for row in evidence.measured:
        if not row.describes:
            continue
        name = _DEFAULT if of(evidence.default, row) else row.digest or row.variant
        groups.setdefault((name, row.load.same), []).append(row)
    return groups


def _together(tag: str, before: Sequence[Row], after: Sequence[Row]) -> Interval | None:
    """Put the intervals of two sides together (rule 3); None where one has none."""
    first, second = _side(tag, before), _side(tag, after)
    if first is None or second is None:
        return None
    return difference(second, first)


def _side(tag: str, rows: Sequence[Row]) -> Interval | None:
    """Bound the logarithm of one side: by its repetitions, or by its one measurement's interval."""
    logs = [math.log(row.metrics[tag]) for row in rows]
    if len(logs) >= _FEWEST:
        return paired(logs)
    found = bounds(rows[0], tag)
    if found is None or found[0] <= 0.0 or math.isinf(found[1]):
        return None
    return Interval(logs[0], math.log(found[0]), math.log(found[1]))
