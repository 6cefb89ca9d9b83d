"""The rows that a campaign was told, and the questions that are asked of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer import variant
from analyzer.ranking.repeats import pooled
from analyzer.record.row import Phase, Row
from analyzer.space import Candidate
from analyzer.stages.plan import setting_of


class Told:
    """Rows in the order in which they were told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Put a row in its place by its number: of several at a time any may come first."""
        place = len(self.rows)
        while place and self.rows[place - 1].number > row.number:
            place -= 1
        self.rows.insert(place, row)

    def of(self, *phases: Phase) -> Sequence[Row]:
        """Return the rows of these phases."""
        return [row for row in self.rows if row.trial.phase in phases]

    def seconds(self, *phases: Phase) -> float:
        """Return what the rows of these phases took, side by side where they were."""
        return elapsed(self.of(*phases))

    def searched(self, candidate: Candidate, repetition: int = 0) -> Row | None:
        """Return the search's row of a candidate; one that was short of cores does not count."""
        rows = (
            row
            for row in self.of(Phase.SEARCH)
            if row.trial.candidate == candidate and row.trial.repetition == repetition
        )
        return next((row for row in rows if not row.short_of_cores), None)

    def repeated(self, row: Row) -> Row:
        """Return a row of the search with the means of all its repetitions up to it."""
        rows = self.of(Phase.SEARCH)
        return pooled([
            each
            for each in rows
            if each.trial.candidate == row.trial.candidate
            and each.trial.repetition <= row.trial.repetition
            and not each.short_of_cores
        ])  # fmt: skip

    def was_short(self, candidate: Candidate) -> bool:
        """Whether a candidate was measured beside others with too few cores."""
        rows = (row for row in self.of(Phase.SEARCH) if row.trial.candidate == candidate)
        return any(row.short_of_cores for row in rows)

    def does_not_launch(self, candidate: Candidate) -> bool:
        """Whether this setting failed to come up, at whatever load."""
        setting = setting_of(candidate)
        return any(
            row.failure is not None
            and row.failure.stage == "launch"
            and setting_of(row.trial.candidate) == setting
            for row in self.of(Phase.SEARCH)
        )

    def answers_otherwise(self, candidate: Candidate) -> Row | None:
        """Return the row that showed that whatever is run by the same answers wrongly."""
        by = variant.chosen_answering(candidate)
        failed = (
            row
            for row in self.of(Phase.SEARCH)
            if row.failure is not None and row.failure.stage == "accuracy"
        )
        return next(
            (row for row in failed if variant.chosen_answering(row.trial.candidate) == by), None
        )


def elapsed(rows: Sequence[Row], besides: float = 0.0) -> float:
    """Return how long rows took in all, in the order in which they were asked for.

    One begins when all that were asked for before it have ended, but for the last few that were
    pending. ``besides`` goes by with each.
    """
    ends: list[float] = []
    begins = 0.0
    heard = 0
    for place, row in enumerate(rows):
        while heard < place - row.trial.pending:
            begins = max(begins, ends[heard])
            heard += 1
        ends.append(begins + row.seconds + besides)
    return max(ends, default=0.0)
