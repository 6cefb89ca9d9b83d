"""``scripts/bench page``: how large the HTML report of a long sweep is, and how soon it is open.

A made sweep is reported on and opened from disk in a headless browser, each time in a new tab: when
something can be read, when the page is complete, when the first and the last chart is drawn. It
takes a Chromium, Chrome or Edge (CHROME names one).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from support import full_rows
from support import rows as made
from support.chromium import Chromium

from analyzer.ranking.goal import parse_goal
from analyzer.report import pdf, view
from analyzer.report.commands import Commands
from analyzer.report.evidence import gather
from analyzer.report.render import page_html
from benchmarks.__main__ import RESULTS, described
from benchmarks.results import keep, table
from benchmarks.spread import Spread

_COMMANDS = Commands(serve="", apply="", rerank="analyze report", reproduce="analyze profile")
#: what is asked of the browser, in ms from the beginning of the navigation
_MOMENTS = """
(() => {
  const [whole] = performance.getEntriesByType("navigation");
  const at = name => performance.getEntriesByName(name)[0].startTime;
  return [at("first-contentful-paint"), whole.loadEventEnd, at("first chart"), at("all charts")];
})()
"""
_NAMES = ("something to read", "complete", "first chart", "all charts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One sweep's page: bytes, seconds to make it, and each moment (ms) of every opening."""

    measurements: int
    size: int
    made_s: float
    openings: Sequence[Mapping[str, float]]


def measure(count: int, repetitions: int, browser: Chromium, folder: Path) -> Seen:
    """Report on a sweep of ``count`` measurements, and open the page."""
    rows = full_rows.large(count)
    started = time.perf_counter()
    evidence = gather(made.head(machine=made.GPU_MACHINE), rows, parse_goal())
    html = page_html(view.make(evidence, _COMMANDS))
    took = time.perf_counter() - started
    file = folder / f"report-{count}.html"
    file.write_text(html, encoding="utf-8")
    openings = []
    for _ in range(repetitions):
        page = browser.page()
        page.open(file)
        openings.append(dict(zip(_NAMES, page.evaluate(_MOMENTS), strict=True)))
        page.close()
    return Seen(measurements=count, size=len(html.encode()), made_s=took, openings=tuple(openings))


def markdown(taken_at: str, machine: Mapping[str, str], every: Sequence[Seen]) -> str:
    """Lay the figures out."""
    head = ("measurements", "MB", "made in s", *(f"{name}, ms" for name in _NAMES))
    rows = (
        (
            f"{one.measurements:,}",
            f"{one.size / 1e6:.2f}",
            f"{one.made_s:.2f}",
            *(Spread(tuple(at[name] for at in one.openings)).text(".0f") for name in _NAMES),
        )
        for one in every
    )
    return "\n\n".join([
        f"# The HTML report of long sweeps, {taken_at[:10]}",
        table(("", ""), machine.items()),
        (
            f"Opened from disk in a headless browser, {len(every[0].openings)} times each, in a "
            "window of 1440 x 900: median, least and greatest. Charts are drawn as they come near "
            "the screen, the rest when the browser has nothing else to do."
        ),
        table(head, rows),
    ]) + "\n"  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="scripts/bench page", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one opening; nothing is written")
    given = parser.parse_args()
    taken_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = dict(described())
    repetitions = 1 if given.quick else given.repetitions
    with (
        tempfile.TemporaryDirectory(prefix="servetune-bench-") as scratch,
        Chromium(pdf.browser(os.environ)) as browser,
    ):
        version = browser.call("Browser.getVersion")["product"]
        every = [measure(count, repetitions, browser, Path(scratch)) for count in (100, 2000)]
    text = markdown(taken_at, {**machine, "browser": version}, every)
    sys.stdout.write(text)
    if not given.quick:
        plain = {"taken_at": taken_at, "machine": {**machine, "browser": version},
                 "seen": [asdict(one) for one in every]}  # fmt: skip
        keep(given.output, plain, text, "page")


if __name__ == "__main__":
    main()
