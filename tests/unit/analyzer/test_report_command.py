"""``analyze report``: of which model, under whose goal, and what is refused."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.single_rows import head, row

from analyzer import results
from analyzer.errors import UsageError
from analyzer.record.journal import Journal
from analyzer.results import Subject, Wanted
from analyzer.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of the model m, of which m_config_default and m_config_0 were measured."""
    place = Workspace(tmp_path / "results" / "m")
    place.root.mkdir(parents=True)
    with Journal.create(place.journal, head({})) as journal:
        journal.append(row("default", 0, perf_throughput=100.0))
        journal.append(row("0", 1, perf_throughput=200.0))
    return place.root.parent


def goal(wanted: Wanted, place: Workspace) -> str:
    return wanted.goal(place).describe()


def test_configurations_name_their_model_as_in_model_analyzer(folder: Path) -> None:
    subject = Subject(configs="m_config_0,m_config_default", export_path=folder)
    ((place, wanted, configs),) = results.asked(subject, Wanted())
    assert place.root == folder / "m"
    console = Console(file=StringIO(), width=80)
    assert results.report(place, wanted, None, console, configs) == 0
    with pytest.raises(UsageError, match="has no configuration 'm_config_00'; did you mean m_con"):
        results.report(place, wanted, None, console, ("m_config_00",))


def test_a_file_gives_models_goal_and_folder_and_the_command_line_comes_first(folder: Path) -> None:
    file = folder.parent / "report.yaml"
    file.write_text(
        f"export_path: {folder}\nreport_model_configs: [m_config_0]\n"
        "objectives: [perf_latency_p99]\nlatency_budget: 5\n"
    )
    ((place, wanted, configs),) = results.asked(Subject(file=file), Wanted())
    assert configs == ("m_config_0",)
    assert goal(wanted, place) == "minimize p99 Latency with p99 Latency <= 5 ms"
    ((place, wanted, _),) = results.asked(
        Subject(file=file), Wanted(objectives=["perf_throughput"])
    )
    assert goal(wanted, place) == "maximize Throughput with p99 Latency <= 5 ms"
    file.write_text(
        f"export_path: {folder}\nprofile_models: {{m: {{objectives: [cpu_used_ram]}}}}\n"
    )
    ((place, wanted, _),) = results.asked(Subject(file=file), Wanted())
    assert "RAM Usage" in goal(wanted, place)


def test_without_a_goal_the_profiles_own_stays(folder: Path) -> None:
    (folder / "m" / results.GOAL).write_text(
        json.dumps({"objectives": {"perf_latency_avg": 1}, "constraints": {}})
    )
    ((place, wanted, _),) = results.asked(Subject(model="m", export_path=folder), Wanted())
    assert goal(wanted, place) == "minimize avg Latency"


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject(), "no model to report on: name one"),
        (Subject(configs="a_config_1,b_config_2"), "a report is of one model; these are of a, b"),
        (Subject(configs="resnet50"), "expected names such as resnet50_config_4, found 'resnet50'"),
        (Subject(model="other"), "no results of 'other'"),
    ],
)
def test_what_is_no_model_is_refused(subject: Subject, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        results.asked(subject, Wanted())


def test_a_price_alone_is_added_to_the_profiles_own_goal(folder: Path) -> None:
    place = Workspace(folder / "m")
    results.write_goal(place, Wanted(min_throughput=7.0, cost_per_hour=2.0).goal(place))
    kept = Wanted().goal(place)
    assert (kept.cost_per_hour, kept.describe()) == (
        2.0,
        "maximize Throughput with Throughput >= 7 infer/sec",
    )
    with pytest.raises(UsageError, match="cost_per_hour: expected a number above 0, found -1"):
        Wanted(cost_per_hour=-1.0).goal(place)
    priced = Wanted(cost_per_hour=3.6).goal(place)
    assert (priced.cost_per_hour, priced.constraints) == (3.6, kept.constraints)
    console = Console(file=StringIO(), width=80)
    assert results.report(place, Wanted(cost_per_hour=3.6), None, console) == 0
    summary = json.loads((place.root / "summary.json").read_text())
    assert summary["goal"]["cost_per_hour"] == 3.6
    assert summary["chosen"]["measurement"]["metrics"]["cost_per_million"] == 5.0
    assert "--cost-per-hour 3.6" in summary["commands"]["reproduce"]
    lines = (place.root / "metrics-model-inference.csv").read_text().splitlines()
    assert lines[0].endswith(",Throughput (infer/sec),Cost (per million infer)")
    assert lines[1].endswith(",200.0,5.0")
