"""The files of single configurations' pages: where each lies, and what it says of serving it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from analyzer.report import detailed, pdf
from analyzer.report.commands import Commands
from analyzer.report.evidence import Evidence, of
from analyzer.report.files import commands_of, seen
from analyzer.report.formats import HTML, PDF, USUAL, Files
from analyzer.report.pages import detailed_html
from analyzer.workspace import write_whole


def write_detailed(
    evidence: Evidence,
    variants: Sequence[str],
    directory: Path,
    *,
    results: Path | None = None,
    files: Files = USUAL,
) -> tuple[Path, ...]:
    """Write a page for each of these configurations, and return the files.

    As PDF too if the formats have it; nothing where they have neither. ``results`` is the folder of
    the run's results, which the commands name; None: ``directory`` is.

    Raises:
        KeyError: no row is of such a configuration.
        AnalyzerError: the browser could not print a page.
        OSError: a file cannot be written.
    """
    where = directory if results is None else results
    said = commands_of(evidence, where)
    written = []
    for variant in variants if {HTML, PDF} & set(files.formats) else ():
        serve = _serve(evidence, variant, where, said)
        page = detailed.make(evidence, variant, serve=serve, reproduce=said.reproduce)
        target = directory / files.detail(variant)
        write_whole(target, detailed_html(page))
        written.append(target)
        if PDF in files.formats:
            program = pdf.browser(os.environ)
            written.append(pdf.print_page(target, target.with_suffix(".pdf"), program))
    return tuple(written)


def _serve(evidence: Evidence, variant: str, results: Path, said: Commands) -> str:
    """Return the command that serves a configuration; "" where its files are not there."""
    own = results / "variants" / variant
    if own.is_dir():
        return shlex.join(["engine", "serve", "--model-repository", seen(own)])
    row = detailed.rows_of(evidence, variant)[0]
    return said.serve if of(evidence.chosen, row) else ""
