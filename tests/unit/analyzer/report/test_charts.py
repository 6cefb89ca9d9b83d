import json
import re
from collections.abc import Sequence

import pytest
from support import figures, full_rows
from support import rows as made

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Row
from analyzer.report import view
from analyzer.report.charts import draw
from analyzer.report.commands import Commands
from analyzer.report.drawing import Chart
from analyzer.report.evidence import gather

COMMANDS = Commands(serve="", apply="", rerank="", reproduce="")


def charts(rows: Sequence[Row], goal: Goal | None = None) -> tuple[Chart, ...]:
    page = view.make(gather(made.head(), rows, goal or parse_goal()), COMMANDS)
    return draw(page.charts)


CPU, GPU = made.resnet50(), made.resnet50(gpu=True)
BOUND = parse_goal(latency_budget=60, min_throughput=50)
FULL = full_rows.resnet50(gpu=True)


DRAWN = [*charts(FULL), *charts(CPU, BOUND)]


@pytest.mark.parametrize("chart", DRAWN, ids=lambda chart: chart.name)
def test_the_drawing_knows_every_property_and_json_every_value(chart: Chart) -> None:
    assert figures.unknown(chart) == []
    json.dumps(chart.figure, allow_nan=False)
    for choice in chart.choices:
        assert len(choice.traces) == len(chart.figure["data"])
    json.dumps(chart.options, allow_nan=False)


def test_a_whole_sweep_has_every_chart() -> None:
    names = [chart.name for chart in charts(FULL)]
    assert names[:4] == [
        "plane",
        "curve-perf_throughput",
        "curve-perf_latency_p99",
        "breakdown",
    ]
    assert names[-5:] == [
        "time",
        "batches",
        "course",
        "foreseen-perf_throughput",
        "foreseen-perf_latency_p99",
    ]
    assert len(names) == len(set(names)) == 14


def test_the_pareto_set_is_ringed_and_its_knee_has_a_star() -> None:
    found = gather(made.head(), CPU, parse_goal()).frontier
    plane = next(chart for chart in charts(CPU) if chart.name == "plane").figure["data"]
    marked = {trace["name"]: trace for trace in plane}
    assert len(marked["Pareto set"]["x"]) == len(found.options) > 1
    assert ("knee" in marked) == (found.knee is not None)
    if found.knee is not None:
        assert marked["knee"]["marker"]["symbol"] == "star"
        assert marked["knee"]["x"] == [float(f"{found.knee.values[1].middle:.6g}")]


def test_no_chart_is_empty() -> None:
    for rows in (CPU, GPU, CPU[:1], [row for row in CPU if row.failure is not None]):
        for chart in charts(rows):
            assert chart.figure["data"]
            assert all(len(trace["x"]) for trace in chart.figure["data"])


def test_nothing_measured_is_nothing_drawn() -> None:
    assert charts([row for row in CPU if row.failure is not None]) == ()


def test_parts_of_the_latency_stack_up_to_no_more_than_its_average() -> None:
    breakdown = next(chart for chart in charts(CPU) if chart.name == "breakdown")
    for index, label in enumerate(breakdown.figure["data"][0]["y"]):
        total = sum(trace["x"][index] for trace in breakdown.figure["data"])
        name, _, concurrency = label.partition(" @ ")
        row = next(
            row
            for row in CPU
            if row.variant == f"resnet50_{name}".replace("_default", "_config_default")
            and row.load.concurrency == int(concurrency)
        )
        assert total <= row.metrics["perf_latency_avg"] * 1.02


def test_constraints_are_lines_with_words_in_the_legend() -> None:
    plane = charts(CPU, BOUND)[0]
    words = {shape["name"] for shape in plane.figure["layout"]["shapes"]}
    assert words == {
        "p99 at most 60 ms",
        "throughput at least 50 infer/sec",
        "keeps the constraints",
    }
    assert all(shape["showlegend"] for shape in plane.figure["layout"]["shapes"])


def test_the_region_that_keeps_the_constraints_is_shaded_up_to_the_axes_ends() -> None:
    layout = charts(CPU, BOUND)[0].figure["layout"]
    (region,) = [shape for shape in layout["shapes"] if shape["type"] == "rect"]
    assert (region["x1"], region["y0"]) == (60, 50)
    assert region["y1"] == layout["yaxis"]["range"][1]
    assert region["x0"] < min(row.metrics["perf_latency_p99"] for row in CPU if row.metrics)
    assert "shapes" not in charts(CPU)[0].figure["layout"]


def test_intervals_of_latencies_are_drawn_where_they_are_known() -> None:
    def spread(rows: Sequence[Row]) -> object:
        curve = next(one for one in charts(rows) if one.name == "curve-perf_latency_p99")
        return curve.figure["data"][0].get("error_y")

    known = spread(FULL)
    assert isinstance(known, dict)
    assert all(up > 0 and down > 0
               for up, down in zip(known["array"], known["arrayminus"], strict=True))  # fmt: skip
    assert spread(GPU) is None


def test_every_concurrency_of_a_load_curve_is_a_tick() -> None:
    curve = next(chart for chart in charts(CPU) if chart.name == "curve-perf_throughput")
    assert curve.figure["layout"]["xaxis"]["tickvals"] == [1, 2, 4, 8, 16, 32]


def test_what_a_name_holds_does_not_become_markup() -> None:
    sweep = made.Sweep("<b>&model")
    sweep.measure(sweep.variant(None), (1, 2))
    for chart in charts(sweep.rows):
        for trace in chart.figure["data"]:
            for text in [*trace.get("text", ()), *trace.get("customdata", ())]:
                assert not re.findall(r"<(?!br>)", text)


def test_best_and_default_differ_by_more_than_colour() -> None:
    curve = next(chart for chart in charts(CPU) if chart.name == "curve-perf_throughput")
    best, default = curve.figure["data"]
    assert best["line"]["dash"] != default["line"]["dash"]
    assert best["marker"]["symbol"] != default["marker"]["symbol"]
