"""Which rows measured the same thing, and a variant's repetitions in the verification. Pure.

Owns when two rows are about one variant (equal digests are, whatever they are called) and one
load. A round of the verification is a repetition's number: rows that have it in common were
taken by turns, one behind the other, and are compared with each other alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analyzer.record.row import Phase, Row


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
