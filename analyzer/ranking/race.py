"""Several measured by turns: who is ahead, who is clearly behind, who cannot be relied on. Pure.

Rules:

1. Two are compared over the rounds that both have been through, two at least: what the machine
   did meanwhile, it did to both.
2. Who keeps the constraints, by the means of these rounds, is ahead of who does not; then the
   objectives decide.
3. Who failed twice, and more often than the default did, cannot be relied on, however fast it is.
4. Who is behind is clearly so when its distance from the leader exceeds what the spread of all
   their rounds explains: residuals of the two-way layout (rounds by runners), which takes the
   logarithms' spread to be alike. With few rounds nothing smaller would ever be clear. Only
   leaving the race depends on this; what is claimed of a gain does not (``rank.gain``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from analyzer.metrics import BY_TAG
from analyzer.ranking.goal import Goal, log_ratio
from analyzer.ranking.repeats import measured, rounds
from analyzer.record.row import Row
from analyzer.statistics.distributions import t_quantile

#: an interval needs two rounds
FEWEST = 2


def advantage(one: Row, other: Row, weights: Sequence[tuple[str, float]]) -> float | None:
    """Return the weighted log ratio towards the better side; None if a metric is missing."""
    if any(tag not in row.metrics for tag, _ in weights for row in (one, other)):
        return None
    return sum(
        weight * BY_TAG[tag].direction.value * log_ratio(one.metrics[tag], other.metrics[tag])
        for tag, weight in weights
    )


def unreliable(rows: Sequence[Row], of: Row, default: Row | None) -> bool:
    """Whether the verification showed that it cannot be relied on (rule 3)."""
    failed = _failed(rows, of)
    return failed >= FEWEST and (default is None or failed > _failed(rows, default))


def comparable(rows: Sequence[Row], one: Row, other: Row) -> bool:
    """Whether two have enough rounds in common to be compared."""
    ours, theirs = (measured(rounds(rows, each)) for each in (one, other))
    return len(ours.keys() & theirs.keys()) >= FEWEST


def ahead(rows: Sequence[Row], goal: Goal, runners: Sequence[Row]) -> Row:
    """Return who is ahead of the others (one row stands for each runner, one at least).

    Who has been through most rounds is set against each of the others in turn: those that left
    the race earlier were behind when they did. Of equals the first given is ahead.
    """
    taken = {runner.number: len(measured(rounds(rows, runner))) for runner in runners}
    first, *others = sorted(runners, key=lambda runner: -taken[runner.number])
    for other in others:
        if _beats(rows, goal, other, first):
            first = other
    return first


def behind(
    rows: Sequence[Row], goal: Goal, runners: Sequence[Row], default: Row, error: float
) -> tuple[Row, ...]:
    """Return those of the runners that are clearly behind the first of them (rule 4).

    Only the rounds that all have been through count. ``error`` is the probability, for each, of
    being taken for it by chance.
    """
    columns = [default, *runners]
    common = _common(rows, goal, columns)
    if len(common) < FEWEST or len(runners) < 2:  # noqa: PLR2004 - nobody to be behind
        return ()
    table: list[list[float]] = []
    for column in columns:
        pairs = [(found[column.number], found[default.number]) for found in common]
        values = [advantage(one, other, goal.objectives) for one, other in pairs]
        table.append([value for value in values if value is not None])
    if any(len(values) < len(common) for values in table):
        return ()
    reach = _reach(table, error)
    middles = [fmean(values) for values in table[1:]]
    return tuple(
        runner
        for runner, middle in zip(runners, middles, strict=True)
        if max(middles) - middle > reach
    )


def _reach(table: Sequence[Sequence[float]], error: float) -> float:
    """Return how far two columns' means may be apart by chance."""
    wide, long = len(table), len(table[0])
    whole = fmean(fmean(column) for column in table)
    of_round = [fmean(column[number] for column in table) for number in range(long)]
    squares = sum(
        (value - fmean(column) - of_round[number] + whole) ** 2
        for column in table
        for number, value in enumerate(column)
    )
    degrees = (wide - 1) * (long - 1)
    return t_quantile(1.0 - error, degrees) * math.sqrt(2.0 * squares / degrees / long)


def _common(rows: Sequence[Row], goal: Goal, runners: Sequence[Row]) -> list[dict[int, Row]]:
    """Return the rounds that all have been through, each a row by its runner's number."""
    taken = {runner.number: measured(rounds(rows, runner)) for runner in runners}
    shared = set.intersection(*(set(each) for each in taken.values()))
    return [
        {number: goal.seen(each[repetition]) for number, each in taken.items()}
        for repetition in sorted(shared)
    ]


def _beats(rows: Sequence[Row], goal: Goal, one: Row, other: Row) -> bool:
    """Whether one came out better than the other over their common rounds."""
    common = _common(rows, goal, (one, other))
    if len(common) < FEWEST:
        return False
    broken = [
        goal.violation(_means([found[each.number] for found in common])) for each in (one, other)
    ]
    if broken[0] != broken[1]:
        return broken[0] < broken[1]
    gains = [advantage(found[one.number], found[other.number], goal.objectives) for found in common]
    known = [gain for gain in gains if gain is not None]
    return len(known) == len(common) and fmean(known) > 0.0


def _failed(rows: Sequence[Row], of: Row) -> int:
    every = rounds(rows, of)
    return len(every) - len(measured(every))


def _means(rows: Sequence[Row]) -> Mapping[str, float]:
    tags = set.intersection(*(set(row.metrics) for row in rows))
    return {tag: fmean(row.metrics[tag] for row in rows) for tag in tags}
