"""The plots as PNG or SVG files, drawn by matplotlib (``servetune[report]``).

Owns how plots look: a line, a marker and a dash of its own for each configuration, so that none is
told by its colour alone; Okabe and Ito's colours; constraints as dashed lines, named in the legend.
Does not own what is plotted (``plotted``). Nothing global is touched: no ``pyplot``, no backend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from analyzer.errors import UsageError
from analyzer.ranking.rank import Standing
from analyzer.report import plotted, series, wording
from analyzer.report.evidence import P99, THROUGHPUT, Evidence
from analyzer.report.frame import missing
from analyzer.report.plotted import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's, the darker ones first: they stand out on white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREY, _LIMIT = "#6B7280", "#7A3E9D"
_MARKERS, _DASHES = "osD^vP", ("-", "--", "-.", ":")
_PART_COLOURS = ("#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7")
_INCHES, _DPI = (8.0, 5.0), 150
SIMPLE, DETAILED = "plots/simple", "plots/detailed"
PARETO, BREAKDOWN = "pareto", "latency_breakdown"


def draw(
    evidence: Evidence, wanted: Sequence[Plot], top: int, form: str
) -> Iterator[tuple[str, bytes]]:
    """Yield each plot's file in Model Analyzer's folders, and its contents: "png" or "svg".

    ``wanted`` are those of a file; () are the usual ones, with the Pareto set and the parts of the
    latency of each of the ``top`` configurations. A plot that no configuration has values for is
    not there.

    Raises:
        UsageError: matplotlib is not installed.
    """
    folder = f"{SIMPLE}/{evidence.model}"
    for plot in wanted or plotted.usual(evidence):
        lines = plotted.lines(evidence, plot, top)
        if lines:
            yield f"{folder}/{plot.name}.{form}", _simple(evidence, plot, lines, form)
    if wanted:
        return
    if evidence.frontier.options:
        yield f"{folder}/{PARETO}.{form}", _pareto(evidence, form)
    for each in plotted.shown(evidence, top):
        if parts := plotted.parts(each):
            name = f"{DETAILED}/{each.variant}/{BREAKDOWN}.{form}"
            yield name, _breakdown(each, parts, form)


def _simple(
    evidence: Evidence, plot: Plot, lines: Sequence[plotted.PlottedLine], form: str
) -> bytes:
    figure, axes = _figure(plot.title, evidence.model)
    for at, line in enumerate(lines):
        # The default is grey wherever it stands.
        colour = _GREY if line.role == "default" else _COLOURS[at % len(_COLOURS)]
        marker, dash = _MARKERS[at % len(_MARKERS)], _DASHES[at % len(_DASHES)]
        xs, ys = zip(*line.points, strict=True)
        below, above = zip(
            *(
                (y - low, high - y)
                for (_, y), (low, high) in zip(line.points, line.ends, strict=True)
            ),
            strict=True,
        )
        axes.errorbar(
            xs, ys, yerr=(below, above), label=line.label, color=colour, marker=marker,
            linestyle=dash, linewidth=2, capsize=3, elinewidth=1,
        )  # fmt: skip
    _limits(evidence, axes, plot)
    axes.set_xlabel(plotted.axis(plot.x))
    axes.set_ylabel(plotted.axis(plot.y))
    return _saved(figure, axes, form)


def _pareto(evidence: Evidence, form: str) -> bytes:
    """Draw every measurement, the Pareto set and its knee."""
    figure, axes = _figure("Throughput vs. p99 latency: what nothing beats", evidence.model)
    every = series.points(evidence)
    axes.scatter(
        [each.latency for each in every], [each.throughput for each in every],
        s=22, color=_GREY, alpha=0.5, label="measurements",
    )  # fmt: skip
    best = [series.option(evidence, each) for each in evidence.frontier.options]
    # The set is in all that configurations give and cost; the line is of these two alone.
    front = [series.point(evidence, row) for row in evidence.front]
    axes.step(
        [each.latency for each in front], [each.throughput for each in front],
        where="post", color=_COLOURS[2], linestyle="--", label="best throughput within a latency",
    )  # fmt: skip
    axes.scatter(
        [each.latency for each in best], [each.throughput for each in best],
        s=44, color=_COLOURS[2], marker="D", label="Pareto set",
    )  # fmt: skip
    if (knee := evidence.frontier.knee) is not None:
        point = series.option(evidence, knee)
        name = wording.short(knee.row.variant, evidence.model)
        axes.scatter(
            [point.latency], [point.throughput], s=130, facecolors="none", linewidths=2,
            edgecolors=_COLOURS[1], label=f"knee: {name} at {wording.load(knee.row)}",
        )  # fmt: skip
    plot = Plot(name=PARETO, title="", x=P99, y=THROUGHPUT)
    _limits(evidence, axes, plot)
    latencies = [each.latency for each in every if each.latency > 0]
    if latencies and max(latencies) > 20 * min(latencies):
        _logarithmic(axes)
    axes.set_xlabel(plotted.axis(P99))
    axes.set_ylabel(plotted.axis(THROUGHPUT))
    return _saved(figure, axes, form)


def _breakdown(standing: Standing, found: Sequence[tuple[str, Any]], form: str) -> bytes:
    """Draw where a request's time goes at each load, and the throughput beside it."""
    figure, axes = _figure("Where a request spends its time", standing.variant)
    places = list(range(len(found)))
    floor = [0.0] * len(found)
    for (tag, name), colour in zip(series.PARTS, _PART_COLOURS, strict=True):
        values = [metrics.get(tag, 0.0) for _, metrics in found]
        if any(values):
            axes.bar(places, values, bottom=floor, label=name, color=colour, width=0.6)
            floor = [below + value for below, value in zip(floor, values, strict=True)]
    for place, height in zip(places, floor, strict=True):
        axes.annotate(wording.number(height), (place, height), ha="center", va="bottom", fontsize=8)
    axes.set_xticks(places, [load for load, _ in found])
    is_open = standing.best.load.is_open
    axes.set_xlabel("Request rate (1/s)" if is_open else "Concurrency")
    axes.set_ylabel("Average latency (ms)")
    rates = [metrics.get(THROUGHPUT, math.nan) for _, metrics in found]
    other = axes.twinx()
    other.plot(places, rates, color="black", marker="o", linewidth=1.5, label="Throughput")
    other.set_ylabel(plotted.axis(THROUGHPUT))
    other.set_ylim(0, 1.15 * max((rate for rate in rates if math.isfinite(rate)), default=1.0))
    return _saved(figure, axes, form, other)


