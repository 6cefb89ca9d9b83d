"""Which rows measured the same thing, and a variant's repetitions in the verification. Pure.

Owns when two rows are about one variant (equal digests are, whatever they are called) and one
load. A round of the verification is a repetition's number: rows that have it in common were
taken by turns, one behind the other, and are compared with each other alone. A search may repeat a
measurement as well, to be surer of it: these count as one, by their means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from analyzer.record.row import Phase, Row
from analyzer.space import Candidate
from analyzer.statistics.estimate import Estimate


def identity(row: Row) -> tuple[str, str]:
    """Return what tells variants apart."""
    return row.model, row.digest or row.variant


def alike(one: Row, other: Row) -> bool:
    """Whether two rows measured one variant under one load."""
    return identity(one) == identity(other) and one.load.same == other.load.same


def rounds(rows: Sequence[Row], of: Row) -> dict[int, Row]:
    """Return what this variant has been through in the verification at this load, by round.

    Failures are among it. Of two rows of one round the later counts.
    """
    return {
        row.trial.repetition: row
        for row in rows
        if row.trial.phase is Phase.VERIFY and alike(row, of)
    }


def measured(every: Mapping[int, Row]) -> dict[int, Row]:
    """Leave out the rounds that failed."""
    return {number: row for number, row in every.items() if row.failure is None}


def merged(rows: Sequence[Row]) -> list[Row]:
    """Return rows with the search's repetitions of a candidate merged into one (``pooled``).

    It stands where the earliest did. Failures are left alone, and so is what was short of cores.
    """
    groups: dict[Candidate, list[Row]] = {}
    for row in rows:
        if row.trial.phase is Phase.SEARCH and row.failure is None and not row.short_of_cores:
            groups.setdefault(row.trial.candidate, []).append(row)
    repeated = [
        sorted(group, key=lambda row: row.number)
        for group in groups.values()
        if len(group) > 1 and any(row.trial.repetition for row in group)
    ]
    first = {group[0].number: pooled(group) for group in repeated}
    gone = {row.number for group in repeated for row in group[1:]}
    return [first.get(row.number, row) for row in rows if row.number not in gone]


def pooled(rows: Sequence[Row]) -> Row:
    """Return one row for all repetitions: the first that did not fail, with the means of all.

    One row at least, in the order of the repetitions; ``trial`` is the last one's. An interval's
    ends are the means of theirs: it is no surer of one run, whatever many of them say.
    """
    good = [row for row in rows if row.failure is None] or rows
    tags = set.intersection(*(set(row.metrics) for row in good))
    named = set.intersection(*(set(row.estimates) for row in good))
    return replace(
        good[0],
        trial=rows[-1].trial,
        metrics={
            tag: fmean(row.metrics[tag] for row in good) for tag in good[0].metrics if tag in tags
        },
        estimates={
            tag: _mean([row.estimates[tag] for row in good])
            for tag in good[0].estimates
            if tag in named
        },
        requests=sum(row.requests for row in good),
    )


def _mean(every: Sequence[Estimate]) -> Estimate:
    return replace(
        every[0],
        value=fmean(each.value for each in every),
        low=fmean(each.low for each in every),
        high=fmean(each.high for each in every),
        n=sum(each.n for each in every),
        effective_n=sum(each.effective_n for each in every),
        certified=all(each.certified for each in every),
    )
