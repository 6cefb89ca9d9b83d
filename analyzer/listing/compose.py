"""Wires ``analyze results``: a journal and a query in, tables out."""

from __future__ import annotations

from difflib import get_close_matches

from rich.console import Console

from analyzer import results
from analyzer.errors import UsageError
from analyzer.listing import shown
from analyzer.listing.lists import USUAL, Name, listed
from analyzer.listing.query import Query
from analyzer.results import Wanted
from analyzer.workspace import Workspace

_TABLE, _CSV = "table", "csv"


def show(
    place: Workspace,
    wanted: Wanted,
    tables: str | None,
    query: Query,
    form: str,
    console: Console,
) -> int:
    """Print tables of a profile's results; return the exit code.

    ``form`` is "table", "json" or "csv".

    Raises:
        UsageError: a table or a column is unknown, or CSV is to have several tables.
        JournalError: the journal cannot be read.
        NothingMeasured: it has no row.
    """
    names = _names(tables, form)
    evidence = results.evidence(place, wanted.goal(place))
    every = [listed(evidence, name, query, brief=form == _TABLE) for name in names]
    match form:
        case "json":
            text = shown.as_json(evidence, every) + "\n"
        case "csv":
            text = shown.as_csv(every[0])
        case _:
            shown.as_text(console, evidence, every)
            return 0
    console.file.write(text)
    return 0


def _names(tables: str | None, form: str) -> tuple[Name, ...]:
    if tables is None:
        return (Name.BEST,) if form == _CSV else USUAL
    known = [each.value for each in Name]
    found = dict.fromkeys(name for each in tables.split(",") if (name := each.strip().lower()))
    for name in found:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"--tables: no table named {name!r}; {hint}")
    if not found:
        raise UsageError(f"--tables: expected some of {', '.join(known)}")
    if form == _CSV and len(found) > 1:
        raise UsageError(
            f"--format csv has one table, and {' and '.join(found)} are asked for; name one by "
            "--tables, or take --format json"
        )
    return tuple(Name(name) for name in found)