def _figure(title: str, subject: str) -> tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(missing("plots are", "matplotlib")) from error
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{title}\n{subject}", fontsize=11)
    return figure, axes


def _limits(evidence: Evidence, axes: Axes, plot: Plot) -> None:
    """Draw a constraint as a line across the plot."""
    for name, across in ((plot.x, axes.axvline), (plot.y, axes.axhline)):
        for limit, words in plotted.limits(evidence, name):
            label = f"Target: {wording.title(name)} {words}"
            across(limit, color=_LIMIT, linestyle=(0, (6, 3)), linewidth=1.5, label=label)


def _logarithmic(axes: Axes) -> None:
    """Make the x axis logarithmic, with numbers as they are read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415 - an extra

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _saved(figure: Figure, axes: Axes, form: str, other: Axes | None = None) -> bytes:
    """Return the file; the same numbers give the same bytes."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    axes.grid(visible=True, color="#D1D5DB", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]) if other is None else None)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    if other is not None:
        more, names = other.get_legend_handles_labels()
        handles, labels = [*handles, *more], [*labels, *names]
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    sink = BytesIO()
    about = {"Date": None, "Creator": "servetune"} if form == "svg" else {"Software": "servetune"}
    with mpl.rc_context({"svg.hashsalt": "servetune"}):
        figure.savefig(sink, format=form, dpi=_DPI, metadata=about)
    return sink.getvalue()
