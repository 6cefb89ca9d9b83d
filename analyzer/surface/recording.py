"""Recording a surface: the loop, and how far it is. It can be stopped and gone on with anywhere.

Owns the order of measurements and when a fresh server is started (for each setting and repetition;
also where a recording goes on). Does not own measuring, or the file. Rules:

1. What a file has is not measured again, failures included: that a point failed is what was seen.
2. A setting that did not come up is not tried under another load of the same repetition.
3. Where the first settings all fail and nothing has succeeded, the cause is not the settings, and
   it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from analyzer.errors import AnalyzerError
from analyzer.record.journal import Journal
from analyzer.record.row import Row, Trial
from analyzer.space import Candidate
from analyzer.surface.grid import Grid

#: so many settings that fail, and none succeeded, end a recording
HOPELESS = 3


class Measuring(Protocol):
    """What measures a trial, and keeps a variant up while it is asked for: ``profile.Bench``."""

    def name(self, trial: Trial) -> str:
        """Name a trial's variant; equal configurations have one name."""
        ...

    def measure(self, trial: Trial) -> Row:
        """Measure; whatever goes wrong is in the row's ``failure``."""
        ...


class Watching(Protocol):
    """Somebody who watches a recording."""

    def started(self, repetition: int, setting: Candidate, left: Left) -> None:
        """A setting is about to be served; ``left`` says what there is to do with it."""
        ...

    def finished(self, row: Row, left: Left) -> None:
        """A point has been measured."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """What the command was asked: ``max_time`` seconds are spent at most (None: no bound)."""

    output: Path
    repetitions: int = 3
    first: int = 0
    max_time: float | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """What is to be recorded: repetitions ``first`` and on of a grid."""

    grid: Grid
    repetitions: int
    first: int = 0
    seed: int = 0

    @property
    def numbers(self) -> range:
        """The repetitions' numbers."""
        return range(self.first, self.first + self.repetitions)


@dataclass(frozen=True, slots=True)
class Left:
    """How far a recording is: points measured, points of all, and seconds to go (None: unknown)."""

    done: int
    all: int
    seconds: float | None


def record(
    recording: Recording,
    fresh: Callable[[Sequence[Row]], Measuring],
    journal: Journal,
    stop: Callable[[], bool],
    watching: Watching,
) -> bool:
    """Measure what the journal does not have; return whether all is there now.

    ``fresh(rows)`` makes what measures, with a server that is not up yet; it is asked for each
    setting, when the one before is done with.

    Raises:
        AnalyzerError: everything fails.
        ServerLost: a server that is not ours is gone.
        JournalError: a row could not be written; those before it are safe.
    """
    bench = fresh(journal.rows)
    names: dict[Candidate, str] = {
        setting: bench.name(Trial(candidate=setting)) for setting in recording.grid.settings
    }
    settings = recording.grid.distinct(names.__getitem__)
    sizes = {setting: len(recording.grid.points(setting)) for setting in settings}
    for repetition, setting, points in _left(recording, settings, journal):
        _give_up(journal.rows)
        watching.started(repetition, setting, left(recording, sizes, journal.rows))
        bench = fresh(journal.rows)
        for point in points:
            if stop():
                return False
            row = bench.measure(Trial(candidate=point, repetition=repetition))
            row = replace(row, series={}, histogram="")
            journal.append(row)
            watching.finished(row, left(recording, sizes, journal.rows))
            if _did_not_launch(row):
                break
    return True


def left(recording: Recording, sizes: Mapping[Candidate, int], rows: Sequence[Row]) -> Left:
    """Say how far a recording is; ``sizes`` are the numbers of points by setting."""
    whole = sum(sizes.values()) * recording.repetitions
    mine = [row for row in rows if row.trial.repetition in recording.numbers]
    failed = {_at(recording, row) for row in mine if _did_not_launch(row)}
    # Of a setting that did not come up there is nothing more to measure.
    lost = sum(sizes.get(setting, 0) for _, setting in failed)
    others = [row for row in mine if not failed or _at(recording, row) not in failed]
    done = len(others) + lost
    seconds = sum(row.seconds for row in mine) / len(mine) * (whole - done) if mine else None
    return Left(done, whole, seconds)


def _left(
    recording: Recording, settings: tuple[Candidate, ...], journal: Journal
) -> Iterator[tuple[int, Candidate, tuple[Candidate, ...]]]:
    """Yield what there is to do: repetition, setting, and its points that are not there."""
    known = {(row.trial.repetition, row.trial.candidate) for row in journal.rows}
    failed = {_at(recording, row) for row in journal.rows if _did_not_launch(row)}
    for repetition in recording.numbers:
        for setting, points in recording.grid.course(settings, repetition, recording.seed):
            todo = tuple(point for point in points if (repetition, point) not in known)
            if todo and (repetition, setting) not in failed:
                yield repetition, setting, todo


def _give_up(rows: Sequence[Row]) -> None:
    failed = [row.failure for row in rows if row.failure is not None]
    if len(failed) == len(rows) >= HOPELESS:
        last = failed[-1]
        raise AnalyzerError(
            f"the first {len(rows)} measurements failed and none succeeded; the last one said: "
            f"{last.stage}: {last.message}\nRepair the cause, and remove the file to begin anew"
        )


def _at(recording: Recording, row: Row) -> tuple[int, Candidate]:
    return row.trial.repetition, recording.grid.split(row.trial.candidate)[0]


def _did_not_launch(row: Row) -> bool:
    return row.failure is not None and row.failure.stage == "launch"
