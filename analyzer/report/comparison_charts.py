"""The charts of a comparison, as figures in plain JSON form. Pure.

Owns how runs are drawn over each other: every run has a colour, a symbol and a dash of its own, so
that nothing is told by colour only. Does not own what all charts share (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from analyzer.metrics import BY_TAG
from analyzer.ranking.rank import Standing
from analyzer.record.row import Row
from analyzer.report import wording
from analyzer.report.changes import Change, Shared, reached, shared
from analyzer.report.comparison import Comparison, Run
from analyzer.report.drawing import (
    BLUE,
    DASH_CYCLE,
    GREY,
    MANY,
    PART_COLOURS,
    PART_PATTERNS,
    VERMILLION,
    Chart,
    Figure,
    axis,
    brief,
    filled,
    frame,
    hover,
    log_scale,
    names_axis,
)
from analyzer.report.evidence import P99, THROUGHPUT, Evidence, of
from analyzer.report.levels import Level, axis_title, levels
from analyzer.report.series import PARTS

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
#: so many of what both measured are drawn: the first in rank
_MOST_CHANGES = 40
_ROW_PX, _FRAME_PX = 26, 110


def draw(page: Comparison) -> tuple[Chart, ...]:
    """Draw every chart there is something to show in."""
    found = [
        _changed(page.runs, THROUGHPUT),
        _changed(page.runs, P99),
        _plane(page.runs),
        _curve(page.runs, THROUGHPUT),
        _curve(page.runs, P99),
        _breakdown(page.runs),
    ]
    charts = [chart for chart in found if chart is not None]
    pairs = {chart.name.partition("-")[0] for chart in charts if not chart.wide}
    for kind in pairs:
        alone = [chart for chart in charts if chart.name.startswith(f"{kind}-")]
        if len(alone) == 1:
            charts[charts.index(alone[0])] = replace(alone[0], wide=True)
    return tuple(charts)


def _changed(runs: Sequence[Run], tag: str) -> Chart | None:
    """What two runs of one model both measured: the change of each, with its interval."""
    if len(runs) != 2 or len({run.evidence.model for run in runs}) > 1:  # noqa: PLR2004 - a pair
        return None
    before, after = (run.evidence for run in runs)
    every = (
        (one, changed) for one in shared(before, after) if (changed := one.change(tag)) is not None
    )
    found = list(islice(every, _MOST_CHANGES))
    if not found:
        return None
    names = [_label(before, one) for one, _ in found]
    words = [_changed_words(name, changed) for name, (_, changed) in zip(names, found, strict=True)]
    groups = (
        ("better, proven", BLUE, "circle", [each.good is True for _, each in found]),
        ("worse, proven", VERMILLION, "square", [each.good is False for _, each in found]),
        ("not proven", GREY, "circle-open", [each.good is None for _, each in found]),
    )
    traces = [
        _intervals(name, colour, symbol, [
            (label, changed, text)
            for label, (_, changed), text, is_in in zip(names, found, words, which, strict=True)
            if is_in
        ])
        for name, colour, symbol, which in groups
        if any(which)
    ]  # fmt: skip
    layout = frame(
        x={**axis(f"Change of {wording.title(tag)} (%)", None), "rangemode": "normal"},
        y={**names_axis(), "categoryarray": names},
        height=_FRAME_PX + _ROW_PX * len(found),
    )
    layout["hovermode"] = "closest"
    layout["shapes"] = [
        {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper",
         "line": {"color": GREY, "width": 1.5, "dash": "dot"}}
    ]  # fmt: skip
    better = "right" if BY_TAG[tag].direction.value > 0 else "left"
    return Chart(
        name=f"changed-{tag}",
        title=f"Change of {wording.title(tag)}, {runs[0].name} to {runs[1].name}",
        note="Each line is a configuration at a load that both measured, its bar the 95 % "
        f"interval; {better} of 0 is better. Hollow: not proven.",
        figure={"data": traces, "layout": layout},
    )


def _label(first: Evidence, one: Shared) -> str:
    row = one.before[0]
    return f"{wording.short(row.variant, first.model)} @ {levels([row])[0].label}"


def _changed_words(name: str, changed: Change) -> str:
    """Say a change as a pointer shows it."""
    tag = changed.tag
    lines = [
        name,
        f"{wording.measured(tag, changed.before)} to {wording.measured(tag, changed.after)}",
        wording.percent(changed.percent, signed=True),
        changed.method,
    ]
    if changed.low is not None and changed.high is not None:
        lines[2] += f", 95% CI {wording.interval(changed.low, changed.high)}"
    return "\n".join(lines)


def _intervals(
    name: str, colour: str, symbol: str, found: Sequence[tuple[str, Change, str]]
) -> Figure:
    ends = [
        (each.percent if each.low is None else each.low,
         each.percent if each.high is None else each.high)
        for _, each, _ in found
    ]  # fmt: skip
    middles = [each.percent for _, each, _ in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [brief(middle) for middle in middles],
        "y": [label for label, _, _ in found],
        "text": [hover(text) for _, _, text in found],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "size": 10, "symbol": symbol,
                   "line": {"width": 1.5, "color": colour}},
        "error_x": {
            "array": [brief(max(0.0, end[1] - middle))
                      for end, middle in zip(ends, middles, strict=True)],
            "arrayminus": [brief(max(0.0, middle - end[0]))
                           for end, middle in zip(ends, middles, strict=True)],
            "color": colour,
            "thickness": 1.5,
        },
    }  # fmt: skip


def _plane(runs: Sequence[Run]) -> Chart | None:
    """Throughput against p99 latency: every measurement of every run, what each chose starred."""
    traces: list[Figure] = []
    latencies: list[float] = []
    for place, run in enumerate(runs):
        rows = [row for row in run.evidence.measured if {P99, THROUGHPUT} <= row.metrics.keys()]
        if not rows:
            continue
        latencies += [row.metrics[P99] for row in rows]
        traces.append(_points(run, rows, place))
        chosen = run.evidence.chosen
        means = {tag: reached(run.evidence, tag) or 0.0 for tag in (P99, THROUGHPUT)}
        if chosen is not None and all(means.values()):
            typical = replace(chosen.best, metrics={**chosen.best.metrics, **means})
            star = _points(run, [typical], place)
            star["name"] = f"{run.name}: chosen"
            star["marker"] |= {"symbol": "star", "size": 17, "opacity": 1.0}
            traces.append(star)
    if not traces:
        return None
    scale = log_scale(latencies, ())
    layout = frame(
        x=axis(f"p99 latency ({BY_TAG[P99].unit})", scale),
        y=axis("Throughput (infer/sec)", None),
        height=440,
    )
    layout["hovermode"] = "closest"
    return Chart(
        name="plane",
        title="Throughput against p99 latency",
        note="Every measurement; up and to the left is better. A star is what the run chose, "
        "the mean at its best load." + (" Logarithmic scale." if scale is not None else ""),
        figure={"data": traces, "layout": layout},
        wide=True,
    )


def _points(run: Run, rows: Sequence[Row], place: int) -> Figure:
    colour = MANY[place % len(MANY)]
    model = run.evidence.model
    return {
        "type": "scatter",
        "mode": "markers",
        "name": run.name,
        "x": [brief(row.metrics[P99]) for row in rows],
        "y": [brief(row.metrics[THROUGHPUT]) for row in rows],
        "text": [
            hover(
                f"{run.name}: {wording.short(row.variant, model)}\n{wording.setup(row.settings)}\n"
                f"{wording.load(row)}\n{wording.measured(THROUGHPUT, row.metrics[THROUGHPUT])}, "
                f"p99 {wording.measured(P99, row.metrics[P99])}"
            )
            for row in rows
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": colour,
            "size": 9,
            "opacity": 0.75,
            "symbol": _SYMBOLS[place % len(_SYMBOLS)],
            "line": {"width": 1, "color": colour},
        },
    }


def _curve(runs: Sequence[Run], tag: str) -> Chart | None:
    """A metric of what each run chose, under each of its loads."""
    known = [
        (place, run, found)
        for place, run in enumerate(runs)
        if run.evidence.chosen is not None
        and (found := _levels(run.evidence, run.evidence.chosen, tag))
    ]
    every = [level for _, _, found in known for level in found]
    if len({level.load.same for level in every}) < 2:  # noqa: PLR2004 - a curve has two points
        return None
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": run.name,
            "x": [level.label for level in found],
            "y": [brief(level.mean(tag) or 0.0) for level in found],
            "text": [wording.measured(tag, level.mean(tag)) for level in found],
            "hovertemplate": "%{text}",
            "line": {"color": MANY[place % len(MANY)], "width": 2.5,
                     "dash": DASH_CYCLE[place % len(DASH_CYCLE)]},
            "marker": {"color": MANY[place % len(MANY)], "size": 9,
                       "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
        }
        for place, run, found in known
    ]  # fmt: skip
    values = [level.mean(tag) or 0.0 for level in every]
    scale = log_scale(values, ()) if tag == P99 else None
    order = dict.fromkeys(level.label for level in sorted(every, key=lambda one: one.load.same))
    layout = frame(
        x=axis(axis_title(every), None),
        y=axis(f"{wording.heading(tag)} ({BY_TAG[tag].unit})", scale),
        height=360,
    )
    layout["xaxis"] |= {"type": "category", "categoryarray": list(order)}
    del layout["xaxis"]["rangemode"]
    layout["hovermode"] = "x unified"
    return Chart(
        name=f"curve-{tag}",
        title=f"{wording.heading(tag)} of what each chose",
        note="Means over the measurements at a load."
        + (" Logarithmic scale." if scale is not None else ""),
        figure={"data": traces, "layout": layout},
    )


def _levels(evidence: Evidence, chosen: Standing, tag: str) -> list[Level]:
    rows = [
        row for row in evidence.measured if of(chosen, row) and row.describes and tag in row.metrics
    ]
    return list(levels(rows))


def _breakdown(runs: Sequence[Run]) -> Chart | None:
    """Where a request spends its time in what each run chose, at its best load."""
    shown = [
        (run.name, {tag: reached(run.evidence, tag) or 0.0 for tag, _ in PARTS})
        for run in runs
        if run.evidence.chosen is not None
    ]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [run for run, _ in shown],
            "x": [brief(values[tag]) for _, values in shown],
            "text": [wording.number(values[tag]) for _, values in shown],
            "hovertemplate": "%{text} ms",
            "marker": filled(colour, pattern),
        }
        for (tag, name), colour, pattern in zip(PARTS, PART_COLOURS, PART_PATTERNS, strict=True)
        if any(values[tag] for _, values in shown)
    ]
    if not traces:
        return None
    layout = frame(
        x=axis("Average latency (ms)", None),
        y=names_axis(),
        height=_FRAME_PX + 2 * _ROW_PX * len(shown),
    )
    layout["barmode"] = "stack"
    layout["bargap"] = 0.35
    layout["hovermode"] = "y unified"
    return Chart(
        name="breakdown",
        title="Where a request spends its time",
        note="Averages of what each run chose, at its best load. Queue time grows with the load.",
        figure={"data": traces, "layout": layout},
        wide=True,
    )
