"""What a comparison of runs claims, shows and spells."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO

import pytest
from support import figures, rich_rows
from support import rows as made
from support.outline import Outline

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Row, RunHead
from analyzer.report import comparison, comparison_charts, comparison_text
from analyzer.report.comparison import Comparison, Run
from analyzer.report.differences import differences, same_hardware
from analyzer.report.drawing import Chart
from analyzer.report.evidence import gather
from analyzer.report.pages import comparison_html

SLOW, FAST = rich_rows.sweep(), rich_rows.sweep(seed=1, faster=1.2)
HEAD = rich_rows.head()


def run(name: str, rows: tuple[Row, ...], head: RunHead = HEAD, goal: Goal | None = None) -> Run:
    evidence = gather(head, rows, goal or parse_goal())
    return Run(name=name, evidence=evidence, reproduce=f"analyze profile --model {name}")


def two(after: tuple[Row, ...] = FAST, head: RunHead = HEAD) -> Comparison:
    return comparison.make([run("old", SLOW), run("new", after, head)])


PAIR = two()
CHARTS = comparison_charts.draw(PAIR)


def test_of_two_runs_of_a_model_a_proven_change_is_claimed_with_its_interval() -> None:
    assert PAIR.headline.startswith("new is ")
    assert PAIR.headline.endswith("% better than old")
    assert "95% CI" in PAIR.sentence
    assert (PAIR.tone, PAIR.badge) == ("better", "Better")
    back = comparison.make([run("new", FAST), run("old", SLOW)])
    assert back.headline.endswith("% worse than new")
    assert back.tone == "infeasible"


def test_what_is_not_proven_is_not_claimed() -> None:
    same = two(rich_rows.sweep(seed=0, faster=1.002))
    assert same.headline == "new measured 0.2% higher throughput than old, which is not proven"
    assert same.badge == "No difference proven"
    assert "which includes 0" in same.sentence
    assert same.tone == "default"
    assert two(SLOW).headline == "new measured the same throughput as old"


def test_a_run_without_a_choice_says_so() -> None:
    failed = tuple(row for row in SLOW if row.failure is not None)
    none = two(failed)
    assert none.tone == "nothing"
    assert "new measured nothing that can be ranked" in none.headline
    assert Outline(comparison_html(none)).faults == []


def test_unlike_hardware_is_said_before_anything_is_concluded() -> None:
    other = rich_rows.head(cpu="Intel Xeon Platinum 8480C", cores=32, hostname="bench-9")
    page = two(head=other)
    assert page.bullets[0].startswith("Not the same hardware: CPU AMD EPYC 9554")
    assert {each.fact for each in page.differences} >= {"CPU", "cores", "hostname"}
    twin = two(head=rich_rows.head(hostname="bench-9"))
    assert twin.bullets[0].startswith("Hardware of the same description, but not the same machine")
    assert not any("ardware" in bullet for bullet in PAIR.bullets)


def test_facts_differ_by_kind_and_what_means_nothing_does_not() -> None:
    ram = made.GPU_MACHINE["ram_bytes"]
    later = replace(
        rich_rows.head(ram_bytes=ram + 4096, kernel="6.12"),
        versions={**HEAD.versions, "onnxruntime": "1.23.0"},
        options={**HEAD.options, "model_digest": "77aa", "window_seconds": 2.0},
    )
    found = {each.fact: (each.kind, each.values) for each in differences([HEAD, later])}
    assert found == {
        "kernel": ("system", ("-", "6.12")),
        "onnxruntime": ("software", ("1.22.0", "1.23.0")),
        "model digest": ("model", ("5e1f", "77aa")),
        "window seconds": ("measurement", ("1.0", "2.0")),
    }
    assert same_hardware([HEAD, later])
    assert differences([HEAD, HEAD]) == ()


def test_several_models_stand_side_by_side_and_no_winner_is_named() -> None:
    head = replace(HEAD, model="mobilenet")
    rows = tuple(
        replace(row, model="mobilenet", variant=row.variant.replace("resnet50", "mobilenet"))
        for row in FAST
    )
    page = comparison.make([run("resnet50", SLOW), run("mobilenet", rows, head)])
    assert page.headline == "2 runs of 2 models side by side"
    assert not page.shared
    assert "better" not in page.headline + page.sentence
    assert all(not choice.diff for choice in page.choices)
    assert page.changes == ((),)
    assert [column.title for column in page.sides.columns] == ["What", "resnet50", "mobilenet"]


def test_of_three_runs_each_is_compared_with_the_first() -> None:
    page = comparison.make([run("a", SLOW), run("b", FAST), run("c", SLOW)])
    assert page.headline == "3 runs of resnet50 side by side"
    heads = [column.title for column in page.sides.columns]
    assert heads == ["What", "a", "b", "c"]
    rate = next(line for line in page.sides.lines if line.cells[0].text.startswith("Throughput"))
    assert rate.cells[2].text.endswith("%)")
    assert rate.cells[3].text.endswith("(0%)")
    assert [column.title for column in page.shared.columns][:2] == ["Configuration", "Against"]


def test_the_sides_hold_what_each_chose_and_the_change_of_every_metric() -> None:
    heads = [column.title for column in PAIR.sides.columns]
    assert heads == ["What", "old", "new", "Change", "95% interval"]
    lines = {line.cells[0].text: line for line in PAIR.sides.lines}
    assert lines["Model"].cells[1].text == "resnet50"
    rate = lines["Throughput (infer/sec)"]
    (first, *_) = PAIR.changes[0]
    assert rate.cells[3].order == first.percent
    assert rate.cells[3].marks == ("better",)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_the_drawing_knows_every_property_and_json_every_value(chart: Chart) -> None:
    assert figures.unknown(chart) == []
    json.dumps(chart.figure, allow_nan=False)


def test_runs_are_told_apart_by_more_than_their_colour() -> None:
    names = {chart.name: chart for chart in CHARTS}
    assert set(names) == {
        "changed-perf_throughput", "changed-perf_latency_p99", "plane", "curve-perf_throughput",
        "curve-perf_latency_p99", "breakdown",
    }  # fmt: skip
    curves = names["curve-perf_throughput"].figure["data"]
    assert len({trace["line"]["dash"] for trace in curves}) == len(curves) == 2
    points = [trace for trace in names["plane"].figure["data"] if trace["name"] in {"old", "new"}]
    assert len({trace["marker"]["symbol"] for trace in points}) == 2


def test_the_page_is_whole_and_asks_nothing_of_the_network() -> None:
    outline = Outline(comparison_html(PAIR))
    assert not outline.faults
    assert outline.stack == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {each[1:] for each in outline.addresses if each.startswith("#")} <= set(outline.ids)
    assert all(each.startswith(("data:", "#")) for each in outline.addresses)
    assert PAIR.headline in outline.text


def test_json_csv_and_markdown_have_the_same_numbers() -> None:
    plain = json.loads(comparison_text.as_json(PAIR))
    metrics = plain["changes"][0]["metrics"]
    (change,) = [each for each in metrics if each["tag"] == "perf_throughput"]
    lines = list(csv.DictReader(StringIO(comparison_text.as_csv(PAIR))))
    line = next(each for each in lines if each["Metric"] == "perf_throughput")
    assert (line["What"], line["Run"], line["Against"]) == ("chosen", "new", "old")
    assert float(line["Change (%)"]) == pytest.approx(change["percent"], abs=0.01)
    assert float(line["95% Low (%)"]) == pytest.approx(change["low"], abs=0.01)
    shared = [each for each in lines if each["What"] == "same"]
    assert len(shared) == sum(len(each["metrics"]) for each in plain["shared"]) > 4
    text = comparison_text.as_markdown(PAIR)
    assert text.startswith(f"## {PAIR.headline}\n")
    tables = [each for each in text.splitlines() if each.startswith("|")]
    assert {each.count("|") for each in tables if each.startswith("| What")} == {6}
    assert plain["runs"][0]["hardware"] == "1 x NVIDIA H200"
