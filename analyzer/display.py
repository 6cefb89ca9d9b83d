"""What a sweep shows while it runs: what is measured and why, what was foreseen, what is left.

An observer of rows: nothing depends on it. Where the output is no terminal each measurement becomes
two plain lines. Does not own the words for a row (``terminal``) or what comes next (``stages``).
"""

from __future__ import annotations

import math
import textwrap
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analyzer.load.window import WindowSample
from analyzer.record.row import Row, Trial
from analyzer.report import wording
from analyzer.stages import Campaign, Progress, Stage
from analyzer.terminal import (
    changes,
    clock,
    figure,
    figures,
    line,
    load_of,
    numbers,
    reason_of,
    remark_of,
    settings_of,
)  # fmt: skip

#: how many finished measurements the live display keeps in view
RECENT = 8
#: lines for the reason of the running measurement: always as many, so that nothing jumps
_WHY_LINES = 2
#: columns of a terminal from which on there is room for settings beside what was foreseen
_ROOMY = 100
_STAGES = (Stage.DEFAULT, Stage.SEARCH, Stage.CURVE, Stage.VERIFY)
#: what is foreseen of a measurement, with its unit and the heading of its column
_SHOWN = (("perf_throughput", "infer/sec"), ("perf_latency_p99", "p99 ms"))


