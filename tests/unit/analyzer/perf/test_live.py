"""What is on the terminal while a level is measured, and how lines are broken."""

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.fake_drive import FakeServer

from analyzer.perf.live import Terminal
from analyzer.perf.options import PerfOptions
from analyzer.perf.reading import read
from analyzer.perf.runs import load_of, rule_of
from analyzer.perf.watch import Look, Watched


def console(width: int = 80, *, terminal: bool = True) -> Console:
    return Console(
        file=StringIO(), width=width, height=40, force_terminal=terminal, color_system=None
    )


def printed(where: Console) -> str:
    assert isinstance(where.file, StringIO)
    return where.file.getvalue()


def looks(**given: Any) -> tuple[list[Look], PerfOptions]:
    options = read({"model_name": "m", "concurrency_range": "2", **given})
    seen: list[Look] = []
    server = FakeServer(workers=2, service_ms=2, jitter=0.3)
    server(load_of(options, 2), None, lambda: Watched(rule_of(options, 2), seen.append))
    return seen, options


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("windows", [{}, {"measurement_interval": "500"}])
def test_the_live_view_fits_and_shows_rate_latency_and_how_narrow_the_intervals_are(
    width: int, windows: dict[str, Any]
) -> None:
    seen, options = looks(**windows)
    where = console(width)
    screen = Terminal(where, console())
    screen.began("Request concurrency: 2", options)
    for look in seen:
        screen.looked(look)
    screen.ended()
    shown = Console(file=StringIO(), width=width, color_system=None)
    shown.print(screen.__rich__())
    lines = printed(shown).splitlines()
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert f"{seen[-1].requests:,} requests" in text
    assert "infer/sec" in text
    assert "p99" in text
    assert "±" in text
    assert ("left" in text or "nearly done" in text) == (not windows)


def test_before_the_first_look_it_says_that_it_begins() -> None:
    where = console()
    screen = Terminal(where, console())
    screen.began("x", read({"model_name": "m"}))
    where.print(screen.__rich__())
    screen.ended()
    assert "connecting, warming up" in printed(where)


def test_lines_are_broken_for_a_terminal_and_for_nobody_else() -> None:
    line = "  Note: " + "word " * 30
    narrow, piped = console(40), console(40, terminal=False)
    Terminal(narrow, console()).say(line)
    Terminal(piped, console()).say(line)
    broken = printed(narrow).splitlines()
    assert len(broken) > 3
    assert all(len(each) <= 40 for each in broken)
    assert all(each.startswith("      word") for each in broken[1:])
    assert printed(piped) == line + "\n"


def test_warnings_go_to_the_other_console() -> None:
    out, errors = console(), console()
    Terminal(out, errors).warn("careful")
    assert printed(out) == ""
    assert printed(errors) == "careful\n"


def test_a_look_says_what_finished_since_the_last() -> None:
    seen: list[Look] = []
    watched = Watched(rule_of(read({"model_name": "m"}), 1), seen.append)
    for tick in range(1, 11):
        done = np.arange(10, dtype=np.int64) * 10_000_000 + tick * 100_000_000
        watched.add(done, np.full(10, 2_000_000, np.int64), (tick + 1) * 100_000_000)
    # The first call is where time begins.
    assert [look.requests for look in seen] == [40, 70, 100]
    assert [look.rate for look in seen[1:]] == pytest.approx([100, 100])
    assert all(look.p50_ns == 2_000_000 for look in seen)
