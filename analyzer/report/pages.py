"""The pages besides the summary's, as HTML: which template and which charts each has."""

from __future__ import annotations

from analyzer.report import comparison_charts, detailed_charts
from analyzer.report.comparison import Comparison
from analyzer.report.detailed import Detailed
from analyzer.report.render import render

DETAILED, COMPARISON = "detailed.html.j2", "comparison.html.j2"


def detailed_html(page: Detailed) -> str:
    """Render the page of one configuration."""
    return render(DETAILED, page, detailed_charts.draw(page.numbers))


def comparison_html(page: Comparison) -> str:
    """Render the comparison of runs."""
    return render(COMPARISON, page, comparison_charts.draw(page))
