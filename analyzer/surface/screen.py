"""What a recording shows: a bar with the time left on a terminal, a line a setting elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from analyzer.load.window import WindowSample
from analyzer.record.row import Row
from analyzer.space import Candidate
from analyzer.surface.recording import Left, Recording
from analyzer.terminal import changes, clock


class Screen:
    """Watches a recording: entered for as long as it runs."""

    def __init__(self, console: Console, model: str, recording: Recording) -> None:
        self._console = console
        self._model = model
        self._recording = recording
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("Recording [bold cyan]{task.fields[model]}[/]"), BarColumn(),
                MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
                TextColumn("[dim]{task.description}"), console=console, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", model=model, left="", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def window(self, sample: WindowSample) -> None:
        """Let the windows of a measurement pass: a surface has hundreds of them."""

    def started(self, repetition: int, setting: Candidate, left: Left) -> None:
        """Say which setting is about to be served."""
        numbers = self._recording.numbers
        words = changes(setting) or "the default configuration"
        which = f"repetition {repetition - numbers[0] + 1} of {len(numbers)}"
        if self._bar is not None:
            self._show(left)
            self._bar.update(self._task, description=f"{which}: {words}")
            return
        self._console.print(
            f"{left.done} of {left.all} points{_left(left)}; {which}: {words}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip

    def finished(self, row: Row, left: Left) -> None:
        """Show how far it is; say what failed."""
        if self._bar is not None:
            self._show(left)
        if row.failure is not None:
            first = row.failure.message.splitlines()[0]
            self._console.print(
                f"{row.trial.candidate}: failed ({row.failure.stage}): {first}",
                style="yellow", highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip

    def _show(self, left: Left) -> None:
        assert self._bar is not None
        self._bar.update(
            self._task, completed=left.done, total=left.all, left=_left(left).removeprefix(", ")
        )


def _left(left: Left) -> str:
    return "" if left.seconds is None else f", about {clock(left.seconds)} left"
