"""``analyze report``: which files are written of which models, as a command line and a file say.

What a file of Model Analyzer's says of reports and tables is followed here: ``output_formats``,
``plots``, ``num_configs_per_model``, the columns and the names of the CSV files. The command line
comes first. Does not own what is written (``report``) or what is reported on (``results``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from analyzer import report as reports
from analyzer import results
from analyzer.config import load
from analyzer.config.settings import Settings
from analyzer.report import Files, Layout, formats
from analyzer.report.export import GPU, INFERENCE, SERVER_ONLY, Fields
from analyzer.report.plotted import of_file
from analyzer.results import Wanted
from analyzer.workspace import Workspace

#: what a file calls its tables, by their default names
_NAMES = {
    INFERENCE: "filename_model_inference",
    GPU: "filename_model_gpu",
    SERVER_ONLY: "filename_server_only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which files a command line asks for; None: what the file says, or else the usual."""

    formats: str | None = None
    top: int | None = None
    plots: bool = False
    layout: Layout = Layout.FLAT


def files_of(asked: Asked, file: Path | None) -> Files:
    """Put together what the command line and the file say.

    Raises:
        UsageError: a format or a column is unknown, or the file has mistakes.
    """
    found = load.resolve(file, {}, profiles=False).common
    drawn = of_file(_value(found, "plots") or {})
    listed = asked.formats or _value(found, "output_formats")
    wanted = formats.ALWAYS if listed is None else formats.formats_of(listed)
    if (asked.plots or drawn) and not set(formats.PICTURES) & set(wanted):
        wanted = (*wanted, "png")
    return Files(
        formats=wanted,
        top=asked.top or _value(found, "num_configs_per_model") or formats.TOP,
        layout=asked.layout,
        plots=drawn,
        fields=Fields(
            inference=_value(found, "inference_output_fields"),
            gpu=_value(found, "gpu_output_fields"),
            server=_value(found, "server_output_fields"),
        ),
        names={
            name: given for name, key in _NAMES.items() if (given := _value(found, key)) is not None
        },
    )


def report(
    every: Sequence[tuple[Workspace, Wanted, Sequence[str]]],
    output: Path | None,
    console: Console,
    files: Files,
) -> int:
    """Report on each model; return the exit code.

    In Model Analyzer's layout all of it lies in ``output``, or else in the folder that holds the
    results, and the CSV files have all models.

    Raises:
        UsageError: a configuration was not measured, or a format cannot be written here.
        NothingMeasured: a model has no row.
        OSError: a file cannot be written.
    """
    reports.check(files)
    theirs = files.layout is Layout.MODEL_ANALYZER
    for place, wanted, configs in every:
        folder = output or (place.root.parent if theirs else None)
        if output is not None and not theirs and len(every) > 1:
            # Files of several models have the same names.
            folder = output / place.root.name
        results.report(place, wanted, folder, console, configs, files)
    if theirs and formats.CSV in files.formats:
        seen = [results.evidence(place, wanted.goal(place)) for place, wanted, _ in every]
        folder = output or every[0][0].root.parent
        for path in reports.write_tables(seen, folder, files):
            console.print(str(path), highlight=False, soft_wrap=True)
    return 0


def _value(found: Settings, name: str) -> Any:  # noqa: ANN401 - of the option's own type
    setting = found.get(name)
    return None if setting is None else setting.value
