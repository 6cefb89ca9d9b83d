"""What the pages' drawing (``drawing.js.j2``, ``charts.js.j2``) knows of a figure.

A field that it does not know would be drawn as if it were not there, and nobody would notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.report.drawing import Chart
from analyzer.report.render import templates

_ERROR = {"array": list, "arrayminus": list, "color": str, "thickness": (int, float)}
_LINE = {"color": str, "width": (int, float), "dash": "DASHES", "shape": ("hv",)}
_PATTERN = {"shape": "PATTERNS", "fgcolor": str}
_MARKER = {
    "color": (str, list), "size": (int, float), "symbol": "MARKS", "opacity": float,
    "line": {"width": (int, float), "color": str}, "pattern": _PATTERN,
}  # fmt: skip
_TRACE = {
    "type": ("scatter", "bar"), "mode": ("lines", "markers", "lines+markers"), "name": str,
    "x": list, "y": list, "text": list, "customdata": list, "hovertemplate": str,
    "hoverinfo": ("skip",), "marker": _MARKER, "line": _LINE, "error_x": _ERROR, "error_y": _ERROR,
    "legendgroup": str, "showlegend": bool, "visible": bool, "xaxis": str, "yaxis": str,
    "orientation": ("h",), "textposition": ("outside",),
}  # fmt: skip
_AXIS = {
    "title": {"text": str}, "type": ("log", "category"), "range": list, "tickvals": list,
    "ticktext": list, "nticks": int, "rangemode": ("tozero", "normal"), "showline": bool,
    "autorange": ("reversed",), "categoryarray": list, "domain": list, "overlaying": str,
    "side": ("right",), "showgrid": bool, "visible": bool,
}  # fmt: skip
_SHAPE = {
    "type": ("line", "rect"), "x0": float, "x1": float, "y0": float, "y1": float, "xref": str,
    "yref": str, "line": _LINE, "fillcolor": str, "opacity": float, "layer": ("below",),
    "name": str, "showlegend": bool,
}  # fmt: skip
_LAYOUT = {
    "height": int, "hovermode": ("closest", "x unified", "y unified"), "shapes": [_SHAPE],
    "barmode": ("stack", "group"), "bargap": float,
}  # fmt: skip


def unknown(chart: Chart) -> list[str]:
    """Name every field and value of a chart, and of its choices, that would not be drawn."""
    figures = [chart.figure, *({"data": each.traces, "layout": each.layout}
                               for each in chart.choices)]  # fmt: skip
    return [fault for figure in figures for fault in _figure(figure)]


def _figure(figure: dict[str, Any]) -> Iterator[str]:
    for trace in figure["data"]:
        yield from _faults("trace", trace, _TRACE)
        lengths = {len(trace[name]) for name in ("x", "y", "text", "customdata") if name in trace}
        if len(lengths) > 1:
            yield f"trace {trace.get('name')}: fields of {sorted(lengths)} values"
    axes = {key: _AXIS for key in figure["layout"] if re.fullmatch(r"[xy]axis\d*", key)}
    yield from _faults("layout", figure["layout"], _LAYOUT | axes)


def _faults(where: str, value: Any, known: Any) -> Iterator[str]:
    if isinstance(known, dict):
        yield from (f"{where}.{name}" for name in value if name not in known)
        for name in value.keys() & known.keys():
            yield from _faults(f"{where}.{name}", value[name], known[name])
    elif isinstance(known, list):
        for each in value:
            yield from _faults(where, each, known[0])
    elif not _fits(value, known):
        yield f"{where}: {value}"


def _fits(value: Any, known: Any) -> bool:
    """Say whether a value is of a type, one of some words, or in a table of the drawing."""
    if isinstance(known, str):
        every = value if isinstance(value, list) else [value]
        return all(each.removesuffix("-open") in {*_names(known), "solid"} for each in every)
    if isinstance(known, tuple) and isinstance(known[0], str):
        return value in known
    return isinstance(value, (int, float) if known is float else known)


def _names(table: str) -> set[str]:
    """Read the names in one of the drawing's own tables."""
    script = (templates() / "drawing.js.j2").read_text(encoding="utf-8")
    start = script.index(f"const {table} = {{")
    body = script[start : script.index("};", start)]
    return {
        name.strip('"').replace("\\\\", "\\")
        for name in re.findall(r'(?:^|[{,]\s*|\n\s*)("[^"\n]+"|[a-z]+): [("]', body)
    }
