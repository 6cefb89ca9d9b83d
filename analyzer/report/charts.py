"""The summary's charts, as figures in plain JSON form. Pure.

Owns how its numbers are drawn: marks, what a pointer shows. Does not own the numbers (``series``),
nor what all charts share, axes and colours (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.metrics import BY_TAG
from analyzer.report import course_charts, timeline_charts, wording
from analyzer.report.drawing import (
    COLOURS,
    DASHES,
    GREEN,
    ORANGE,
    PART_COLOURS,
    PART_PATTERNS,
    SYMBOLS,
    Chart,
    Figure,
    axis,
    brief,
    draw_bounds,
    filled,
    frame,
    hover,
    log_scale,
    names_axis,
)
from analyzer.report.evidence import P99, THROUGHPUT
from analyzer.report.series import PARTS, Bar, Curve, Point, Region, Step, uses
from analyzer.report.view import Charts

_USE_NOTES = {
    "cpu_utilization": "At the best load. 100% is one core kept busy.",
    "cpu_used_ram": "At the best load, the whole server.",
    "gpu_utilization": "At the best load, the mean over GPUs.",
    "gpu_used_memory": "At the best load, the sum over GPUs.",
    "gpu_power_usage": "At the best load, the mean over GPUs.",
}
_BAR_PX, _FRAME_PX = 30, 120


def draw(numbers: Charts) -> tuple[Chart, ...]:
    """Draw every chart there is something to show in."""
    drawn: list[Chart] = []
    if len(numbers.points) > 1:
        drawn.append(_plane(numbers))
    if numbers.curves:
        drawn += _curves(numbers)
    if any(tag in bar.values for bar in numbers.bars for tag, _ in PARTS):
        drawn.append(_breakdown(numbers.bars))
    if len(numbers.bars) > 1:
        tags = uses(numbers.bars)
        drawn += [_use(numbers.bars, tag) for tag in tags]
        if len(tags) % 2:
            drawn[-1] = replace(drawn[-1], wide=True)
    drawn += timeline_charts.draw(numbers.timelines)
    drawn += course_charts.draw(numbers.course, numbers.objective, numbers.foresights)
    return tuple(drawn)


def _plane(numbers: Charts) -> Chart:
    """Throughput against p99 latency, each measurement a point, with the Pareto front."""
    traces: list[Figure] = []
    for role, name in (("other", "other configurations"), ("default", "default"), ("best", "best")):
        points = [point for point in numbers.points if point.role == role]
        if points:
            label = next((curve.label for curve in numbers.curves if curve.role == role), name)
            traces.append(_marks(points, label, role))
    if len(numbers.front) > 1:
        traces.insert(0, _front(numbers.front))
    if len(numbers.unbeaten) > 1:
        traces.insert(0, _ringed(numbers.unbeaten, "Pareto set", "circle-open", 17))
    if numbers.knee is not None:
        traces.append(_ringed((numbers.knee,), "knee", "star", 13))
    latencies = [point.latency for point in numbers.points]
    layout = frame(
        x=axis(f"p99 latency ({BY_TAG[P99].unit})", log_scale(latencies, numbers.latency_bounds)),
        y=axis("Throughput (infer/sec)", None),
        height=440,
    )
    layout["hovermode"] = "closest"
    if numbers.region is not None:
        _shade(layout, numbers.region, numbers)
    draw_bounds(layout, numbers.latency_bounds, "x", "p99")
    draw_bounds(layout, numbers.throughput_bounds, "y", "throughput")
    return Chart(
        name="plane",
        title="Throughput against p99 latency",
        note="Each point is one measurement; up and to the left is better. Nothing measured "
        "beats a point on the Pareto front in both; what is ringed, nothing beats for sure when "
        "memory and energy count as well."
        + (
            " Hollow points are less precise than asked for."
            if not all(p.stable for p in numbers.points)
            else ""
        )
        + (" Logarithmic scale." if layout["xaxis"].get("type") == "log" else ""),
        figure={"data": traces, "layout": layout},
        wide=True,
    )


def _shade(layout: Figure, region: Region, numbers: Charts) -> None:
    """Shade where the constraints are kept; the axes are then as wide as what is drawn in them."""
    limits = [limit for limit, _ in numbers.latency_bounds]
    left, right = 0.0, 1.05 * max([*(point.latency for point in numbers.points), *limits])
    if layout["xaxis"].get("type") == "log":
        left, right = (10.0**end for end in layout["xaxis"]["range"])
    else:
        layout["xaxis"]["range"] = [left, right]
    limits = [limit for limit, _ in numbers.throughput_bounds]
    top = 1.08 * max([*(point.throughput for point in numbers.points), *limits])
    layout["yaxis"]["range"] = [0.0, top]
    layout.setdefault("shapes", []).append({
        "type": "rect",
        "x0": max(left, region.latency_low or left),
        "x1": right if region.latency_high is None else region.latency_high,
        "y0": region.throughput_low or 0.0,
        "y1": top if region.throughput_high is None else region.throughput_high,
        "fillcolor": GREEN,
        "opacity": 0.1,
        "line": {"width": 0},
        "layer": "below",
        "showlegend": True,
        "name": "keeps the constraints",
    })  # fmt: skip


def _marks(points: Sequence[Point], label: str, role: str) -> Figure:
    symbol = SYMBOLS[role]
    # The legend shows the first point's mark.
    points = sorted(points, key=lambda point: not point.stable)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": [brief(point.latency) for point in points],
        "y": [brief(point.throughput) for point in points],
        "text": [hover(point.hover) for point in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": COLOURS[role],
            "size": 8 if role == "other" else 11,
            "symbol": [symbol if point.stable else f"{symbol}-open" for point in points],
            "line": {"width": 1.5, "color": COLOURS[role]},
        },
    }


def _ringed(points: Sequence[Point], name: str, symbol: str, size: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [brief(point.latency) for point in points],
        "y": [brief(point.throughput) for point in points],
        "text": [hover(f"{name}\n{point.hover}") for point in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": GREEN if symbol.endswith("open") else ORANGE,
            "size": size,
            "symbol": symbol,
            "line": {"width": 2, "color": GREEN},
        },
    }


def _front(points: Sequence[Point]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [point.latency for point in points],
        "y": [point.throughput for point in points],
        # What is reached at one latency is reached up to the next point's.
        "line": {"color": GREEN, "width": 2, "dash": "dot", "shape": "hv"},
        "hoverinfo": "skip",
    }


def _curves(numbers: Charts) -> list[Chart]:
    """Throughput and p99 latency against the load, of the best and of the default."""
    loads = sorted({step.level for curve in numbers.curves for step in curve.steps})
    rates = any(curve.is_open for curve in numbers.curves)
    latencies = [
        step.latency for curve in numbers.curves for step in curve.steps if step.latency is not None
    ]
    drawn = []
    for tag, title, scale in (
        (THROUGHPUT, "Throughput under growing load", None),
        (P99, "p99 latency under growing load", log_scale(latencies, numbers.latency_bounds)),
    ):
        metric = BY_TAG[tag]
        traces = [trace for curve in numbers.curves if (trace := _curve(curve, tag)) is not None]
        if not traces:
            continue
        logarithmic = scale is not None
        layout = frame(
            x={
                **axis("Request rate (1/s)" if rates else "Concurrency", None),
                "type": "log",
                "tickvals": loads,
                "ticktext": [f"{load:,g}" for load in loads],
            },
            y=axis(f"{wording.heading(tag)} ({metric.unit})", scale),
            height=360,
        )
        layout["hovermode"] = "x unified"
        bounds = numbers.throughput_bounds if tag == THROUGHPUT else numbers.latency_bounds
        draw_bounds(layout, bounds, "y", wording.title(tag))
        note = "Higher is better. Bars are the 95 % interval."
        if tag == P99:
            note = "Lower is better. Bars are the 95 % interval, where requests were enough."
            note += " Logarithmic scale." * logarithmic
        figure = {"data": traces, "layout": layout}
        drawn.append(Chart(name=f"curve-{tag}", title=title, note=note, figure=figure))
    return drawn


def _curve(curve: Curve, tag: str) -> Figure | None:
    steps = [step for step in curve.steps if tag == THROUGHPUT or step.latency is not None]
    if not steps:
        return None
    values = [step.throughput if tag == THROUGHPUT else step.latency or 0.0 for step in steps]
    colour = COLOURS[curve.role]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": curve.label,
        "x": [step.level for step in steps],
        "y": values,
        "text": [wording.measured(tag, value) for value in values],
        "hovertemplate": "%{text}",
        "line": {"color": colour, "width": 2.5, "dash": DASHES[curve.role]},
        "marker": {"color": colour, "size": 9, "symbol": SYMBOLS[curve.role]},
    }
    if tag == THROUGHPUT:
        trace["error_y"] = _spread(steps, colour)
    elif any(step.latency_high is not None for step in steps):
        trace["error_y"] = _latency_spread(steps, colour)
    return trace


def _spread(steps: Sequence[Step], colour: str) -> Figure:
    return {
        "array": [step.high - step.throughput for step in steps],
        "arrayminus": [step.throughput - step.low for step in steps],
        "color": colour,
        "thickness": 1.5,
    }


def _latency_spread(steps: Sequence[Step], colour: str) -> Figure:
    """Draw what is known of the intervals; a step that has none has no bar."""
    latencies = [step.latency or 0.0 for step in steps]
    highs = [step.latency_high for step in steps]
    lows = [step.latency_low for step in steps]
    return {
        "array": [0.0 if high is None else high - value
                  for high, value in zip(highs, latencies, strict=True)],
        "arrayminus": [0.0 if low is None else value - low
                       for low, value in zip(lows, latencies, strict=True)],
        "color": colour,
        "thickness": 1.5,
    }  # fmt: skip


def _breakdown(bars: Sequence[Bar]) -> Chart:
    """Where a request spends its time, for each configuration at its best load."""
    shown = [bar for bar in bars if any(tag in bar.values for tag, _ in PARTS)]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [bar.label for bar in shown],
            "x": [bar.values.get(tag, 0.0) for bar in shown],
            "text": [wording.number(bar.values.get(tag)) for bar in shown],
            "hovertemplate": "%{text} ms",
            "marker": filled(colour, pattern),
        }
        for (tag, name), colour, pattern in zip(PARTS, PART_COLOURS, PART_PATTERNS, strict=True)
        if any(bar.values.get(tag) for bar in shown)
    ]
    layout = _bars_layout(shown, "Average latency (ms)", legend=True)
    layout["barmode"] = "stack"
    layout["hovermode"] = "y unified"
    return Chart(
        name="breakdown",
        title="Where a request spends its time",
        note="Averages at each configuration's best load (name @ load). Queue time grows "
        "with the load by itself: compare configurations under like load.",
        figure={"data": traces, "layout": layout},
        wide=True,
    )


def _use(bars: Sequence[Bar], tag: str) -> Chart:
    """What one resource each configuration uses at its best load."""
    shown = [bar for bar in bars if tag in bar.values]
    metric = BY_TAG[tag]
    values = [bar.values[tag] for bar in shown]
    places = wording.decimals(values)
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [bar.label for bar in shown],
        "x": values,
        "text": [wording.number(value, places) for value in values],
        "textposition": "outside",
        "customdata": [hover(bar.hover) for bar in shown],
        "hovertemplate": f"%{{y}}: %{{text}} {metric.unit}<br>%{{customdata}}<extra></extra>",
        "marker": {"color": [COLOURS[bar.role] for bar in shown]},
    }
    layout = _bars_layout(shown, f"{wording.heading(tag)} ({metric.unit})", legend=False)
    # Room for the numbers behind the bars.
    layout["xaxis"]["range"] = [0, max(values) * 1.22 or 1.0]
    return Chart(
        name=f"use-{tag}",
        title=wording.heading(tag),
        note=_USE_NOTES[tag],
        figure={"data": [trace], "layout": layout},
    )


def _bars_layout(bars: Sequence[Bar], title: str, *, legend: bool) -> Figure:
    layout = frame(
        x=axis(title, None),
        y=names_axis(),
        height=_FRAME_PX + _BAR_PX * len(bars) + (40 if legend else 0),
    )
    layout["bargap"] = 0.35
    return layout
