"""Which files a report is made of, and where each lies. Pure.

Owns the names of formats and files, and the two layouts of a results folder: ours, all of it in
one folder, and Model Analyzer's::

    results/metrics-model-inference.csv  metrics-model-gpu.csv  metrics-server-only.csv
    reports/summaries/MODEL/result_summary.html  .pdf
    reports/detailed/CONFIGURATION/detailed_report.html  .pdf
    plots/simple/MODEL/NAME.png   plots/detailed/CONFIGURATION/latency_breakdown.png

in which the CSV files are of all models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum

from analyzer.errors import UsageError
from analyzer.report.export import TABLES, Fields
from analyzer.report.plotted import Plot

HTML, JSON, CSV, MARKDOWN, PARQUET, PDF = "html", "json", "csv", "md", "parquet", "pdf"
#: formats of plots
PICTURES = ("svg", "png")
FORMATS = (HTML, JSON, CSV, MARKDOWN, PARQUET, PDF, *PICTURES)
ALWAYS = (HTML, JSON, CSV)
#: how many configurations a plot or the Markdown summary shows, as in Model Analyzer's summaries
TOP = 3


class Layout(Enum):
    """How files lie in a folder."""

    FLAT = "flat"
    MODEL_ANALYZER = "model-analyzer"


_FLAT = {
    HTML: "report.html",
    PDF: "report.pdf",
    JSON: "summary.json",
    MARKDOWN: "summary.md",
    PARQUET: "measurements.parquet",
}
_THEIRS = {
    HTML: "reports/summaries/{model}/result_summary.html",
    PDF: "reports/summaries/{model}/result_summary.pdf",
    JSON: "reports/summaries/{model}/summary.json",
    MARKDOWN: "reports/summaries/{model}/summary.md",
    PARQUET: "results/{model}-measurements.parquet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What to write: the formats, and what of them can be chosen.

    ``top`` configurations are in plots and in the Markdown summary. ``plots`` are those to draw;
    (): the usual ones. ``fields`` are the columns of Model Analyzer's CSV files, and ``names`` what
    a file says they are called, by their default names.
    """

    formats: tuple[str, ...] = ALWAYS
    top: int = TOP
    layout: Layout = Layout.FLAT
    plots: tuple[Plot, ...] = ()
    fields: Fields = field(default_factory=Fields)
    names: Mapping[str, str] = field(default_factory=dict)

    def place(self, form: str, model: str) -> str:
        """Return where a format's file lies in the folder."""
        places = _FLAT if self.layout is Layout.FLAT else _THEIRS
        return places[form].format(model=model)

    def detail(self, variant: str) -> str:
        """Return where the page of one configuration lies in the folder."""
        if self.layout is Layout.FLAT:
            return f"{variant}.html"
        return f"reports/detailed/{variant}/detailed_report.html"

    def table(self, name: str) -> str:
        """Return where a CSV file lies in the folder, by its default name."""
        folder = "" if self.layout is Layout.FLAT else "results/"
        return f"{folder}{self.names.get(name, name)}"

    @property
    def tables(self) -> tuple[str, ...]:
        """Where all CSV files lie that there may be."""
        return tuple(self.table(name) for name in TABLES)


USUAL = Files()


def formats_of(given: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Read formats, apart by commas or as a list.

    Raises:
        UsageError: one is unknown, or there is none.
    """
    listed = given.split(",") if isinstance(given, str) else given
    names = tuple(dict.fromkeys(name for each in listed if (name := each.strip().lower())))
    for name in names:
        if name not in FORMATS:
            near = get_close_matches(name, FORMATS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(FORMATS)}"
            raise UsageError(f"--format: no format named {name!r}; {hint}")
    if not names:
        raise UsageError(f"--format: expected some of {', '.join(FORMATS)}")
    return names
