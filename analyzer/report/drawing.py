"""What every chart shares: its frame, axes, colours, limits. Pure.

Owns the look of a figure in plain JSON form. Its words are plotly's, as far as ``drawing.js.j2``
among the templates draws them: a field that this does not know would be drawn as if it were not
there. Does not own what is drawn in a figure (``charts`` of the summary, ``detailed_charts``,
``comparison_charts``). Colours are from Okabe and Ito's palette, told apart by the colour-blind,
and chosen to stand on a white and on a dark page alike; nothing is told by colour only. Text and
grid colours are the page's style sheet's, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#56B4E9",
    "#CC79A7",
)
GREY = "#8A8F98"
COLOURS = {"best": BLUE, "default": VERMILLION, "other": GREY}
SYMBOLS = {"best": "circle", "default": "square", "other": "circle"}
DASHES = {"best": "solid", "default": "dash"}
#: of the parts of a request's latency, in the order of ``series.PARTS``
PART_COLOURS = (SKY, ORANGE, PURPLE, BLUE, GREEN)
#: and what tells them apart without colour
PART_PATTERNS = (".", "/", "x", "", "\\")
#: of things that are no more than several, by turns
MANY = (BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE)
DASH_CYCLE = ("solid", "dash", "dot", "dashdot")
#: a logarithmic axis where the values span more than this
_WIDE = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a chart shows where ``label`` is chosen.

    ``traces`` has, for each trace of the figure, the fields that take another value; ``layout``
    those of the layout.
    """

    label: str
    traces: tuple[Figure, ...]
    layout: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One figure with its place on the page: ``wide`` ones take a whole row of it.

    With ``choices`` a reader chooses what is shown, the first of them first; the figure is drawn
    with its fields. ``part`` names the part of the page that it belongs to.
    """

    name: str
    title: str
    note: str
    figure: Figure
    wide: bool = False
    choices: tuple[Choice, ...] = ()
    part: str = ""

    @property
    def options(self) -> list[Figure]:
        """The choices' fields, as the page's script reads them."""
        return [{"data": list(each.traces), "layout": each.layout} for each in self.choices]


def frame(*, x: Figure, y: Figure, height: int) -> Figure:
    """Return the layout that every chart begins with; ``height`` in px."""
    return {"xaxis": x, "yaxis": y, "height": height}


def axis(title: str, scale: Figure | None) -> Figure:
    """Return an axis that begins at 0, or that of a ``scale`` of ``log_scale``."""
    return {
        "title": {"text": title},
        "showline": True,
        **({"rangemode": "tozero"} if scale is None else scale),
    }


def names_axis() -> Figure:
    """Return the axis of bars that lie, the first name on top."""
    return {"autorange": "reversed", "type": "category"}


def log_scale(values: Sequence[float], bounds: Sequence[tuple[float, str]]) -> Figure | None:
    """Return a logarithmic scale with round ticks where the values span much, else None."""
    everything = [value for value in (*values, *(limit for limit, _ in bounds)) if value > 0]
    if not everything or max(everything) / min(everything) < _WIDE:
        return None
    low, high = min(everything) / 1.25, max(everything) * 1.25
    ticks = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factor in (1, 2, 5)
        if low <= factor * 10.0**power <= high
    ]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def draw_bounds(layout: Figure, bounds: Sequence[tuple[float, str]], along: str, name: str) -> None:
    """Draw a line for each limit on the axis ``along`` ("x" or "y"), across the whole other axis.

    Its words stand in the legend: beside the line they would cover points.
    """
    other = "y" if along == "x" else "x"
    for limit, words in bounds:
        layout.setdefault("shapes", []).append({
            "type": "line",
            f"{along}0": limit,
            f"{along}1": limit,
            f"{other}0": 0,
            f"{other}1": 1,
            f"{other}ref": "paper",
            "line": {"color": PURPLE, "width": 2, "dash": "dashdot"},
            "showlegend": True,
            "name": f"{name} {words}",
        })  # fmt: skip


def brief(value: float) -> float:
    """Keep six digits: no eye sees more, and a page may hold thousands of points."""
    return float(f"{value:.6g}")


def hover(text: str) -> str:
    """Turn lines into a figure's markup; what a name holds must not become markup."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("\n", "<br>")


def filled(colour: str, pattern: str) -> Figure:
    """Return a bar's marker; ``pattern`` is a sign for it (/, x, . or a backslash), "" none."""
    if not pattern:
        return {"color": colour}
    return {"color": colour, "pattern": {"shape": pattern, "fgcolor": "#FFFFFF"}}
