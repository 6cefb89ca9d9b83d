"""``analyze compare``: which runs are compared, what they are called, and where it is written.

Owns the reading of what the command line names, and the names on the page. Does not own what a
comparison says (``report.comparison``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from analyzer import report as reports
from analyzer import results
from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal
from analyzer.record import journal as journals
from analyzer.report import comparison, comparison_text, pages
from analyzer.report.comparison import Comparison, Run
from analyzer.results import Wanted
from analyzer.workspace import Workspace, write_whole

HTML = "html"
FORMS = (HTML, *comparison_text.FORMS)
#: the page's name where nobody chose one
PAGE = "comparison.html"
_FEWEST = 2
_NAMED = re.compile(r"([^/=]+)=(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says.

    ``subjects`` are models, folders of results or journals, each perhaps as ``NAME=...``. The page
    goes to ``output``, or else into the folder of results; the other forms to the terminal.
    """

    subjects: tuple[str, ...]
    export_path: Path = Path("results")
    wanted: Wanted = field(default_factory=Wanted)
    form: str = HTML
    output: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a run's measurements are: its journal, the folder of its results, its given name."""

    journal: Path
    folder: Workspace
    name: str = ""


def compare(asked: Asked, console: Console) -> int:
    """Compare runs, write what was asked for, and return the exit code.

    Raises:
        UsageError: there are fewer than two runs, one is not there, or two are the same.
        JournalError: a journal cannot be read.
        NothingMeasured: a run has no row.
        OSError: the file cannot be written.
    """
    page = compared(asked)
    spell = pages.comparison_html if asked.form == HTML else comparison_text.FORMS[asked.form]
    text = spell(page)
    target = asked.output
    if target is None and asked.form == HTML:
        target = (asked.export_path if asked.export_path.is_dir() else Path()) / PAGE
    if target is None:
        console.file.write(text)
        return 0
    write_whole(target, text)
    console.print(page.headline, highlight=False, markup=False)
    console.print(str(target), highlight=False, markup=False, soft_wrap=True)
    return 0


def compared(asked: Asked) -> Comparison:
    """Read and rank the runs, and say what the comparison says.

    Raises:
        UsageError: as above.
        JournalError: as above.
        NothingMeasured: as above.
    """
    if len(asked.subjects) < _FEWEST:
        raise UsageError(
            "nothing to compare with: name two runs or more, such as `analyze compare resnet50 "
            "other/results/resnet50`"
        )
    places = [_find(subject, asked.export_path) for subject in asked.subjects]
    _refuse_twice([str(place.journal.resolve()) for place in places])
    goal = asked.wanted.goal(places[0].folder)
    runs = _named([_run(place, goal) for place in places], places)
    _refuse_twice([run.name for run in runs])
    return comparison.make(runs)


def _find(subject: str, export_path: Path) -> _Place:
    """Find what a word of the command line names.

    Raises:
        UsageError: there is nothing of that name.
    """
    name = ""
    if (match := _NAMED.fullmatch(subject)) is not None and not Path(subject).exists():
        name, subject = match.groups()
    path = Path(subject)
    if path.is_file():
        return _Place(journal=path, folder=Workspace(path.parent), name=name)
    folder = results.locate(export_path, subject.rstrip("/") or subject)
    return _Place(journal=folder.journal, folder=folder, name=name)


def _refuse_twice(names: Sequence[str]) -> None:
    """Refuse what would compare a run with itself, or call two runs the same.

    Raises:
        UsageError: one of them is there twice.
    """
    if (twice := next((each for each in names if names.count(each) > 1), None)) is not None:
        raise UsageError(
            f"{twice} is named twice; each run is compared with others, and has a name of its own: "
            "NAME=FOLDER gives it one"
        )


def _run(place: _Place, goal: Goal) -> Run:
    contents = journals.read(place.journal)
    omitted = reports.Omissions(torn=len(contents.damage))
    evidence = reports.gather(contents.head, contents.rows, goal, omitted)
    return Run(
        name=place.name,
        evidence=evidence,
        reproduce=reports.commands_of(evidence, place.folder.root).reproduce,
    )


def _named(runs: Sequence[Run], places: Sequence[_Place]) -> list[Run]:
    """Give every run that has none a name: its model's, or where it lies if models are alike."""
    models = [run.evidence.model for run in runs]
    names = models if len(set(models)) == len(models) else _apart([each.journal for each in places])
    return [
        run if run.name else replace(run, name=name) for run, name in zip(runs, names, strict=True)
    ]


def _apart(paths: Sequence[Path]) -> list[str]:
    """Name files by those parts of their paths that tell them apart."""
    parts = [list(path.absolute().parts) for path in paths]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({each[end] for each in parts}) == 1:
            parts = [each[1:] if end == 0 else each[:-1] for each in parts]
    return ["/".join(each) for each in parts]
