"""The page of one configuration: what it says, draws and leaves out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support import figures, rich_rows
from support import rows as made
from support.outline import Outline

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Row
from analyzer.report import detailed, detailed_charts
from analyzer.report.detailed import Detailed
from analyzer.report.drawing import Chart
from analyzer.report.evidence import gather
from analyzer.report.pages import detailed_html
from analyzer.report.render import render
from analyzer.statistics.histogram import EMPTY

ROWS = rich_rows.sweep()
BEST, DEFAULT, FAILED = (f"resnet50_config_{name}" for name in ("3", "default", "5"))


def page(
    variant: str = BEST, rows: tuple[Row, ...] = ROWS, goal: Goal | None = None, serve: str = ""
) -> Detailed:
    evidence = gather(rich_rows.head(), rows, goal or parse_goal())
    return detailed.make(evidence, variant, serve=serve, reproduce="analyze profile --model x")


PAGE = page(serve="engine serve --model-repository variants/x")
CHARTS = {chart.name: chart for chart in detailed_charts.draw(PAGE.numbers)}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=lambda chart: chart.name)
def test_the_drawing_knows_every_property_and_json_every_value(chart: Chart) -> None:
    assert figures.unknown(chart) == []
    json.dumps(chart.figure, allow_nan=False)
    for choice in chart.choices:
        assert len(choice.traces) == len(chart.figure["data"])


def test_there_is_a_chart_of_everything_that_was_measured() -> None:
    wanted = {
        "load-perf_throughput", "percentiles", "breakdown", "spread", "time", "batches",
        "use-cpu_utilization", "use-cpu_used_ram", "use-gpu_utilization", "use-gpu_used_memory",
        "use-gpu_power_usage",
    }  # fmt: skip
    assert set(CHARTS) == wanted
    bare = detailed_charts.draw(page(rows=made.resnet50()).numbers)
    assert not {"spread", "time", "batches"} & {chart.name for chart in bare}
    narrow = [chart for chart in CHARTS.values() if not chart.wide]
    assert len(narrow) % 2 == 0


def test_every_measurement_is_a_mark_with_its_interval() -> None:
    own = [row for row in ROWS if row.variant == BEST]
    marks = [each for each in CHARTS["load-perf_throughput"].figure["data"]
             if each["mode"] == "markers" and each["name"] == "config_3"]  # fmt: skip
    assert len(marks) == 1
    assert len(marks[0]["y"]) == len(own)
    up, value = marks[0]["error_y"]["array"][0], marks[0]["y"][0]
    assert up == pytest.approx(0.02 * value, rel=1e-3)


def test_the_spread_of_latencies_rises_with_the_percentile_and_ends_at_its_count() -> None:
    for trace in CHARTS["spread"].figure["data"]:
        assert trace["y"] == sorted(trace["y"])
        assert trace["x"][0] == 0
        assert trace["x"][-1] >= 3.3


def test_over_time_the_best_is_shown_first_and_each_measurement_can_be_chosen() -> None:
    labels = [choice.label for choice in CHARTS["time"].choices]
    assert PAGE.numbers.best is not None
    assert labels[0].startswith(f"no. {PAGE.numbers.best.number},")
    assert labels[-1].startswith("default,")
    assert len(labels) == len([row for row in ROWS if row.variant == BEST]) + 1


def test_every_measurement_is_a_line_the_slowest_answers_first() -> None:
    heads = [column.title for column in PAGE.loads.columns]
    assert heads[:6] == [
        "No.", "Concurrency", "For", "p99 Latency", "p99, 95% interval", "Throughput",
    ]  # fmt: skip
    p99 = [line.cells[3].order for line in PAGE.loads.lines]
    assert p99 == sorted(p99, key=lambda value: -float(value or 0))
    best = [line for line in PAGE.loads.lines if "best" in line.cells[2].marks]
    assert len(best) == 1
    assert [line for line in PAGE.loads.lines if line.role == "best"] == best
    assert len(PAGE.measurements) == len(PAGE.loads.lines)


def test_what_to_doubt_and_how_to_repeat_stands_with_each_measurement() -> None:
    marked = [one for one in PAGE.measurements if one.remarks]
    assert marked
    assert marked[0].remarks == (rich_rows.REMARK,)
    assert dict(PAGE.measurements[0].absent) == {"cpu_power_usage": rich_rows.REASON}
    assert all(one.command.startswith("analyze perf --model-name") for one in PAGE.measurements)
    assert any("remarks: no." in bullet for bullet in PAGE.bullets)


def test_the_headline_claims_what_the_verification_proved_and_no_more() -> None:
    evidence = gather(rich_rows.head(), ROWS, parse_goal())
    assert evidence.gain is not None
    if evidence.gain.proven:
        assert PAGE.headline.endswith("better than the default")
        assert PAGE.badge == "Chosen"
    other = page("resnet50_config_0")
    assert other.badge.startswith("Number ")
    assert "better" not in other.headline
    tight = page(goal=parse_goal(latency_budget=0.001))
    assert (tight.badge, tight.tone) == ("Breaks a constraint", "infeasible")
    assert any(each.startswith("Breaks the constraints (p99") for each in tight.bullets)


def test_the_default_has_nothing_beside_it_and_no_difference() -> None:
    own = page(DEFAULT)
    assert own.numbers.default is None
    assert own.served is not None
    assert own.served.diff == ()
    assert PAGE.served is not None
    assert PAGE.served.diff


def test_one_that_only_failed_says_why_and_draws_nothing() -> None:
    own = page(FAILED)
    assert own.headline == "config_5 could not be ranked"
    assert "1 attempt failed" in own.sentence
    assert not own.loads
    assert detailed_charts.draw(own.numbers) == ()
    text = Outline(detailed_html(own)).text
    assert "probably killed for memory" in text


def test_a_configuration_that_nobody_measured_is_refused() -> None:
    with pytest.raises(KeyError, match="resnet50_config_99"):
        page("resnet50_config_99")


def test_equal_digests_are_one_configuration_whatever_they_are_called() -> None:
    digest = next(row.digest for row in ROWS if row.variant == BEST)
    renamed = tuple(
        replace(row, digest=digest, variant=BEST) if row.variant == "resnet50_config_4" else row
        for row in ROWS
    )
    twin = [row.variant == BEST for row in renamed].count(True)
    assert len(page(rows=renamed).loads.lines) == twin


def test_of_models_loaded_at_the_same_time_each_has_its_own_figures() -> None:
    whole = next(row for row in ROWS if row.variant == BEST)
    own = {"load": {"concurrency": 2, "request_rate": 0.0, "batch_size": 1}, "requests": 50,
           "server": {}, "histogram": ""}  # fmt: skip
    figures = {"a::perf_throughput": 300.0, "b::perf_throughput": 100.0}
    together = replace(
        whole,
        metrics={**whole.metrics, **figures},
        settings={"models": {name: {"variant": f"{name}_config_0"} for name in ("a", "b")}},
        of_models={"a": own, "b": own},
    )
    found = page(rows=(together,))
    names = [line.cells[1].text for line in found.models.lines]
    rates = [column.title for column in found.models.columns].index("Throughput")
    assert names == ["a", "b"]
    assert [line.cells[rates].order for line in found.models.lines] == [300.0, 100.0]
    assert [one.command for one in found.measurements] == [""]
    assert not Outline(render("detailed.html.j2", found)).faults
    assert not PAGE.models


def test_a_histogram_that_nobody_can_read_is_left_out() -> None:
    torn = tuple(replace(row, histogram="h0:torn") for row in ROWS)
    own = page(rows=torn)
    assert own.numbers.own.levels[0].histogram == EMPTY
    assert "spread" not in {chart.name for chart in detailed_charts.draw(own.numbers)}


@pytest.mark.parametrize("variant", [BEST, DEFAULT, FAILED])
def test_the_markup_is_whole_and_asks_nothing_of_the_network(variant: str) -> None:
    own = page(variant, goal=parse_goal(latency_budget=60))
    html = detailed_html(own) if variant == BEST else render("detailed.html.j2", own)
    outline = Outline(html)
    assert not outline.faults
    assert outline.stack == []
    assert len(outline.ids) == len(set(outline.ids))
    assert all(each.startswith(("data:", "#")) for each in outline.addresses)
    ways = {each[1:] for each in outline.addresses if each.startswith("#")}
    assert ways <= set(outline.ids)


def test_names_and_reasons_cannot_become_markup() -> None:
    wild = tuple(replace(row, remarks=("<script>alert(1)</script>",)) for row in ROWS)
    html = render("detailed.html.j2", page(rows=wild))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
