"""The report's files, each written whole or not at all.

Owns file names, the temporary beside each file, and where the results lie as commands name
it. Does not own what the files say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from analyzer.config.schema import ProfileOptions
from analyzer.errors import AnalyzerError
from analyzer.ranking.goal import Goal
from analyzer.record.row import Row, RunHead
from analyzer.report import view
from analyzer.report.commands import Place, commands
from analyzer.report.evidence import COMPLETE, Evidence, Omissions, gather
from analyzer.report.export import GPU, INFERENCE, PARETO, SERVER_ONLY, csv_files
from analyzer.report.render import page_html
from analyzer.report.summary import summary_json
from analyzer.space import Candidate
from analyzer.stages import Skipped

REPORT, SUMMARY = "report.html", "summary.json"
SKIPPED = "skipped.json"


def write(
    head: RunHead,
    rows: Sequence[Row],
    goal: Goal,
    directory: Path,
    *,
    omitted: Omissions = COMPLETE,
    results: Path | None = None,
) -> tuple[Path, ...]:
    """Write report.html, summary.json and Model Analyzer's CSV files; return them, report first.

    ``omitted`` is what the rows do not show. ``results`` is the folder of the run's results,
    which the commands name; None: ``directory`` is. A CSV file that would have no rows is not
    written, and one left from before is removed.

    Raises:
        NothingMeasured: there is no row at all, not even a failed one.
        OSError: a file cannot be written.
    """
    evidence = gather(head, rows, goal, omitted)
    place = _place(evidence, directory if results is None else results)
    chosen = evidence.chosen is not None
    said = commands(head, goal, place, _usual(), winner=chosen)
    texts = {
        REPORT: page_html(view.make(evidence, said)),
        SUMMARY: summary_json(evidence, said),
        **csv_files(evidence),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _write(directory / name, text)
    for name in {INFERENCE, GPU, SERVER_ONLY, PARETO} - texts.keys():
        (directory / name).unlink(missing_ok=True)
    return tuple(directory / name for name in texts)


def write_skipped(directory: Path, run: str, skipped: Sequence[Skipped]) -> None:
    """Keep what ``run`` did not try beside its journal: rows do not tell it.

    Raises:
        OSError: it cannot be written.
    """
    each = [{"candidate": dict(one.candidate.items), "reason": one.reason} for one in skipped]
    _write(directory / SKIPPED, json.dumps({"run": run, "skipped": each}, indent=2) + "\n")


def read_skipped(directory: Path, run: str) -> tuple[Skipped, ...]:
    """Read what ``run`` did not try; () where nobody kept it, or it is another run's.

    Raises:
        AnalyzerError: the file is there, and is no such list.
    """
    path = directory / SKIPPED
    if not path.is_file():
        return ()
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["run"] != run:
            return ()
        return tuple(
            Skipped(Candidate.of(**each["candidate"]), str(each["reason"]))
            for each in plain["skipped"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AnalyzerError(
            f"{path}: not a list of what was not tried ({error!r}); remove it to report without it"
        ) from error


def _place(evidence: Evidence, results: Path) -> Place:
    """Name the results as seen from here, and the winner's own repository if it is needed.

    The results folder holds the choice of its profile. A report under another goal may choose
    another variant: then that one's own repository is named, if it is still there.
    """
    repository = None
    if evidence.chosen is not None:
        kept = results / "chosen"
        own = results / "variants" / evidence.chosen.variant
        if kept.is_dir() and own.is_dir() and not _holds(kept, evidence.chosen.best):
            repository = _seen(own)
    return Place(results=_seen(results), repository=repository)


def _holds(repository: Path, row: Row) -> bool:
    """Whether a model repository has what a row was measured of."""
    files = {repository / name / "config.pbtxt": text for name, text in row.configs.items()}
    return all(path.is_file() and path.read_text() == text for path, text in files.items())


def _seen(path: Path) -> str:
    whole, here = path.absolute(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def _usual() -> dict[str, object]:
    """Return every option's default, those of the search's limits beside the others."""
    options = ProfileOptions(model="")
    owners = (options, options.limits, options.search)
    return {field.name: getattr(each, field.name) for each in owners for field in fields(each)}


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        # What a full disk raises while writing names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)
