"""What was used over time, and which batches ran: any configuration can be chosen."""

from dataclasses import replace

import pytest
from support import full_rows
from support import rows as made

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Row
from analyzer.report import timeline_charts
from analyzer.report.drawing import Chart
from analyzer.report.evidence import Evidence, gather
from analyzer.report.timelines import batches, timelines

CPU, GPU = full_rows.resnet50(), full_rows.resnet50(gpu=True)


def evidence(rows: tuple[Row, ...]) -> Evidence:
    return gather(made.head(), rows, parse_goal())


def drawn(rows: tuple[Row, ...]) -> dict[str, Chart]:
    return {chart.name: chart for chart in timeline_charts.draw(timelines(evidence(rows)))}


def test_every_configuration_is_there_the_chosen_one_first() -> None:
    seen = evidence(CPU)
    found = timelines(seen)
    assert len(found) == len(seen.standings)
    assert found[0].label == "config_3 (chosen)"
    assert [each.label for each in found if each.is_default] == ["default"]


def test_a_series_is_thinned_and_counts_from_where_the_measurement_does() -> None:
    found = timelines(evidence(CPU))[0]
    row = next(row for row in CPU if row.variant == "resnet50_config_3")
    assert len(found.at) <= 60
    assert found.at == tuple(sorted(found.at))
    assert found.at[0] < 0 < found.at[-1]
    assert found.until == pytest.approx(26)
    assert set(found.values) == {"cpu", "ram"}
    for column in found.values.values():
        assert len(column) == len(found.at)
    assert found.values["ram"][5] == pytest.approx(row.metrics["cpu_used_ram"], rel=0.05)


def test_what_gpus_use_of_memory_and_power_adds_up_and_their_use_is_a_mean() -> None:
    gpus = {
        "one": {"utilization": [10.0, None], "memory": [100.0, 100.0], "power": [50.0, 50.0]},
        "two": {"utilization": [30.0, 50.0], "memory": [300.0, 300.0], "power": [70.0, None]},
    }
    series = {"t": [0.0, 1.0], "window": [0.0, 1.0], "gpus": gpus}
    rows = tuple(replace(row, series=series) for row in GPU if row.failure is None)
    found = timelines(evidence(rows))[0]
    assert found.values == {
        "utilization": (20.0, 50.0),
        "memory": (400.0, 400.0),
        "power": (120.0, 50.0),
    }


def test_what_was_not_seen_is_a_gap_and_what_nobody_saw_is_no_panel() -> None:
    chart = drawn(CPU)["time"]
    assert [name for name in chart.figure["layout"] if name.startswith("yaxis")] == [
        "yaxis",
        "yaxis2",
    ]
    for trace in chart.figure["data"]:
        assert len(trace["x"]) == len(trace["y"])
    assert len([name for name in drawn(GPU)["time"].figure["layout"] if "yaxis" in name]) == 5


def test_a_choice_replaces_what_is_shown_and_the_default_stands_behind_all_but_itself() -> None:
    chart = drawn(CPU)["time"]
    assert {each.label for each in chart.choices} >= {"config_3 (chosen)", "default", "config_0"}
    for choice in chart.choices:
        assert len(choice.traces) == len(chart.figure["data"])
        (counts,) = choice.layout["shapes"]
        assert (counts["x0"], counts["type"]) == (0, "rect")
        behind = [trace["visible"] for trace in choice.traces if "visible" in trace]
        assert behind == [choice.label != "default"] * 2
    own = chart.figure["data"][0]
    assert own["name"].startswith("config_3, concurrency")


def test_rows_that_nobody_watched_are_nothing_to_draw() -> None:
    plain = made.resnet50()
    assert drawn(plain) == {}
    assert timelines(evidence(tuple(row for row in plain if row.failure is not None))) == ()


def test_batches_are_shares_of_the_inferences_of_each_model() -> None:
    server = {
        "batches": [{"batch_size": 1, "executions": 4}, {"batch_size": 4, "executions": 3}],
        "composing": {
            "inner": {"batches": [{"batch_size": 2, "executions": 8}]},
            "still": {"batches": []},
        },
    }
    assert batches(server, "outer") == {"outer": {1: 0.25, 4: 0.75}, "inner": {2: 1.0}}
    assert batches({}, "outer") == {}


def test_the_batches_of_a_configuration_stand_beside_the_defaults() -> None:
    chart = drawn(CPU)["batches"]
    own, default = chart.figure["data"]
    assert own["x"] == default["x"]
    assert own["x"] == sorted(own["x"], key=int)
    assert sum(own["y"]) == pytest.approx(100, abs=0.01)
    assert sum(default["y"]) == pytest.approx(100, abs=0.01)


def test_where_nothing_was_batched_there_are_no_batches_to_show() -> None:
    rows = tuple(row for row in CPU if row.failure is None and row.variant.endswith("default"))
    assert set(drawn(rows)) == {"time"}
