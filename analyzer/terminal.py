"""What a sweep shows on the terminal: a live display while it runs, a few lines at its end.

Owns the words and the layout. An observer of rows: nothing depends on it, and where the
output is no terminal each row becomes one plain line.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analyzer.load.window import WindowSample
from analyzer.metrics import BY_TAG
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, contender, failures, gain
from analyzer.record.row import Phase, Row, Trial
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Candidate,
)
from analyzer.stages import Campaign, Stage
from analyzer.variant import NO_BATCHING
from analyzer.workspace import Workspace

#: how many finished measurements the live display keeps in view
RECENT = 8
_STAGES = (Stage.DEFAULT, Stage.SEARCH, Stage.CURVE, Stage.VERIFY)
_PHASES = {Phase.SEARCH: "", Phase.CURVE: "load curve", Phase.VERIFY: "verification"}


class Display:
    """Watches a sweep: entered for as long as it runs."""

    def __init__(self, console: Console, campaign: Campaign, model: str, batch_size: int) -> None:
        self._console = console
        self._model = model
        self._campaign = campaign
        self._recent: list[Row] = []
        self._running: tuple[Trial, str] | None = None
        self._begun = time.monotonic()
        self._windows = ""
        self._counted = 0
        self._batch_size = batch_size
        self._left: tuple[float, float] | None = None
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=4, transient=True
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
        self._running = (trial, variant_name)
        self._begun = time.monotonic()
        self._windows = ""
        self._counted = 0
        left = self._campaign.progress().seconds_left
        self._left = None if left is None else (time.monotonic(), left)

    def window(self, sample: WindowSample) -> None:
        """Show a window of the running measurement."""
        self._counted += 1
        rate = _figure(sample.rate * self._batch_size)
        self._windows = f"window {self._counted}: {rate} infer/sec"

    def finished(self, row: Row) -> None:
        """Show a finished measurement."""
        self._recent = [*self._recent, row][-RECENT:]
        if self._live is None:
            self._console.print(_line(row), markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        progress = self._campaign.progress()
        parts: list[RenderableType] = [self._headline(progress.stage)]
        if self._running is not None and progress.stage is not Stage.DONE:
            parts.append(self._now(*self._running))
        if progress.best is not None:
            parts.append(Text.assemble(("  best so far  ", "bold green"), _standing(progress.best)))
        parts.append(Padding(self._table(), (1, 0, 0, 2)))
        return Group(*parts)

    def _headline(self, stage: Stage) -> Text:
        head = Text.assemble(("Profiling ", "bold"), (self._model, "bold cyan"), "  ")
        for each in _STAGES:
            style = "bold reverse" if each is stage else "dim"
            head.append(f" {each.value} ", style=style)
        if self._left is not None:
            at, left = self._left
            remaining = max(0.0, left - (time.monotonic() - at))
            head.append(f"  about {_clock(remaining)} left", style="bold")
        return head

    def _now(self, trial: Trial, variant_name: str) -> Text:
        elapsed = time.monotonic() - self._begun
        what = f"{variant_name}  {_candidate(trial.candidate)}"
        doing = self._windows or "starting, warming up"
        return Text.assemble(
            ("  measuring    ", "bold yellow"), what, (f"  {elapsed:4.1f} s  {doing}", "dim")
        )

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("#", "configuration", "concurrency", "infer/sec", "p99 ms", ""):
            table.add_column(title, justify="left" if title in {"configuration", ""} else "right")
        for row in self._recent:
            table.add_row(*_cells(row), style="red" if row.failure else None)
        return table


def closing_words(console: Console, rows: Sequence[Row], goal: Goal, winner: Standing) -> None:
    """Print the winner, its gain over the default, and what to do with it."""
    console.print()
    console.print(
        Text.assemble(("Best configuration: ", "bold"), (winner.variant, "bold green")),
        highlight=False,
    )
    console.print(f"  {_settings(winner.best)}", highlight=False, markup=False)
    console.print(f"  {_figures(winner.best)}", highlight=False, markup=False)
    console.print(f"  {gain_words(rows, goal, winner)}", highlight=False, markup=False)
    if not winner.satisfies:
        console.print(
            f"  No configuration keeps the constraints ({goal.describe()}); this is the closest.",
            style="yellow",
            highlight=False,
            markup=False,
        )
    if failed := failures(rows):
        console.print(
            f"  {len(failed)} measurement{'s' * (len(failed) > 1)} failed; "
            "the report gives each reason.",
            style="yellow",
            highlight=False,
        )
    console.print()


def say_commands(console: Console, place: Workspace, model: str, *, local: bool) -> None:
    """Print where the report is, and the command that serves the winner."""
    target = model if place.root == Path("results") / model else str(place.root)
    lines = [("Report", str(place.report))]
    if local:
        lines.append(("Serve it", shlex.join(["engine", "serve", "--chosen", target])))
    for title, text in lines:
        console.print(
            Text.assemble((f"{title + ':':<10}", "bold"), (text, "cyan")),
            soft_wrap=True,
            highlight=False,
        )


def gain_words(rows: Sequence[Row], goal: Goal, winner: Standing) -> str:
    """Say how much better the winner is than the default configuration, and how sure that is."""
    compared, rival = gain(rows, goal), contender(rows, goal)
    if winner.is_default:
        if compared is None or rival is None:
            return "No other configuration could be compared with the default."
        return (
            f"The default configuration is not beaten: the closest, {rival.variant}, came out "
            f"{_interval(compared.percent, compared.low, compared.high)} ({compared.method})."
        )
    if compared is None:
        return "The default configuration could not be measured for comparison."
    name = BY_TAG[compared.tag].title.lower() if compared.tag in BY_TAG else "weighted objectives"
    amount = _interval(compared.percent, compared.low, compared.high)
    if not compared.proven:
        return (
            f"No proven gain over the default configuration: {name} {amount} ({compared.method})."
        )
    return f"{amount} better {name} than the default configuration ({compared.method})."


def _interval(percent: float, low: float | None, high: float | None) -> str:
    text = f"{percent:+.1f} %"
    if low is None or high is None:
        return text
    return f"{text} [95 % interval {low:+.1f} to {high:+.1f} %]"


def _standing(standing: Standing) -> str:
    return f"{standing.variant}  {_settings(standing.best)}  {_figures(standing.best)}"


def _settings(row: Row) -> str:
    """Say a variant's settings in a few words."""
    settings = row.settings
    delay = settings.get(QUEUE_DELAY) if settings.get("dynamic_batching") else NO_BATCHING
    return _words(
        settings.get("instance_group"),
        settings.get(MAX_BATCH_SIZE),
        delay,
        settings.get(INTRA_OP_THREADS),
    )


