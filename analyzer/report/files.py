"""The report's files, each written whole or not at all.

Owns file names, the temporary beside each file, and where the results lie as commands name
it. Does not own what the files say.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from analyzer.config.schema import ProfileOptions
from analyzer.errors import AnalyzerError, UsageError
from analyzer.ranking.goal import Goal
from analyzer.record.row import Row, RunHead
from analyzer.report import pdf, view
from analyzer.report.commands import Commands, Place, commands
from analyzer.report.evidence import COMPLETE, Evidence, Omissions, gather
from analyzer.report.export import TABLES, csv_files
from analyzer.report.formats import (
    CSV,
    HTML,
    JSON,
    MARKDOWN,
    PARQUET,
    PDF,
    PICTURES,
    USUAL,
    Files,
    Layout,
)
from analyzer.report.frame import missing, parquet
from analyzer.report.markdown import markdown
from analyzer.report.plots import draw
from analyzer.report.render import page_html
from analyzer.report.summary import summary_json
from analyzer.space import Candidate
from analyzer.stages import Skipped
from analyzer.workspace import write_whole

REPORT, SUMMARY = "report.html", "summary.json"
SKIPPED = "skipped.json"


def write(  # noqa: PLR0913 - what is written, of what, where, and in which form
    head: RunHead,
    rows: Sequence[Row],
    goal: Goal,
    directory: Path,
    *,
    omitted: Omissions = COMPLETE,
    results: Path | None = None,
    files: Files = USUAL,
) -> tuple[Path, ...]:
    """Write the report, by default report.html, summary.json and CSV files; return its files.

    ``omitted`` is what the rows do not show. ``results`` is the folder of the run's results,
    which the commands name; None: ``directory`` is. A CSV file that would have no rows is not
    written, and one left from before is removed.

    Raises:
        NothingMeasured: there is no row at all, not even a failed one.
        UsageError: a format needs what is not installed; nothing was written.
        AnalyzerError: the browser could not print the page.
        OSError: a file cannot be written.
    """
    check(files)
    evidence = gather(head, rows, goal, omitted)
    said = commands_of(evidence, directory if results is None else results)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in _made(evidence, said, files):
        write_whole(directory / name, content)
        written.append(directory / name)
    if CSV in files.formats and files.layout is Layout.FLAT:
        for name in set(files.tables) - {path.name for path in written}:
            (directory / name).unlink(missing_ok=True)
    if PDF in files.formats:
        written.append(_print(evidence, said, directory, files))
    return tuple(written)


def commands_of(evidence: Evidence, results: Path) -> Commands:
    """Spell the commands that belong to a run whose results lie in a folder."""
    place = _place(evidence, results)
    chosen = "" if evidence.chosen is None else evidence.chosen.variant
    head, goal, usual = evidence.head, evidence.goal, _usual()
    return commands(head, goal, place, usual, winner=bool(chosen), chosen=chosen)


def write_tables(every: Sequence[Evidence], directory: Path, files: Files) -> tuple[Path, ...]:
    """Write Model Analyzer's CSV files of several models, one table for all; return them.

    Raises:
        UsageError: a column is unknown.
        OSError: a file cannot be written.
    """
    texts = csv_files(*every, fields=files.fields)
    for name in TABLES:
        path = directory / files.table(name)
        if name in texts:
            write_whole(path, texts[name])
        else:
            path.unlink(missing_ok=True)
    return tuple(directory / files.table(name) for name in texts)


def check(files: Files) -> None:
    """Check that every format can be written here, before anything is.

    Raises:
        UsageError: one needs what is not installed, or a column is unknown.
    """
    files.fields.check()
    for forms, package, what in (
        ((PARQUET,), "pyarrow", "Parquet files are"),
        (PICTURES, "matplotlib", "plots are"),
    ):
        if set(forms) & set(files.formats) and find_spec(package) is None:
            raise UsageError(missing(what, package))
    if PDF in files.formats:
        pdf.browser(os.environ)


def _made(evidence: Evidence, said: Commands, files: Files) -> Iterator[tuple[str, str | bytes]]:
    """Yield each file's name and contents, in the order of the formats."""
    model = evidence.model
    texts: Mapping[str, Callable[[], str | bytes]] = {
        HTML: lambda: page_html(view.make(evidence, said)),
        JSON: lambda: summary_json(evidence, said),
        MARKDOWN: lambda: markdown(evidence, said, files.top),
        PARQUET: lambda: parquet(evidence),
    }
    for form in files.formats:
        if form in texts:
            yield files.place(form, model), texts[form]()
        elif form in PICTURES:
            yield from draw(evidence, files.plots, files.top, form)
        elif form == CSV and files.layout is Layout.FLAT:
            tables = csv_files(evidence, fields=files.fields)
            yield from ((files.table(name), text) for name, text in tables.items())


def _print(evidence: Evidence, said: Commands, directory: Path, files: Files) -> Path:
    """Print the page, which is written for it where it was not asked for."""
    target = directory / files.place(PDF, evidence.model)
    target.parent.mkdir(parents=True, exist_ok=True)
    program = pdf.browser(os.environ)
    if HTML in files.formats:
        return pdf.print_page(directory / files.place(HTML, evidence.model), target, program)
    with tempfile.TemporaryDirectory(prefix="servetune-report-") as folder:
        page = Path(folder) / REPORT
        write_whole(page, page_html(view.make(evidence, said)))
        return pdf.print_page(page, target, program)


def write_skipped(directory: Path, run: str, skipped: Sequence[Skipped]) -> None:
    """Keep what ``run`` did not try beside its journal: rows do not tell it.

    Raises:
        OSError: it cannot be written.
    """
    each = [{"candidate": dict(one.candidate.items), "reason": one.reason} for one in skipped]
    write_whole(directory / SKIPPED, json.dumps({"run": run, "skipped": each}, indent=2) + "\n")


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
            repository = seen(own)
    return Place(results=seen(results), repository=repository)


def _holds(repository: Path, row: Row) -> bool:
    """Whether a model repository has what a row was measured of."""
    files = {repository / name / "config.pbtxt": text for name, text in row.configs.items()}
    return all(path.is_file() and path.read_text() == text for path, text in files.items())


def seen(path: Path) -> str:
    """Spell a path as its user would, from here."""
    whole, here = path.absolute(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


def _usual() -> dict[str, object]:
    """Return every option's default, those of the search's limits beside the others."""
    options = ProfileOptions(model="")
    owners = (options, options.limits, options.search)
    return {field.name: getattr(each, field.name) for each in owners for field in fields(each)}
