"""One configuration's loads against something else than the load. Pure.

Its latencies by percentile, and what it uses by latency, as Model Analyzer draws it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from analyzer.metrics import BY_TAG
from analyzer.report import wording
from analyzer.report.drawing import (
    COLOURS,
    DASH_CYCLE,
    MANY,
    Chart,
    axis,
    brief,
    frame,
    hover,
    log_scale,
)
from analyzer.report.evidence import P99
from analyzer.report.levels import Numbers, percentile_curve
from analyzer.report.series import USES

#: how many nines a percentile has, and how it is called
_TICKS = ((0, "0"), (0.30103, "50"), (1, "90"), (2, "99"), (3, "99.9"), (4, "99.99"), (5, "99.999"))


def spread(numbers: Numbers) -> Chart | None:
    """The latencies of all requests, by percentile, one line for each load."""
    curves = [(level, percentile_curve(level.histogram)) for level in numbers.own.levels]
    curves = [(level, curve) for level, curve in curves if curve]
    if not curves:
        return None
    styles = zip(cycle(MANY), cycle(DASH_CYCLE), strict=False)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": level.title,
            "x": [round(nines, 3) for nines, _ in curve],
            "y": [brief(value) for _, value in curve],
            "text": [hover(f"{level.title}\np{100 * (1 - 10**-nines):.5g}: {value:,.4g} ms")
                     for nines, value in curve],
            "hovertemplate": "%{text}<extra></extra>",
            "line": {"color": colour, "dash": dash, "width": 2},
        }
        for (level, curve), (colour, dash) in zip(curves, styles, strict=False)
    ]  # fmt: skip
    furthest = max(curve[-1][0] for _, curve in curves)
    scale = log_scale([value for _, curve in curves for _, value in curve], ())
    layout = frame(
        x={**axis("Percentile of requests", None), "range": [0, furthest]},
        y=axis("Latency (ms)", scale),
        height=360,
    )
    ticks = [(at, text) for at, text in _TICKS if at <= furthest]
    layout["xaxis"]["tickvals"] = [at for at, _ in ticks]
    layout["xaxis"]["ticktext"] = [text for _, text in ticks]
    layout["hovermode"] = "closest"
    return Chart(
        name="spread",
        title="How latencies are spread",
        note="So many per cent of the requests were at most so slow; each further nine has as much "
        "room as the last." + (" Logarithmic scale." if scale is not None else ""),
        figure={"data": traces, "layout": layout},
    )


def uses(numbers: Numbers) -> Iterator[Chart]:
    """What it uses against how slow it is, load by load, as Model Analyzer draws it."""
    for tag in USES:
        shown = [
            (level, latency, use)
            for level in numbers.own.levels
            if (latency := level.mean(P99)) is not None and (use := level.mean(tag)) is not None
        ]
        if len(shown) < 2 or not any(use for _, _, use in shown):  # noqa: PLR2004 - a line has two
            continue
        metric = BY_TAG[tag]
        trace = {
            "type": "scatter",
            "mode": "lines+markers",
            "name": numbers.own.label,
            "x": [brief(latency) for _, latency, _ in shown],
            "y": [brief(use) for _, _, use in shown],
            "text": [
                hover(
                    f"{level.title}\np99 {wording.measured(P99, latency)}\n"
                    f"{wording.measured(tag, use)}"
                )
                for level, latency, use in shown
            ],
            "hovertemplate": "%{text}<extra></extra>",
            "line": {"color": COLOURS[numbers.own.role], "width": 2},
            "marker": {"color": COLOURS[numbers.own.role], "size": 9},
        }
        layout = frame(
            x=axis(f"p99 latency ({BY_TAG[P99].unit})", log_scale([each[1] for each in shown], ())),
            y=axis(f"{wording.heading(tag)} ({metric.unit})", None),
            height=320,
        )
        layout["hovermode"] = "closest"
        yield Chart(
            name=f"use-{tag}",
            title=f"{wording.heading(tag)} against latency",
            note="One mark for each load, the lightest first; means over its measurements.",
            figure={"data": [trace], "layout": layout},
        )
