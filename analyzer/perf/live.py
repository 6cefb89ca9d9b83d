"""The terminal of ``analyze perf``: its lines, and above the next one what is being measured now.

Where the output is no terminal there are the lines alone.
"""

from __future__ import annotations

from collections import deque
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analyzer.perf.bars import spelt_ns
from analyzer.perf.options import Measuring, PerfOptions, Rule
from analyzer.perf.watch import Look, counting, seconds_left

if TYPE_CHECKING:
    from analyzer.statistics.estimate import Estimate

WIDTH = 100
_SPARKS = "▁▂▃▄▅▆▇█"
_KEPT = 60
_GAUGE = 12
_NUMBERS = 10_000


class Terminal:
    """A ``Screen`` on two consoles, one for what is said and one for warnings."""

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors
        self._live: Live | None = None
        self._heading = ""
        self._options: PerfOptions | None = None
        self._look: Look | None = None
        self._rates: deque[float] = deque(maxlen=_KEPT)
        self.unicode = console.encoding.lower().startswith("utf")
        self.width = console.width if console.is_terminal else WIDTH

    def say(self, *lines: str) -> None:
        """Print lines."""
        for line in lines:
            for part in self._broken(line):
                self._console.print(_styled(part), soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a line on standard error."""
        self._errors.print(line, style="yellow", soft_wrap=True)

    def began(self, heading: str, options: PerfOptions) -> None:
        """Show that a level is being measured."""
        self._heading, self._options, self._look = heading, options, None
        self._rates.clear()
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self.__rich__,
                refresh_per_second=5,
                transient=True,
            )
            self._live.start()

    def looked(self, look: Look) -> None:
        """Show how it goes."""
        self._look = look
        self._rates.append(look.rate)

    def ended(self) -> None:
        """Show it no more."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _broken(self, line: str) -> list[str]:
        """Break a line that is too long for the terminal, its rest set in."""
        if not self._console.is_terminal or len(line) <= self.width:
            return [line]
        margin = " " * (len(line) - len(line.lstrip()) + 4)
        return wrap(line, self.width, subsequent_indent=margin, drop_whitespace=True)

    def __rich__(self) -> RenderableType:
        """Return what is on the screen now."""
        look, options = self._look, self._options
        if look is None or options is None:
            return Text("  connecting, warming up ...", style="dim")
        head = Text.assemble(
            ("  measuring ", "bold yellow"),
            (f"{look.seconds:.1f} s", "bold"),
            (f"   {look.requests:,} requests", "dim"),
        )
        left = seconds_left(look, options.measuring, options.percentile)
        if left is not None:
            head.append(f"   at most {left:.0f} s left" if left > 1 else "   nearly done")
        return Group(head, Padding(self._table(look, options), (0, 0, 0, 2)))

    def _table(self, look: Look, options: PerfOptions) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        summary, measuring = look.summary, options.measuring
        batch = options.batch_size
        room = max(10, min(_KEPT, self.width - 45))
        rate = f"{_figure(look.rate * batch)} infer/sec"
        table.add_row("now", rate, Text(_spark(self._rates, room), style="cyan"))
        table.add_row(
            "", f"p50 {spelt_ns(look.p50_ns)}", Text(f"p99 {spelt_ns(look.p99_ns)}", style="")
        )
        if summary is not None:
            whole = f"{_figure(summary.throughput.value)} infer/sec"
            target = measuring.throughput
            table.add_row("so far", whole, _narrowing(summary.throughput, target, measuring))
            latency = counting(summary, options.percentile)
            name = f"p{options.percentile or 99}"
            table.add_row(
                "", f"{name} {spelt_ns(latency.value)}",
                _narrowing(latency, measuring.latency, measuring),
            )  # fmt: skip
        return table


def _narrowing(estimate: Estimate, target: float, measuring: Measuring) -> Text:
    """Show an interval's half-width, and how near it is to the width that is asked for."""
    relative = estimate.relative
    known = relative != float("inf")
    words = f"± {100 * relative:.1f} %" if known else "± ?"
    if measuring.rule is not Rule.PRECISION:
        return Text(words, style="dim")
    # The width falls as the root of the time, so its inverse square is how far it is.
    share = min(1.0, (target / relative) ** 2) if known and relative else float(known)
    filled = round(share * _GAUGE)
    return Text.assemble(
        ("━" * filled, "green" if share >= 1 else "yellow"),
        ("━" * (_GAUGE - filled), "bright_black"),
        f" {words}",
        (f" of {100 * target:g} %", "dim"),
    )


def _styled(line: str) -> Text:
    """Colour what is not of perf_analyzer's plain text, where there are colours."""
    if line.lstrip().startswith("[WARNING]") or line.startswith("Warning:"):
        return Text(line, style="yellow")
    if line.lstrip().startswith("Note:"):
        return Text(line, style="cyan")
    if line.startswith(("***", "Request ", "Inferences/Second")):
        return Text(line, style="bold")
    found = Text(line)
    found.highlight_regex(r"  \[[^\]]* to [^\]]*\].*$", "dim")
    found.highlight_regex(r"[▏▎▍▌▋▊▉█]+", "cyan")
    return found


def _spark(rates: deque[float], room: int) -> str:
    most = max(rates, default=0.0)
    if not most:
        return ""
    last = list(rates)[-room:]
    return "".join(_SPARKS[min(7, int(rate / most * 7.999))] for rate in last)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= _NUMBERS / 100 else f"{value:.1f}"