class Display:
    """Watches a sweep: entered for as long as it runs."""

    def __init__(self, console: Console, campaign: Campaign, model: str, batch_size: int) -> None:
        self._console = console
        self._model = model
        self._campaign = campaign
        self._recent: list[Row] = []
        #: what is measured now, the latest last, and its variant's name
        self._running: dict[Trial, str] = {}
        self._ended = False
        self._begun = time.monotonic()
        self._windows = ""
        self._counted = 0
        self._batch_size = batch_size
        #: rich draws on a thread of its own: what it draws is computed when something happens
        self._progress = campaign.progress()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self.__rich__, refresh_per_second=4, transient=True
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, trial: Trial, variant_name: str) -> None:
        """Show what is being measured."""
        self._windows = ""
        self._counted = 0
        self._progress = self._campaign.progress()
        self._begun = time.monotonic()
        self._running = {**({} if self._ended else self._running), trial: variant_name}
        self._ended = False

    def window(self, sample: WindowSample) -> None:
        """Show a window of the running measurement."""
        self._counted += 1
        rate = figure(sample.rate * self._batch_size)
        self._windows = f"window {self._counted}: {rate} infer/sec"

    def finished(self, row: Row) -> None:
        """Show a finished measurement."""
        others = {one: name for one, name in self._running.items() if one != row.trial}
        # The only one stays in view until the next begins, so that nothing jumps.
        self._running, self._ended = others or self._running, not others
        self._recent = [*self._recent, row][-RECENT:]
        self._progress = self._campaign.progress()
        if self._live is None:
            for text in (line(row), f"    {self._after(row)}"):
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> RenderableType:
        """Return what is on the screen now."""
        progress = self._progress
        now = Table.grid(padding=(0, 2, 0, 0))
        now.add_column(no_wrap=True)
        now.add_column()
        if self._running and progress.stage is not Stage.DONE:
            trial, name = list(self._running.items())[-1]
            now.add_row(Text("measuring", style="bold yellow"), self._now(trial, name))
            now.add_row(Text("because", style="yellow"), self._because(trial))
        if progress.best is not None:
            best = f"{self._short(progress.best.variant)}  {figures(progress.best.best)}\n"
            settings = Text(best, no_wrap=True, overflow="ellipsis")
            settings.append(settings_of(progress.best.best), style="dim")
            now.add_row(Text("best so far", style="bold green"), settings)
        return Group(
            self._headline(progress),
            Padding(now, (0, 0, 0, 2)),
            Padding(self._table(), (1, 0, 0, 2)),
        )

    def _headline(self, progress: Progress) -> Text:
        head = Text.assemble(("Profiling ", "bold"), (self._model, "bold cyan"), "  ")
        stages = Text()
        # Few profiles search for a rate, or have several GPUs: the stage is named where one does.
        seldom = progress.stage in {Stage.GOODPUT, Stage.ABREAST}
        named = sorted({*_STAGES, progress.stage}, key=list(Stage).index) if seldom else _STAGES
        for each in named:
            style = "bold reverse" if each is progress.stage else "dim"
            stages.append(f" {each.value} ", style=style)
        left = Text(f"  {_left(progress, time.monotonic() - self._begun)}", style="bold")
        if head.cell_len + stages.cell_len + left.cell_len > self._console.width:
            stages = Text(f" {progress.stage.value} ", style="bold reverse")
        head = head + stages + left
        head.no_wrap, head.overflow = True, "ellipsis"
        return head

    def _now(self, trial: Trial, variant_name: str) -> Text:
        """Say what is measured in two lines, whatever it is: the display does not jump."""
        elapsed = time.monotonic() - self._begun
        doing = self._windows or "starting, warming up"
        if beside := len(self._running) - 1:
            doing += f"; {beside} more on other GPUs"
        return Text.assemble(
            f"{self._short(variant_name)}, {wording.asked(trial.candidate)}",
            (f"  {elapsed:4.1f} s  {doing}\n", "dim"),
            (changes(trial.candidate) or "as the repository has it", "dim"),
            no_wrap=True, overflow="ellipsis",
        )  # fmt: skip

    def _because(self, trial: Trial) -> Text:
        """Say why it is measured, in lines that are always as many."""
        # What stands before it: the indent, the widest title, and the space between.
        width = max(20, self._console.width - 2 - len("best so far") - 2)
        lines = textwrap.wrap(_reason(trial), width, max_lines=_WHY_LINES, placeholder=" ...")
        lines += [""] * (_WHY_LINES - len(lines))
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    def _short(self, variant_name: str) -> str:
        """Leave out what the headline says already."""
        return variant_name.removeprefix(f"{self._model}_")

    def _table(self) -> Table:
        """Show a line for each row, however narrow the terminal: the last column gives way."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
        for title in ("#", "configuration", "load"):
            left = title == "configuration"
            table.add_column(title, justify="left" if left else "right", no_wrap=True)
        foreseen = [any(_foreseen(row, tag) for row in self._recent) for tag, _ in _SHOWN]
        roomy = self._console.width >= _ROOMY or not any(foreseen)
        sure = any(_half(row) for row in self._recent)
        (rate, late) = [
            (title, "foreseen")[: 1 + known]
            for (_, title), known in zip(_SHOWN, foreseen, strict=True)
        ]
        for each in (rate[0], *("+-",) * sure, *rate[1:], *late):
            table.add_column(each, justify="right", no_wrap=True)
        table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
        for row in self._recent:
            cells = [str(row.number), self._short(row.variant), load_of(row)]
            for (tag, _), known, shown in zip(_SHOWN, foreseen, numbers(row), strict=True):
                half = [_half(row)] if sure and tag == _SHOWN[0][0] else []
                cells += [shown, *half, *[_foreseen(row, tag)] * known]
            style = "red" if row.failure else None
            table.add_row(*map(Text, [*cells, _told(row, settings=roomy)]), style=style)
        return table

    def _after(self, row: Row) -> str:
        """Say why a row was measured, and how things stand behind it, in one line."""
        parts = [f"because: {reason}"] if (reason := _reason(row.trial)) else []
        progress = self._progress
        if progress.best is not None:
            best = progress.best
            parts.append(f"best so far: {best.variant}, {figures(best.best)}")
        parts.append(_left(progress))
        return "; ".join(filter(None, parts))


def _reason(trial: Trial) -> str:
    return "" if trial.why is None else trial.why.text


def _told(row: Row, *, settings: bool) -> str:
    """Say of a row what no column says: why it failed, or what it was for and what was served."""
    said = (remark_of(row, precision=not _half(row)), settings_of(row) if settings else "")
    return reason_of(row) or ", ".join(filter(None, said))


def _half(row: Row) -> str:
    """Return half of the throughput's 95 % interval, in per cent; "" where it is not known."""
    found = row.estimates.get(_SHOWN[0][0])
    if row.failure is not None or found is None or math.isinf(found.relative):
        return ""
    return f"{100 * found.relative:.0f}%"


def _foreseen(row: Row, tag: str) -> str:
    """Return what was expected of a metric; "" where nobody said."""
    predicted = {} if row.trial.why is None else row.trial.why.predicted
    return figure(predicted[tag]) if tag in predicted else ""


def _left(progress: Progress, since: float = 0.0) -> str:
    """Say about how much time and how many measurements are left, ``since`` seconds later."""
    if progress.stage is Stage.DONE:
        return "nothing is left to measure"
    parts = []
    if progress.seconds_left is not None:
        parts.append(clock(max(0.0, progress.seconds_left - since)))
    if progress.expected_left is not None:
        several = "s" if progress.expected_left != 1 else ""
        parts.append(f"{progress.expected_left} measurement{several}")
    return f"about {', '.join(parts)} left" if parts else ""
