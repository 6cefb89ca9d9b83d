"""The library: what a program is given, and how it is told what is wrong. No server is started."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import rows as made

import analyzer
from analyzer import AnalyzerError, Results, load_results, profile, results
from analyzer.interruption import interruption
from analyzer.record.journal import Journal
from analyzer.results import Wanted
from analyzer.statistics.histogram import Histogram
from analyzer.workspace import Workspace

SWEEP = made.resnet50()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Results of the made sweep, whose goal has a latency budget."""
    found = Workspace(tmp_path_factory.mktemp("results") / "resnet50")
    found.root.mkdir()
    with Journal.create(found.journal, made.head()) as journal:
        for row in SWEEP:
            journal.append(row)
    results.write_goal(found, Wanted(latency_budget=500.0).stated())
    return found


@pytest.fixture(scope="module")
def found(place: Workspace) -> Results:
    return load_results(place.root)


def test_results_say_what_the_report_says(found: Results, place: Workspace) -> None:
    said = found.to_dict()
    assert found.model == "resnet50"
    assert found.goal == "maximize Throughput with p99 Latency <= 500 ms"
    assert found.verdict == said["verdict"]["sentence"]
    assert found.best is not None
    assert found.default is not None
    assert found.gain is not None
    assert found.best.name == said["chosen"]["variant"] == "resnet50_config_3"
    assert found.best.settings["instance_group"] == "2:CPU"
    assert found.default.is_default
    assert (found.gain.percent, found.gain.proven) == (
        said["gain"]["percent"], said["gain"]["proven"]
    )  # fmt: skip
    assert [each.name for each in found.configurations] == [
        each["variant"] for each in said["standings"]
    ]
    assert found.chosen_config == said["chosen"]["config"]
    assert [row.number for row in found.rows] == [row.number for row in SWEEP]
    assert found.path == place.root
    assert len(found.to_pandas()) == len(SWEEP)


def test_a_notebook_sees_a_summary_and_a_terminal_a_line(found: Results) -> None:
    assert found._repr_markdown_().startswith("### resnet50: config_3 is ")
    assert repr(found).startswith(f"<Results of resnet50: {len(found.evidence.measured)} measur")
    assert "\n" not in repr(found)


def test_the_same_rows_rank_otherwise_under_another_goal(found: Results) -> None:
    quick = found.rank("perf_latency_p99")
    assert quick.goal == "minimize p99 Latency"
    assert quick.best is not None
    assert found.best is not None
    assert quick.best.metrics["perf_latency_p99"] < found.best.metrics["perf_latency_p99"]
    assert found.goal.startswith("maximize Throughput")
    bounded = found.rank(["perf_throughput"], ["perf_latency_p99<=0.1"])
    assert not any(each.satisfies for each in bounded.configurations)
    priced = found.rank(cost_per_hour=3.6)
    assert priced.goal == found.goal
    assert "cost_per_million" in priced.rows[0].metrics
    assert priced.rank().goal == priced.goal
    assert "cost_per_million" in priced.rank().rows[0].metrics
    with pytest.raises(AnalyzerError, match="no metric named 'perf_thruput'"):
        found.rank(["perf_thruput"])


def test_what_one_goal_adds_to_rows_is_not_the_next_goals(found: Results, tmp_path: Path) -> None:
    latencies = Histogram.of(np.full(100, 5_000_000, dtype=np.int64)).text
    goodput = replace(SWEEP[0], histogram=latencies)
    other = Workspace(tmp_path)
    with Journal.create(other.journal, made.head()) as journal:
        journal.append(goodput)
    first = load_results(other.journal).rank(["goodput"], latency_budget=10)
    assert "goodput" in first.rows[0].metrics
    assert "goodput" not in first.rank(["perf_throughput"]).rows[0].metrics
    assert found.default is not None


def test_reports_go_where_they_are_told_to(found: Results, tmp_path: Path) -> None:
    written = found.rank(["perf_latency_p99"]).report(tmp_path / "out", formats="json,md")
    assert [path.name for path in written] == ["summary.json", "summary.md"]
    assert json.loads(written[0].read_text())["goal"]["text"] == "minimize p99 Latency"
    (tmp_path / "taken").write_text("")
    with pytest.raises(AnalyzerError, match="taken"):
        found.report(tmp_path / "taken", formats=["md"])
    with pytest.raises(AnalyzerError, match=r"^format: no format named 'doc'"):
        found.report(tmp_path, formats=["doc"])


def test_results_are_found_by_folder_journal_and_name(place: Workspace) -> None:
    for way in (place.root, str(place.journal)):
        assert load_results(way).path == place.root
    assert load_results("resnet50", export_path=place.root.parent).path == place.root
    with pytest.raises(AnalyzerError, match=r"no results of 'resnet5'.*did you mean resnet50"):
        load_results("resnet5", export_path=place.root.parent)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no model to profile"),
        ({"model": "m", "max_tme": 3}, "max_tme: no such option; did you mean max_time?"),
        ({"model": "m", "max_time": 0}, "max_time: expected at least 1, found 0"),
        ({"model": "m", "latency_budget": "x", "seed": -1}, "latency_budget: expected a number"),
        ({"model": ["a", "b"]}, "a, b are profiled one after another: call profile() for each"),
        ({"model": "m", "profile_models": "n"}, "model names the model already; keep one"),
        ({"model": {"m": {}}}, "model: expected a name or a list of names"),
        ({"model": "m", "perf_analyzer_flags": {"shap": "x:1"}}, "perf_analyzer_flags: "),
        ({"model": "m", "model_type": "LLM"}, "model_type: not available here"),
        ({"model": "m", "config_file": "nowhere.yaml"}, "nowhere.yaml: cannot be read"),
        ({"model": "m", "model_repository": "nowhere"}, "nowhere is not a directory"),
    ],
)
def test_what_is_wrong_is_an_error_in_the_calls_own_words(
    options: dict[str, Any], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AnalyzerError) as caught:
        profile(**{"export_path": tmp_path, **options})
    assert words in caught.value.message
    assert "--" not in caught.value.message.partition(":")[0]
    assert capfd.readouterr() == ("", "")


def test_what_has_no_effect_is_a_warning(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="triton_docker_image has no effect here"),
        pytest.raises(AnalyzerError, match="is not a directory"),
    ):
        profile(model="m", triton_docker_image="x", model_repository="no", export_path=tmp_path)


def test_flags_of_other_programs_are_taken_from_a_call(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match="perf_analyzer_flags: input-data: random stands"):
        profile(
            model="m", export_path=tmp_path, perf_analyzer_flags={"input-data": ["random", "x"]},
            triton_server_flags={"log-verbose": 1},
        )  # fmt: skip


def test_the_import_is_cheap_and_no_module_takes_the_functions_names() -> None:
    program = (
        "import sys, analyzer\n"
        "assert not {'pandas', 'numpy', 'rich', 'analyzer.library'} & set(sys.modules)\n"
        "assert {'profile', 'load_results', 'Results'} <= set(dir(analyzer))\n"
        "assert not hasattr(analyzer, 'nothing')\n"
        "from importlib.util import find_spec\n"
        "assert not find_spec('analyzer.profile') and not find_spec('analyzer.load_results')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert analyzer.profile is profile


def test_signals_are_the_main_threads_and_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seen: list[Any] = []

    def elsewhere() -> None:
        with interruption(lambda: seen.append("said")) as stop:
            seen.append(stop())
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False, before[0]]
    said: list[str] = []
    with interruption(lambda: said.append("stopping")) as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert said == ["stopping"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