def _candidate(candidate: Candidate) -> str:
    """Say what a candidate changes, and its load."""
    changes = _words(
        candidate.get(INSTANCE_COUNT),
        candidate.get(MAX_BATCH_SIZE),
        candidate.get(QUEUE_DELAY),
        candidate.get(INTRA_OP_THREADS),
    )
    return ", ".join(filter(None, (changes, f"concurrency {candidate.get(CONCURRENCY)}")))


def _words(instances: object, largest: object, delay: object, threads: object) -> str:
    """Say settings in a few words; what is None goes unsaid."""
    parts = []
    if instances:
        parts.append(f"instances {instances}")
    if largest is not None:
        parts.append(f"max batch {largest}")
    if delay is not None:
        parts.append("no batching" if delay == NO_BATCHING else f"batching delay {delay} us")
    if threads is not None:
        parts.append(f"threads {threads}")
    return ", ".join(parts)


def _figures(row: Row) -> str:
    rate = _figure(row.metrics.get("perf_throughput"))
    p99 = _figure(row.metrics.get("perf_latency_p99"))
    return f"{rate} infer/sec, p99 {p99} ms at concurrency {row.load.concurrency}"


def _cells(row: Row) -> tuple[str, ...]:
    load = str(row.trial.candidate.get(CONCURRENCY) or row.load.concurrency)
    where = _PHASES[row.trial.phase]
    if row.failure is not None:
        reason = row.failure.message.strip().splitlines()
        return str(row.number), row.variant, load, "failed", "", (reason or [""])[-1][:70]
    if not row.stable:
        where = f"{where} not stable".strip()
    return (
        str(row.number),
        f"{row.variant}  {_settings(row)}",
        load,
        _figure(row.metrics.get("perf_throughput")),
        _figure(row.metrics.get("perf_latency_p99")),
        where,
    )


def _line(row: Row) -> str:
    number, configuration, load, rate, p99, remark = _cells(row)
    text = f"[{number}] {configuration}, concurrency {load}: {rate}"
    if row.failure is None:
        text += f" infer/sec, p99 {p99} ms"
    return f"{text} ({remark})" if remark else text


def _figure(value: float | None) -> str:
    """Show three significant digits or so, without an exponent."""
    if value is None:
        return "-"
    if value >= 100:  # noqa: PLR2004 - from three digits before the point on, none after it
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - likewise


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
