"""How the search went, and how well it foresaw what it measured, as figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.metrics import BY_TAG
from analyzer.report import wording
from analyzer.report.course import Foresight, Step
from analyzer.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    Chart,
    Figure,
    axis,
    brief,
    frame,
    hover,
    log_scale,
)

PART = "search"
#: colour and symbol of what a measurement was for, by ``columns.PHASES``
_MARKS = {
    "search": (BLUE, "circle"),
    "check of GPUs": (GREY, "cross"),
    "load curve": (ORANGE, "diamond"),
    "verification": (PURPLE, "square"),
    "goodput": (GREY, "triangle-up"),
}


def draw(steps: Sequence[Step], tag: str, foresights: Sequence[Foresight]) -> tuple[Chart, ...]:
    """Draw the course in the metric ``tag``, and each metric that was foreseen."""
    course = [_course(steps, tag)] if any(step.value is not None for step in steps) else []
    return (*course, *(_foresight(each, alone=len(foresights) == 1) for each in foresights))


def _course(steps: Sequence[Step], tag: str) -> Chart:
    """Every measurement in its turn, and the best so far."""
    values = [step.value for step in steps if step.value is not None]
    traces: list[Figure] = []
    led = [step for step in steps if step.best is not None]
    if led:
        traces.append({
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": [step.number for step in led],
            "y": [brief(step.best or 0.0) for step in led],
            "hoverinfo": "skip",
            "line": {"color": GREEN, "width": 2, "shape": "hv"},
        })  # fmt: skip
    for phase, (colour, symbol) in _MARKS.items():
        found = [step for step in steps if step.phase == phase and step.value is not None]
        if found:
            traces.append(_marks(found, tag, phase, (colour, symbol)))
    failed = [step for step in steps if step.value is None]
    if failed:
        traces.append(_failed(failed))
    metric = BY_TAG[tag]
    scale = log_scale([value for value in values if value > 0], ())
    layout = frame(
        x={**axis("Number of the measurement", None), "rangemode": "normal"},
        y=axis(f"{wording.heading(tag)} ({metric.unit})", scale),
        height=360,
    )
    layout["hovermode"] = "closest"
    if failed:
        # At the foot of the chart, whatever the axis of the values is.
        layout["yaxis2"] = {
            "overlaying": "y",
            "range": [0, 1],
            "visible": False,
        }
    hollow = any(step.value is not None and not step.keeps for step in steps)
    return Chart(
        name="course",
        title="What the search found, measurement by measurement",
        note="The line is the best of the search and of the load curves so far."
        + (" Hollow points break a constraint." if hollow else "")
        + (" Logarithmic scale." if scale is not None else ""),
        figure={"data": traces, "layout": layout},
        wide=True,
        part=PART,
    )


def _marks(steps: Sequence[Step], tag: str, name: str, look: tuple[str, str]) -> Figure:
    colour, symbol = look
    # The legend shows the first point's mark.
    steps = sorted(steps, key=lambda step: not step.keeps)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [step.number for step in steps],
        "y": [brief(step.value or 0.0) for step in steps],
        "text": [hover(step.hover) for step in steps],
        "hovertemplate": f"%{{text}}<br>%{{y:,.4g}} {BY_TAG[tag].unit}<extra></extra>",
        "marker": {
            "color": colour,
            "size": 8,
            "symbol": [symbol if step.keeps else f"{symbol}-open" for step in steps],
            "line": {"width": 1.5, "color": colour},
        },
    }


def _failed(steps: Sequence[Step]) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "failed or without a value",
        "yaxis": "y2",
        "x": [step.number for step in steps],
        "y": [0.03] * len(steps),
        "text": [hover(step.hover) for step in steps],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": VERMILLION,
            "size": 9,
            "symbol": "x",
            "line": {"width": 1, "color": VERMILLION},
        },
    }


def _foresight(found: Foresight, *, alone: bool) -> Chart:
    """What was measured against what had been foreseen."""
    metric = BY_TAG[found.tag]
    every = [value for one in found.guesses for value in (one.foreseen, one.measured)]
    scale = log_scale(every, ())
    ends = (min(every) / 1.1, max(every) * 1.1) if scale else (0.0, max(every) * 1.05)
    name = wording.heading(found.tag)
    layout = frame(
        x=axis(f"Foreseen ({metric.unit})", scale),
        y=axis(f"Measured ({metric.unit})", scale),
        height=360,
    )
    layout["hovermode"] = "closest"
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "as foreseen",
        "x": [brief(end) for end in ends],
        "y": [brief(end) for end in ends],
        "hoverinfo": "skip",
        "line": {"color": GREEN, "width": 2, "dash": "dot"},
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "measurements",
        "x": [brief(one.foreseen) for one in found.guesses],
        "y": [brief(one.measured) for one in found.guesses],
        "text": [hover(one.hover) for one in found.guesses],
        "hovertemplate": f"%{{text}}<br>foreseen %{{x:,.4g}} {metric.unit}, measured %{{y:,.4g}} "
        f"{metric.unit}<extra></extra>",
        "marker": {"color": BLUE, "size": 8, "symbol": "circle"},
    }
    return Chart(
        name=f"foreseen-{found.tag}",
        title=f"{name}, foreseen and measured",
        note=f"Before each was taken, the search said what it expected. Half of "
        f"{wording.count(len(found.guesses), 'prediction')} were off by at most "
        f"{wording.percent(100 * found.half)} of what was measured, nine in ten by at most "
        f"{wording.percent(100 * found.most)}." + (" Logarithmic scale." if scale else ""),
        figure={"data": [line, points], "layout": layout},
        wide=alone,
        part=PART,
    )
