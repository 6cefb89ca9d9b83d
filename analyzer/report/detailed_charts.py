"""The charts of one configuration's page, as figures in plain JSON form. Pure.

Owns their order, and how its loads are drawn: throughput and latency with intervals, and where the
time goes. Does not own latencies by percentile and use by latency (``curve_charts``), what was used
over time (``timeline_charts``), nor what a load's measurements say together (``levels``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from analyzer.metrics import BY_TAG
from analyzer.record.row import Row
from analyzer.report import curve_charts, timeline_charts, wording
from analyzer.report.drawing import (
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    ORANGE,
    PART_COLOURS,
    PART_PATTERNS,
    SKY,
    SYMBOLS,
    VERMILLION,
    Chart,
    Figure,
    axis,
    brief,
    draw_bounds,
    filled,
    frame,
    hover,
    log_scale,
)
from analyzer.report.evidence import P99, THROUGHPUT
from analyzer.report.levels import Level, Numbers, Side, axis_title, reach
from analyzer.report.series import PARTS

#: colour, dash and symbol of each percentile: no two are told apart by colour only
_PERCENTILES = (
    ("perf_latency_p50", SKY, "dot", "circle"),
    ("perf_latency_p90", GREEN, "dashdot", "diamond"),
    ("perf_latency_p95", ORANGE, "dash", "triangle-up"),
    (P99, BLUE, "solid", "square"),
)
#: what one chooses among over time
PART = "measurement"
_WHICH = "Of one measurement."


def draw(numbers: Numbers) -> tuple[Chart, ...]:
    """Draw every chart there is something to show in."""
    if not numbers.own.levels:
        return ()
    found = [
        _against_load(numbers, THROUGHPUT),
        _percentiles(numbers),
        _breakdown(numbers),
        curve_charts.spread(numbers),
        *timeline_charts.draw(numbers.timelines, PART, _WHICH),
        *curve_charts.uses(numbers),
    ]
    return _paired([chart for chart in found if chart is not None])


def _paired(charts: Sequence[Chart]) -> tuple[Chart, ...]:
    """Let a chart that would stand alone in its row take the whole of it."""
    placed: list[Chart] = []
    open_row = False
    for chart in charts:
        if chart.wide and open_row:
            placed[-1] = replace(placed[-1], wide=True)
        open_row = not chart.wide and not open_row
        placed.append(chart)
    if open_row:
        placed[-1] = replace(placed[-1], wide=True)
    return tuple(placed)


def _by_load(numbers: Numbers, y: Figure, height: int = 360) -> Figure:
    """Return a layout with the loads side by side, this configuration's and the default's."""
    sides = [numbers.own, *([numbers.default] if numbers.default else [])]
    every = [level for side in sides for level in side.levels]
    order = dict.fromkeys(level.label for level in sorted(every, key=lambda one: one.load.same))
    layout = frame(x=axis(axis_title(every), None), y=y, height=height)
    layout["xaxis"] |= {"type": "category", "categoryarray": list(order)}
    del layout["xaxis"]["rangemode"]
    return layout


def _against_load(numbers: Numbers, tag: str) -> Chart | None:
    """A metric under each load: every measurement with its interval, a line through the means."""
    traces = [trace for side in (numbers.default, numbers.own) if side is not None
              for trace in _measured(side, tag)]  # fmt: skip
    if not traces:
        return None
    metric = BY_TAG[tag]
    layout = _by_load(numbers, axis(f"{wording.heading(tag)} ({metric.unit})", None))
    layout["hovermode"] = "closest"
    draw_bounds(layout, numbers.throughput_bounds, "y", wording.title(tag))
    return Chart(
        name=f"load-{tag}",
        title=f"{wording.heading(tag)} under each load",
        note="Each mark is one measurement, its bar the 95 % interval; the line joins the means.",
        figure={"data": traces, "layout": layout},
    )


def _measured(side: Side, tag: str) -> Iterator[Figure]:
    """Yield the line of a configuration and the marks of its measurements, one in the legend."""
    shown = [level for level in side.levels if level.values(tag)]
    if not shown:
        return
    colour = COLOURS[side.role]
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": side.label,
        "legendgroup": side.label,
        "showlegend": False,
        "x": [level.label for level in shown],
        "y": [brief(level.mean(tag) or 0.0) for level in shown],
        "line": {"color": colour, "width": 2.5, "dash": DASHES.get(side.role, "solid")},
        "hoverinfo": "skip",
    }
    rows = [(level, row) for level in shown for row in level.rows if tag in row.metrics]
    values = [row.metrics[tag] for _, row in rows]
    ends = [reach(row, tag) or (value, value) for (_, row), value in zip(rows, values, strict=True)]
    yield {
        "type": "scatter",
        "mode": "markers",
        "name": side.label,
        "legendgroup": side.label,
        "x": [level.label for level, _ in rows],
        "y": [brief(value) for value in values],
        "text": [
            hover(f"{side.label}, no. {row.number}\n{wording.load(row)}\n{_with_ends(row, tag)}")
            for _, row in rows
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "size": 9, "symbol": SYMBOLS[side.role]},
        "error_y": {
            "array": [brief(max(0.0, end[1] - value))
                      for end, value in zip(ends, values, strict=True)],
            "arrayminus": [brief(max(0.0, value - end[0]))
                           for end, value in zip(ends, values, strict=True)],
            "color": colour,
            "thickness": 1.5,
        },
    }  # fmt: skip


def _with_ends(row: Row, tag: str) -> str:
    """Say a value and its interval."""
    said = wording.measured(tag, row.metrics.get(tag))
    ends = reach(row, tag)
    if ends is None:
        return said
    return f"{said} ({wording.number(ends[0])} to {wording.number(ends[1])})"


def _percentiles(numbers: Numbers) -> Chart | None:
    """The percentiles of latency under each load, and the default's p99 beside them."""
    own = numbers.own
    traces = []
    for tag, colour, dash, symbol in _PERCENTILES:
        shown = [level for level in own.levels if level.values(tag)]
        if shown:
            traces.append(_percentile(shown, tag, {"color": colour, "dash": dash}, symbol))
    if not traces:
        return None
    if numbers.default is not None:
        shown = [level for level in numbers.default.levels if level.values(P99)]
        if shown:
            line = {"color": VERMILLION, "dash": "longdash"}
            trace = _percentile(shown, P99, line, "square-open")
            traces.append({**trace, "name": f"{numbers.default.label} p99"})
    values = [value for trace in traces for value in trace["y"]]
    scale = log_scale(values, numbers.latency_bounds)
    layout = _by_load(numbers, axis("Latency (ms)", scale))
    layout["hovermode"] = "x unified"
    draw_bounds(layout, numbers.latency_bounds, "y", "p99")
    return Chart(
        name="percentiles",
        title="Latency under each load",
        note="Means over the measurements at a load."
        + (" Logarithmic scale." if scale is not None else ""),
        figure={"data": traces, "layout": layout},
    )


