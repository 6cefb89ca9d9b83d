"""The Pareto set of all that was measured, with confidence, and its knee. Pure.

A configuration under a load is an option. Of each counts what it gives (throughput) and what it
costs (p99 latency, memory, energy), as far as every option has it. Measurements have intervals, so
options are compared by these:

1. One option beats another if it is clearly better in one metric (the intervals do not meet),
   clearly worse in none, and better on balance: by the sum of the logarithms of its values, each
   turned so that more is better. (Without the last, three options with wide intervals could beat
   one another in a circle. Where intervals have no width this is Pareto's dominance.)
2. The set is what nothing beats.
3. The knee is where more throughput begins to cost more latency than it did: of those of the set
   that keep the constraints (of all where none does), and that no other beats in throughput and p99
   latency by value, the one farthest above the line from the quickest to the one with most
   throughput, latency on a logarithmic scale (Satopaa et al., Kneedle, 2011). There is none where
   nothing stands out by a tenth of the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analyzer.metrics import BY_TAG
from analyzer.ranking.derived import bounds
from analyzer.ranking.goal import Goal
from analyzer.ranking.interval import Interval
from analyzer.ranking.repeats import identity
from analyzer.record.row import Phase, Row

THROUGHPUT, P99 = "perf_throughput", "perf_latency_p99"
#: what memory is, the first that every option has; then energy
_MEMORIES = ("gpu_memory_by_process", "gpu_used_memory", "cpu_used_ram")
_ENERGIES = ("energy_per_inference", "gpu_energy_per_inference", "cpu_energy_per_inference")
#: by so much the memory of one configuration differs between launches (add_sub: 90.8 to 92.7 MB)
_LAUNCHES = 0.02
_LEAST_BEND, _FEWEST = 0.1, 3
_LEAST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A configuration under one load: ``values`` in the order of the frontier's tags.

    ``row`` is the first that was measured of it, ``times`` how many there are; values are means.
    """

    row: Row
    values: tuple[Interval, ...]
    times: int
    satisfies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The Pareto set in ``tags``, the quickest first; ``knee`` is one of it, or None.

    ``every`` are all options that were compared.
    """

    tags: tuple[str, ...]
    options: tuple[Option, ...]
    every: tuple[Option, ...]
    knee: Option | None


def frontier(rows: Sequence[Row], goal: Goal) -> Frontier:
    """Find the Pareto set and its knee; empty where nothing has a throughput and a latency."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        measured = row.failure is None and row.describes
        if measured and row.metrics.keys() >= {THROUGHPUT, P99}:
            groups.setdefault((identity(row), row.load.same), []).append(goal.seen(row))
    tags = _tags([row for group in groups.values() for row in group])
    every = tuple(_option(group, tags, goal) for group in groups.values())
    free = _unbeaten(every, tags)
    free.sort(key=lambda each: (each.values[1].middle, each.row.number))
    return Frontier(tags=tags, options=tuple(free), every=every, knee=_knee(free))


def _unbeaten(every: Sequence[Option], tags: Sequence[str]) -> list[Option]:
    """Return what nothing beats (rule 2): asked from the best on balance down, most soon are."""
    weighed = sorted(
        ((_balance(each, tags), each) for each in every), key=lambda pair: pair[0], reverse=True
    )
    return [
        each
        for weight, each in weighed
        if not any(more > weight and _is_clear(other, each, tags) for more, other in weighed)
    ]


def beats(one: Option, other: Option, tags: Sequence[str]) -> bool:
    """Whether one option beats another with confidence (rule 1)."""
    return _is_clear(one, other, tags) and _balance(one, tags) > _balance(other, tags)


def _is_clear(one: Option, other: Option, tags: Sequence[str]) -> bool:
    """Whether one is clearly better in something, and clearly worse in nothing."""
    clear = [
        _clearly(tag, mine, theirs) - _clearly(tag, theirs, mine)
        for tag, mine, theirs in zip(tags, one.values, other.values, strict=True)
    ]
    return max(clear) > 0 and min(clear) >= 0


def _clearly(tag: str, one: Interval, other: Interval) -> bool:
    """Whether one is better than the other, and their intervals do not meet."""
    more = BY_TAG[tag].direction.value > 0
    return one.low > other.high if more else one.high < other.low


def _balance(option: Option, tags: Sequence[str]) -> float:
    return sum(
        BY_TAG[tag].direction.value * math.log(max(value.middle, _LEAST))
        for tag, value in zip(tags, option.values, strict=True)
    )


def _tags(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what options are compared by: only what all of them have."""
    found = [THROUGHPUT, P99]
    for kinds in (_MEMORIES, _ENERGIES):
        known = (tag for tag in kinds if rows and all(tag in row.metrics for row in rows))
        found += list(known)[:1]
    return tuple(found)


def _option(group: Sequence[Row], tags: Sequence[str], goal: Goal) -> Option:
    first = next((row for row in group if row.trial.phase is not Phase.VERIFY), group[0])
    bounded = {each.tag for each in goal.constraints}
    shared = [tag for tag in bounded if all(tag in row.metrics for row in group)]
    means = {tag: fmean(row.metrics[tag] for row in group) for tag in shared}
    intervals = [[_interval(row, tag) for row in group] for tag in tags]
    values = tuple(found[0] if len(found) == 1 else _mean(found) for found in intervals)
    return Option(row=first, values=values, times=len(group), satisfies=goal.satisfied(means))


def _mean(found: Sequence[Interval]) -> Interval:
    return Interval(
        fmean(each.middle for each in found),
        fmean(each.low for each in found),
        fmean(each.high for each in found),
    )


def _interval(row: Row, tag: str) -> Interval:
    """Return a metric with its interval; of one that has none, with what is known to vary."""
    value, known = row.metrics[tag], bounds(row, tag)
    if known is not None:
        return Interval(value, min(value, known[0]), max(value, known[1]))
    if tag in _ENERGIES and (rate := row.estimates.get(THROUGHPUT)) is not None and rate.low > 0:
        # A power over a rate is as uncertain as the rate.
        return Interval(value, value * rate.value / rate.high, value * rate.value / rate.low)
    spread = _LAUNCHES if tag in _MEMORIES else 0.0
    return Interval(value, value * (1.0 - spread), value * (1.0 + spread))


def _knee(options: Sequence[Option]) -> Option | None:
    """Return the option farthest above the line between the ends (rule 3)."""
    wanted = [each for each in options if each.satisfies] or list(options)
    steps: list[tuple[float, float, Option]] = []
    for each in wanted:
        rate, latency = each.values[0].middle, math.log(max(each.values[1].middle, _LEAST))
        if not steps or rate > steps[-1][1]:
            steps.append((latency, rate, each))
    if len(steps) < _FEWEST:
        return None
    (first, least, _), (last, most, _) = steps[0], steps[-1]
    if last <= first:
        return None
    bends = [
        ((rate - least) / (most - least) - (latency - first) / (last - first), -at)
        for at, (latency, rate, _) in enumerate(steps)
    ]
    bend, place = max(bends)
    return steps[-place][2] if bend >= _LEAST_BEND else None
