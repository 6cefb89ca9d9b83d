"""The three reports as files: of journals, or of made rows where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from analyzer import report as reports
from analyzer.comparing import runs as comparing
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import recommended
from analyzer.record import journal
from analyzer.record.row import Row, RunHead, head_to_line, row_to_line
from support import rich_rows

SUMMARY, DETAILED, COMPARISON = "summary", "detailed", "comparison"
NAMES = (SUMMARY, DETAILED, COMPARISON)


def made_journals(folder: Path) -> tuple[Path, Path]:
    """Write the results of two made sweeps of one model, the second 6 % faster; return them.

    What the first chose was not tried in the second, so that the two chose differently.
    """
    other = rich_rows.head("20250401-090000-77aa", cpu="AMD EPYC 9554P 64-Core Processor")
    before = results(folder / "before" / "resnet50", rich_rows.head(), rich_rows.sweep())
    rows = rich_rows.sweep(seed=1, faster=1.06)
    later = [row for row in rows if row.variant != "resnet50_config_3"]
    after = results(folder / "after" / "resnet50", other, later)
    return before, after


def results(folder: Path, head: RunHead, rows: Sequence[Row]) -> Path:
    """Write a folder of results, which holds a journal."""
    folder.mkdir(parents=True)
    lines = [head_to_line(head), *(row_to_line(row) for row in rows)]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write(folders: Sequence[Path], target: Path, goal: Goal | None = None) -> dict[str, Path]:
    """Write the three reports of folders of results; return their files by name.

    The summary and the detailed page are of the first; with a single folder nothing is compared.
    """

    contents = journal.read(folders[0] / "journal.jsonl")
    goal = goal or parse_goal()
    winner = recommended(contents.rows, goal)
    variant = winner.variant if winner is not None else contents.rows[0].variant
    summary = reports.write(contents.head, contents.rows, goal, target, results=folders[0])[0]
    evidence = reports.gather(contents.head, contents.rows, goal)
    detailed = reports.write_detailed(evidence, (variant,), target, results=folders[0])[0]
    files = {SUMMARY: summary, DETAILED: detailed}
    if len(folders) > 1:
        files[COMPARISON] = target / comparing.PAGE
        asked = comparing.Asked(subjects=tuple(map(str, folders)), output=files[COMPARISON])
        comparing.compare(asked, Console(file=StringIO()))
    return files
