"""Where a baseline cannot be run: judge by past runs, and find where a series changed. Pure.

Rules:

1. Only runs of the same fingerprint count: the same processor, GPU, driver, governor.
2. From ten runs on, a new run's level lies in Student's prediction interval of their logarithms,
   unless something changed: what one day differs from another by is in it. The interval of the
   change is as wide, and judged as every other (``evidence.judge``): where past runs scatter more
   than the gate bears, nothing is decided by them.
3. With fewer, the change itself is held against the gate, and that is called of low confidence.
4. A series changed where Hunter's rule says so: E-divisive's statistic picks the place within a
   window of 30, Student's t has to find it significant (p <= 0.001), and what is not significant
   between its neighbours, or too small to matter, goes, the weakest first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, variance

import numpy as np

from analyzer.gate.evidence import estimated, judge
from analyzer.gate.values import Block, Finding, Gate, Kind, Quantity, Settings, Verdict
from analyzer.ranking.interval import Interval
from analyzer.statistics.distributions import t_quantile, t_tail

#: runs that a prediction interval needs
FEWEST_RUNS = 10
WINDOW = 30
CHANCE = 0.001
#: a level has to have lasted for so many runs: one outlier is no change
SHORTEST = 3
#: before neighbours are looked at, so many times the chance will do
_LENIENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What an earlier run measured: levels by tag or counter, and of which commit and machine."""

    taken_at: str
    commit: str
    fingerprint: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A series changed at ``index``, its first run on the new level, by a relative ``change``.

    ``chance`` is how likely Student's t finds it if nothing changed.
    """

    index: int
    change: float
    chance: float


def levels(blocks: Sequence[Block]) -> dict[str, float]:
    """Return a run's levels: the geometric mean over its blocks, of what all of them have."""
    if not blocks:
        return {}
    tags = set.intersection(*({*block.values, *block.counts} for block in blocks))
    found = {tag: _level([block.value(tag) for block in blocks]) for tag in sorted(tags)}
    return {tag: level for tag, level in found.items() if level is not None}


def _level(values: Sequence[float | None]) -> float | None:
    found = estimated([value for value in values if value is not None])
    return None if found is None else found.value


def against(
    check: str,
    gate: Gate,
    past: Sequence[Run],
    now: Run,
    settings: Settings,
    hypotheses: int = 1,
) -> Finding:
    """Judge a gate by earlier runs (rules 1 to 3); the error is shared by so many hypotheses.

    Raises:
        ValueError: the gate is an absolute bound, which needs no past.
    """
    if gate.bound is not None:
        raise ValueError("an absolute bound is judged by what was measured, not by the past")
    of = gate.quantity
    same = [
        run.values[of.tag]
        for run in past
        if run.fingerprint == now.fingerprint and of.tag in run.values
    ]
    value, before = now.values.get(of.tag), estimated(same)
    if value is None or before is None:
        what = "was not measured" if value is None else "was never measured on such a machine"
        return _found(check, gate, settings, Verdict.INCONCLUSIVE, reason=f"{of.tag} {what}")
    worse = of.worsening(before.value, value)
    told = partial(_found, check, gate, settings, before=same, now=value, worse=worse)
    limit = f"{gate.change or 0.0:+.1%}"
    enough = len(same) >= FEWEST_RUNS and min(same) > 0 and value > 0
    if gate.kind is Kind.EXACT or not enough:
        verdict = Verdict.PASS if worse <= gate.tolerance else Verdict.FAIL
        where = f"{'within' if verdict is Verdict.PASS else 'beyond'} {limit}"
        reason = f"changed by {of.change(worse):+.1%}, {where}"
        return told(verdict, reason=reason if gate.kind is Kind.EXACT else reason + _unsure(same))
    error = settings.alpha / hypotheses
    interval = predicted([of.worsening(before.value, each) for each in same], worse, error)
    verdict = judge(interval, margin=gate.margin(settings), tolerance=gate.tolerance)
    low, high = sorted((of.change(interval.low), of.change(interval.high)))
    seen = f"changed by {of.change(worse):+.1%} [{low:+.1%}, {high:+.1%}] against {len(same)} runs"
    reason = f"{seen}: {_SAYS[verdict]} {limit}"
    return told(verdict, reason=reason, interval=(low, high), error=error)


_SAYS = {
    Verdict.PASS: "all of it within",
    Verdict.FAIL: "worse than runs are by chance, and it reaches beyond",
    Verdict.INCONCLUSIVE: "past runs scatter too much to tell it from",
}


def _unsure(same: Sequence[float]) -> str:
    return (
        f"; low confidence: {len(same)} runs of such a machine, and it takes {FEWEST_RUNS} to know "
        "what is usual"
    )


