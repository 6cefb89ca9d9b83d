"""Plots: which lines each has, and files that pictures' readers accept."""

from __future__ import annotations

import struct
from xml.etree import ElementTree as ET

import pytest
from support import rows as made

from analyzer.config.forms import plots
from analyzer.ranking.goal import parse_goal
from analyzer.report import wording
from analyzer.report.evidence import Evidence, gather
from analyzer.report.plots import draw
from analyzer.report.plotted import Plot, lines, of_file, usual

RATE, P99 = "perf_throughput", "perf_latency_p99"
drawn = pytest.mark.usefixtures("library")


@pytest.fixture(scope="module")
def library() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: servetune[report]")


def evidence(*, gpu: bool = False) -> Evidence:
    return gather(made.head(), made.resnet50(gpu=gpu), parse_goal(latency_budget=60))


def test_the_usual_plots_are_model_analyzers() -> None:
    assert [each.name for each in usual(evidence())] == [
        "throughput_v_latency", "cpu_mem_v_latency", "throughput_v_load",
    ]  # fmt: skip
    assert "gpu_mem_v_latency" in [each.name for each in usual(evidence(gpu=True))]


def test_a_plot_has_the_best_configurations_and_the_default_in_the_order_of_its_axis() -> None:
    seen = evidence()
    for plot in usual(seen):
        found = lines(seen, plot, 2)
        assert [each.label for each in found][:2] == [
            wording.short(each.variant, "resnet50") for each in seen.standings[:2]
        ]
        assert [each.role for each in found].count("default") == 1
        for each in found:
            xs = [x for x, _ in each.points]
            assert xs == sorted(xs)
            assert len(each.ends) == len(xs)


def test_a_monotonic_plot_only_rises() -> None:
    seen = evidence()
    plot = Plot(name="a", title="A", x=P99, y=RATE, monotonic=True)
    for each in lines(seen, plot, 9):
        ys = [y for _, y in each.points]
        assert ys == sorted(set(ys))
    free = Plot(name="a", title="A", x=P99, y=RATE)
    assert sum(len(each.points) for each in lines(seen, free, 99)) == sum(
        len(each.rows) for each in seen.standings
    )


def test_a_files_plots_are_drawn_in_place_of_the_usual_ones() -> None:
    given = plots({"p": {"title": "T", "x_axis": "concurrency_range", "y_axis": "cpu_used_ram"}})
    (plot,) = of_file(given)
    found = lines(evidence(), plot, 1)
    assert {x for line in found for x, _ in line.points} <= {1.0, 2.0, 4.0, 8.0, 16.0, 32.0}
    rates = Plot(name="r", title="R", x="request_rate", y=RATE)
    assert lines(evidence(), rates, 1) == ()


@drawn
def test_pictures_are_whole_and_lie_in_model_analyzers_folders() -> None:
    seen = evidence()
    found = dict(draw(seen, (), 1, "png"))
    assert {name for name in found if "simple" in name} == {
        f"plots/simple/resnet50/{name}.png"
        for name in ("throughput_v_latency", "cpu_mem_v_latency", "throughput_v_load", "pareto")
    }
    details = {f"plots/detailed/{each.variant}/latency_breakdown.png" for each in
               (seen.standings[0], seen.default) if each is not None}  # fmt: skip
    assert {name for name in found if "detailed" in name} == details
    for content in found.values():
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (1200, 750)


@drawn
def test_an_svg_is_well_formed_and_the_same_each_time() -> None:
    plot = Plot(name="own", title="Own", x=P99, y=RATE)
    ((name, content),) = draw(evidence(), (plot,), 1, "svg")
    assert name == "plots/simple/resnet50/own.svg"
    assert ET.fromstring(content).tag.endswith("svg")
    assert dict(draw(evidence(), (plot,), 1, "svg")) == {name: content}
