"""A page and its charts as one HTML file that needs nothing else.

Owns where the templates are, and what is inlined. What draws the charts is one of them
(``drawing.js.j2``), and plotly.js, which enlarges one on demand, goes into the file once, deflated:
so it opens offline and stays small; its own content policy forbids every request to anywhere.
Does not own what a page says (``view`` and its like) or how charts are drawn (``charts``).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from analyzer.report.charts import draw
from analyzer.report.drawing import Chart
from analyzer.report.view import Page

SUMMARY = "summary.html.j2"


def templates() -> Traversable:
    """Where the templates are: in the installed package, or in the checkout it came from."""
    shipped = files("analyzer.report") / "templates"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "reports" / "templates"


def page_html(page: Page) -> str:
    """Render the summary page."""
    return render(SUMMARY, page, draw(page.charts))


def render(template: str, page: object, charts: Sequence[Chart] = ()) -> str:
    """Render a page by a template that extends ``base.html.j2``, which sees both.

    plotly.js is in it only if something is drawn.
    """
    plotly = _plotly() if charts else ""
    return _environment().get_template(template).render(page=page, charts=charts, plotly=plotly)


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
    """Return plotly.js behind its licence's notice, deflated (zlib) and in base64.

    It is a third as long so, and none of it can end the script element that holds it.
    """
    packed = base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode("ascii")
    return Markup(packed)  # noqa: S704 - not input


def _strong(sentence: str, word: str) -> Markup:
    """Set a word of a sentence in bold, both escaped."""
    text = escape(sentence)
    if not word:
        return text
    return text.replace(escape(word), Markup("<strong>{}</strong>").format(word), 1)