def predicted(past: Sequence[float], now: float, error: float) -> Interval:
    """Bound the change behind a new value by how n >= 2 past ones scatter, both as logarithms."""
    count, middle = len(past), fmean(past)
    reach = t_quantile(1.0 - error, count - 1)
    reach *= math.sqrt(variance(past, middle) * (1.0 + 1.0 / count))
    return Interval(now - middle, now - middle - reach, now - middle + reach)


def _found(  # noqa: PLR0913 - a finding has as many parts
    check: str,
    gate: Gate,
    settings: Settings,
    verdict: Verdict,
    *,
    reason: str,
    before: Sequence[float] = (),
    now: float | None = None,
    worse: float | None = None,
    interval: tuple[float, float] | None = None,
    error: float = 0.5,
) -> Finding:
    of = gate.quantity
    return Finding(
        check=check,
        gate=gate,
        baseline=estimated(before),
        candidate=None if now is None else estimated([now]),
        change=None if worse is None else of.change(worse),
        interval=interval,
        confidence=1.0 - 2.0 * error,
        margin=abs(of.change(gate.margin(settings))),
        alpha=settings.alpha,
        pairs=len(before),
        verdict=verdict,
        reason=reason,
    )


def change_points(
    series: Sequence[float], of: Quantity, *, chance: float = CHANCE, margin: float = 0.02
) -> tuple[ChangePoint, ...]:
    """Find where a series of positive levels, the oldest first, changed for good (rule 4).

    ``margin`` is the least relative change that matters. A change shows from three runs on.
    """
    worse = np.array([of.worsening(1.0, value) for value in series])
    places: set[int] = set()
    for start in range(0, max(1, len(worse) - WINDOW // 2), WINDOW // 2):
        places |= {start + at for at in _split(worse[start : start + WINDOW], chance * _LENIENT)}
    kept = _merged(worse, sorted(places), chance, margin, of)
    bounds = [0, *kept, len(worse)]
    return tuple(
        ChangePoint(at, *_tested(worse, before, at, after, of))
        for before, at, after in zip(bounds, kept, bounds[2:], strict=False)
    )


def _split(window: np.ndarray, chance: float) -> set[int]:
    """Cut a window where its parts differ most, and the parts again, while it is significant."""
    count = len(window)
    if count < 2 * SHORTEST:
        return set()
    apart = np.abs(window[:, None] - window[None, :])
    places = range(SHORTEST, count - SHORTEST + 1)
    at = max(places, key=lambda place: _divergence(apart, place))
    if _chance(window[:at], window[at:]) > chance:
        return set()
    return {
        at,
        *_split(window[:at], chance),
        *(at + place for place in _split(window[at:], chance)),
    }


def _divergence(apart: np.ndarray, at: int) -> float:
    """Return E-divisive's statistic (Matteson and James, 2014) of a cut, of mean distances."""
    first, second = at, len(apart) - at
    between = apart[:at, at:].mean()
    within = sum(
        part.sum() / (size * (size - 1))
        for part, size in ((apart[:at, :at], first), (apart[at:, at:], second))
    )
    return float(first * second / (first + second) * (2 * between - within))


def _chance(before: np.ndarray, after: np.ndarray) -> float:
    """Return how likely two samples' means would be so far apart by chance: Student's t."""
    first, second = len(before), len(after)
    degrees = first + second - 2
    squares = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum())
    distance = abs(float(after.mean() - before.mean()))
    if not squares:
        return 0.0 if distance else 1.0
    error = math.sqrt(squares / degrees * (1 / first + 1 / second))
    return 2 * t_tail(distance / error, degrees)


def _tested(
    worse: np.ndarray, before: int, at: int, after: int, of: Quantity
) -> tuple[float, float]:
    """Return the relative change between two neighbouring levels, and its chance."""
    old, new = worse[before:at], worse[at:after]
    return of.change(float(new.mean() - old.mean())), _chance(old, new)


def _merged(
    worse: np.ndarray, places: Sequence[int], chance: float, margin: float, of: Quantity
) -> list[int]:
    """Take away what its neighbours do not confirm: the least significant, then the smallest."""
    kept = [place for place in places if 0 < place < len(worse)]
    while kept:
        bounds = [0, *kept, len(worse)]
        tested = [
            (_tested(worse, before, at, after, of), place)
            for place, (before, at, after) in enumerate(zip(bounds, kept, bounds[2:], strict=False))
        ]
        (_, unlikely), weakest = max(tested, key=lambda each: each[0][1])
        if unlikely <= chance:
            (change, _), weakest = min(tested, key=lambda each: abs(each[0][0]))
            if abs(change) >= margin:
                break
        del kept[weakest]
    return kept