def _percentile(levels: Sequence[Level], tag: str, line: Figure, symbol: str) -> Figure:
    values = [level.mean(tag) or 0.0 for level in levels]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": wording.title(tag).removesuffix(" latency"),
        "x": [level.label for level in levels],
        "y": [brief(value) for value in values],
        "text": [wording.measured(tag, value) for value in values],
        "hovertemplate": "%{text}",
        "line": {"width": 2.5, **line},
        "marker": {"color": line["color"], "size": 8, "symbol": symbol},
    }


def _breakdown(numbers: Numbers) -> Chart | None:
    """Where a request spends its time under each load, and the throughput on an axis of its own."""
    own = [level for level in numbers.own.levels if any(level.values(tag) for tag, _ in PARTS)]
    traces: list[Figure] = [
        {
            "type": "bar",
            "name": name,
            "x": [level.label for level in own],
            "y": [brief(level.mean(tag) or 0.0) for level in own],
            "text": [wording.number(level.mean(tag)) for level in own],
            "hovertemplate": "%{text} ms",
            "marker": filled(colour, pattern),
        }
        for (tag, name), colour, pattern in zip(PARTS, PART_COLOURS, PART_PATTERNS, strict=True)
        if any(level.mean(tag) for level in own)
    ]
    if not traces:
        return None
    traces.append(_rate_line(own))
    alone = replace(numbers, default=None)
    layout = _by_load(alone, axis("Average latency (ms)", None), height=400)
    layout["yaxis2"] = {
        **axis("Throughput (infer/sec)", None),
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
    }
    layout["barmode"] = "stack"
    layout["bargap"] = 0.4
    layout["hovermode"] = "x unified"
    return Chart(
        name="breakdown",
        title="Where a request spends its time",
        note="Averages under each load, from the server's own statistics; the rest of what the "
        "client waited is network and front end.",
        figure={"data": traces, "layout": layout},
        wide=True,
    )


def _rate_line(levels: Sequence[Level]) -> Figure:
    rates = [level.mean(THROUGHPUT) for level in levels]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Throughput (right)",
        "yaxis": "y2",
        "x": [level.label for level in levels],
        "y": [None if rate is None else brief(rate) for rate in rates],
        "text": [wording.measured(THROUGHPUT, rate) for rate in rates],
        "hovertemplate": "%{text}",
        "line": {"color": VERMILLION, "width": 2.5},
        "marker": {"color": VERMILLION, "size": 8, "symbol": "diamond"},
    }
