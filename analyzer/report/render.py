"""A page and its charts as one HTML file that needs nothing else.

Owns where the templates are and what is inlined. plotly.js goes into the file once, so it
opens offline; the file's own content policy forbids every request to anywhere. Does not own
what the page says (``view``) or how charts are drawn (``charts``).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from analyzer.report.charts import draw
from analyzer.report.view import Page

SUMMARY = "summary.html.j2"


def templates() -> Traversable:
    """Where the templates are: in the installed package, or in the checkout it came from."""
    shipped = files("analyzer.report") / "templates"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "reports" / "templates"


def page_html(page: Page) -> str:
    """Render the summary page."""
    charts = draw(page.charts)
    return _environment().get_template(SUMMARY).render(
        page=page, charts=charts, plotly=_plotly() if charts else ""
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["strong"] = _strong
    return environment


def _source(name: str) -> str | None:
    template = templates() / name
    return template.read_text(encoding="utf-8") if template.is_file() else None


@cache
def _plotly() -> Markup:
    """Return plotly.js, unable to end the script element that holds it."""
    return Markup(str(get_plotlyjs()).replace("</script", "<\\/script"))  # noqa: S704 - not input


def _strong(sentence: str, word: str) -> Markup:
    """Set a word of a sentence in bold, both escaped."""
    text = escape(sentence)
    if not word:
        return text
    return text.replace(escape(word), Markup("<strong>{}</strong>").format(word), 1)
