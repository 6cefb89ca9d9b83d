"""Small surfaces recorded of a simulated machine, and a bench that measures on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analyzer.record.journal import Journal
from analyzer.record.row import Row, RunHead, Trial
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.surface.grid import DEFAULT, Grid
from analyzer.surface.recording import Left, Recording, record
from analyzer.surface.stored import Surface, made, with_grid
from engine.modelconfig.schema import ModelConfig
from support.rows import head
from support.world import World

MODEL = "m"
BASE = ModelConfig(name=MODEL, backend="onnxruntime", max_batch_size=8)
SMALL = Space((
    Dimension(INSTANCE_COUNT, (1, 2)),
    Dimension(QUEUE_DELAY, (-1, 0, 500)),
    Dimension(MAX_BATCH_SIZE, (1, 4, 8)),
    Dimension(CONCURRENCY, (1, 4, 16), Axis.LOAD),
))  # fmt: skip
LAUNCH_SECONDS = 2.0


@dataclass
class Benches:
    """Makes benches on a world, and knows what has been started and measured."""

    world: World
    launched: list[Candidate] = field(default_factory=list)
    measured: list[Trial] = field(default_factory=list)
    broken: Callable[[Candidate], bool] = lambda _: False

    def fresh(self, rows: Sequence[Row]) -> _Bench:
        return _Bench(self, len(rows))


class _Bench:
    def __init__(self, benches: Benches, number: int) -> None:
        self._benches = benches
        self._number = number
        self._up: Candidate | None = None

    def name(self, trial: Trial) -> str:
        return f"{MODEL}_{trial.candidate}"

    def measure(self, trial: Trial) -> Row:
        seen = self._benches
        seen.measured.append(trial)
        row = seen.world.row(trial, self._number, model=MODEL, seconds=1.0)
        self._number += 1
        setting = Candidate(tuple(item for item in trial.candidate.items if item[0] != CONCURRENCY))
        if setting == self._up:
            return row
        self._up = setting
        seen.launched.append(setting)
        return replace(row, seconds=1.0 + LAUNCH_SECONDS, launch_seconds=LAUNCH_SECONDS)


class Silence:
    """Watches and says nothing."""

    def started(self, repetition: int, setting: Candidate, left: Left) -> None:
        """Let it pass."""

    def finished(self, row: Row, left: Left) -> None:
        """Let it pass."""


def grid_head(space: Space = SMALL, cores: int | None = 2) -> RunHead:
    return with_grid(head(MODEL), Grid(space, cores), BASE, 0)


def recorded(
    world: World, path: Path, space: Space = SMALL, repetitions: int = 3, name: str = "small"
) -> Surface:
    """Record a whole surface of a world into a file."""
    grid = Grid(space, world.cores)
    with Journal.resume(path, grid_head(space, world.cores)) as journal:
        record(
            Recording(grid, repetitions), Benches(world).fresh, journal, lambda: False, Silence()
        )
        return made(name, journal.head, journal.rows)


def default_points(surface: Surface) -> tuple[Candidate, ...]:
    return surface.grid.points(DEFAULT)
