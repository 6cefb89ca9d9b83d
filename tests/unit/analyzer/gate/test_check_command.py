"""`analyze check` from its options to its exit code and files, without a server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from support import synthetic_repository
from support.scripted_bench import ScriptedBench

from analyzer.errors import AnalyzerError, UsageError
from analyzer.gate import compose
from analyzer.gate.checks import Asked
from analyzer.gate.options import Options, Outputs
from analyzer.gate.store import Store
from analyzer.gate.values import OnInconclusive, Settings, Side

CHECKS = """\
model_repository: {models}
checks:
  - name: closed
    model: echo
    concurrency: 4
    gates: ["perf_throughput:-5%", "perf_latency_p99:+10%", "cpu_used_ram:+3%"]
"""
PROMISE = """\
  - name: promise
    model: echo
    request_rate: 40
    gates: ["perf_latency_p99<=50ms@rate=40"]
"""
#: the machine that tests run on is anything but idle
HERE = frozenset({"governor", "load", "gpu"})
Run = Callable[..., int]


class Said:
    """A run of the command, with what it printed."""

    def __init__(self, folder: Path) -> None:
        models = synthetic_repository.write(folder / "models")
        self.old = synthetic_repository.write(folder / "old")
        self.folder = folder
        self.file = folder / "perf.yaml"
        self.file.write_text(CHECKS.format(models=models))
        self.text = ""

    def options(self, **given: object) -> Options:
        usual = Options(
            asked=Asked(file=self.file),
            baseline=f"model-repo:{self.old}",
            baseline_dir=self.folder / "baselines",
            work_dir=self.folder / "runs",
            accepted=HERE,
        )
        return replace(usual, **given)  # type: ignore[arg-type]

    def run(self, bench: ScriptedBench, **given: object) -> int:
        out = io.StringIO()
        try:
            return compose.check(
                self.options(**given), Console(file=out, width=300), benches=bench.of
            )
        finally:
            self.text = out.getvalue()


@pytest.fixture
def said(tmp_path: Path) -> Said:
    return Said(tmp_path)


def test_the_same_against_itself_passes_and_writes_every_form(said: Said, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outputs = Outputs(
        junit=out / "j.xml", json=out / "j.json", report_md=out / "r.md", sarif=out / "s.sarif",
        html=out / "p.html", bmf=out / "b.json", action_benchmark=out / "action",
    )  # fmt: skip
    assert said.run(ScriptedBench(), outputs=outputs) == 0, said.text
    assert "No regression: 3 gates held" in said.text
    plain = json.loads((out / "j.json").read_text())
    assert (plain["verdict"], plain["exit_code"]) == ("pass", 0)
    assert {each["metric"] for each in plain["checks"]} == {
        "perf_throughput", "perf_latency_p99", "cpu_used_ram",
    }  # fmt: skip
    first = plain["checks"][0]
    assert first["baseline"]["n"] >= 4
    assert Path(first["baseline"]["samples_ref"]).is_file()
    assert first["ci_pct"][0] < first["change_pct"] < first["ci_pct"][1]
    assert plain["environment"]["b"]["cores"]
    assert len(list(out.rglob("*"))) == 9, "seven files, two of them in a folder of their own"


def test_a_slower_candidate_is_a_regression_at_the_line_of_its_check(
    said: Said, tmp_path: Path
) -> None:
    outputs = Outputs(junit=tmp_path / "j.xml", sarif=tmp_path / "s.sarif")
    code = said.run(ScriptedBench(slower=1.2), outputs=outputs, annotations="on")
    assert code == 1, said.text
    suite = ET.parse(outputs.junit or "").getroot()
    failures = suite.findall(".//failure")
    assert {each.get("type") for each in failures} == {"regression"}
    assert suite.get("failures") == "2"
    assert f"::error file={said.file}" in said.text
    assert ",line=3," in said.text
    (run,) = json.loads((tmp_path / "s.sarif").read_text())["runs"]
    assert {each["ruleId"] for each in run["results"]} == {"perf_throughput", "perf_latency_p99"}
    for each in run["results"]:
        assert each["level"] == "error"
        assert each["locations"][0]["physicalLocation"]["region"]["startLine"] == 3


@pytest.mark.parametrize(
    ("doubt", "code", "attempts"),
    [(OnInconclusive.WARN, 4, 1), (OnInconclusive.FAIL, 1, 1), (OnInconclusive.RETRY, 4, 2)],
)
def test_what_is_not_sure_ends_as_was_asked(
    said: Said, tmp_path: Path, doubt: OnInconclusive, code: int, attempts: int
) -> None:
    bench = ScriptedBench(noise=0.3)
    settings = Settings(max_pairs=4, on_inconclusive=doubt)
    outputs = Outputs(junit=tmp_path / "j.xml")
    assert said.run(bench, settings=settings, outputs=outputs) == code, said.text
    assert len(bench.measured) == attempts * 8
    suite = ET.parse(outputs.junit or "").getroot()
    doubtful = ".//failure" if doubt is OnInconclusive.FAIL else ".//skipped"
    assert len(suite.findall(doubtful)) == 2


def test_a_failure_on_a_disturbed_machine_is_measured_again_and_is_no_verdict(said: Said) -> None:
    bench = ScriptedBench(slower=1.2, remarks=("other programs used 1.5 of 2 cores meanwhile",))
    settings = Settings(max_pairs=4)
    assert said.run(bench, settings=settings) == 75, said.text
    assert len(bench.measured) == 16, "once more, and no more"
    assert "measuring all once more" in said.text
    assert "other programs used" in said.text
    bench.measured.clear()
    assert said.run(bench, settings=settings, accepted=HERE | {"disturbed"}) == 1
    assert len(bench.measured) == 8


def test_an_acknowledged_failure_passes_and_says_why(said: Said, tmp_path: Path) -> None:
    file = tmp_path / "ack.yaml"
    file.write_text(
        "acknowledgements:\n  - {check: closed, reason: the new tokenizer, until: 2999-01-01}\n"
    )
    outputs = Outputs(sarif=tmp_path / "s.sarif")
    code = said.run(ScriptedBench(slower=1.2), acknowledge=file, outputs=outputs)
    assert code == 0, said.text
    assert "acknowledged: the new tokenizer" in said.text
    (run,) = json.loads((tmp_path / "s.sarif").read_text())["runs"]
    assert {each["level"] for each in run["results"]} == {"note"}


def test_what_was_measured_before_a_fault_is_not_measured_again(said: Said) -> None:
    settings = Settings(max_pairs=4)
    broken = ScriptedBench(lasts=5)
    outputs = Outputs(junit=said.folder / "out" / "j.xml")
    with pytest.raises(AnalyzerError, match="SIGKILL"):
        said.run(broken, settings=settings, outputs=outputs)
    (error,) = ET.parse(outputs.junit or "").getroot().findall(".//testcase/error")
    assert "SIGKILL" in (error.text or "")
    again = ScriptedBench()
    assert said.run(again, settings=settings, resume=True) == 0, said.text
    assert len(broken.measured) + len(again.measured) == 8
    assert not set(broken.measured) & set(again.measured)
    fresh = ScriptedBench()
    assert said.run(fresh, settings=settings) == 0
    assert len(fresh.measured) == 8, "without --resume it starts over"


def test_a_kept_baseline_is_served_again_as_long_as_its_files_are_there(said: Said) -> None:
    assert said.run(ScriptedBench(), save="main") == 0
    bench = ScriptedBench()
    assert said.run(bench, baseline="main") == 0, said.text
    (compared,) = bench.asked
    assert compared.how == "ab"
    assert compared.baseline is not None
    assert "20000" in compared.baseline.configs["echo"]
    # Another configuration changes nothing of the baseline's files ...
    synthetic_repository.write(said.folder / "models", latency_us=30000)
    bench = ScriptedBench()
    assert said.run(bench, baseline="main") == 0
    (compared,) = bench.asked
    assert "20000" in compared.baseline.configs["echo"]
    assert "30000" in compared.candidate.texts["echo"]
    # ... and other weights leave only what was measured of it.
    (said.folder / "models" / "echo" / "1" / "weights").write_bytes(b"other")
    bench = ScriptedBench(slower=1.2)
    assert said.run(bench, baseline="main") == 1, said.text
    assert bench.asked[0].how == "history"
    assert {side for side, _ in bench.measured} == {Side.CANDIDATE}
    assert "low confidence" in said.text
    with pytest.raises(UsageError, match="cannot be served again"):
        said.run(ScriptedBench(), baseline="main", mode="ab")


def test_a_regression_joins_the_history_and_not_the_place_of_the_baseline(said: Said) -> None:
    assert said.run(ScriptedBench(), save="main") == 0
    first = Store(said.folder / "baselines").require("main")
    assert said.run(ScriptedBench(slower=1.2), save="main") == 1
    second = Store(said.folder / "baselines").require("main")
    assert first.baseline == second.baseline
    assert len(second.history) == 2
    assert "not as its baseline" in said.text


def test_a_baseline_is_replaced_by_what_is_surely_better_only(said: Said) -> None:
    store = Store(said.folder / "baselines")
    assert said.run(ScriptedBench(), save="main") == 0
    before = store.require("main").baseline
    assert said.run(ScriptedBench(), update_if="improved") == 0
    assert store.require("main").baseline == before
    assert said.run(ScriptedBench(slower=0.8), update_if="improved") == 0, said.text
    assert store.require("main").baseline != before


def test_without_a_baseline_it_says_what_to_do_or_goes_on_if_told_to(said: Said) -> None:
    with pytest.raises(UsageError, match="--save-baseline main"):
        said.run(ScriptedBench(), baseline="main")
    with pytest.raises(UsageError, match="no baseline to compare with"):
        said.run(ScriptedBench(), baseline="")
    bench = ScriptedBench()
    assert said.run(bench, baseline="main", lenient=True) == 0, said.text
    assert {side for side, _ in bench.measured} == {Side.CANDIDATE}
    assert "measured, not compared" in said.text


def test_a_promise_is_kept_or_broken_by_itself(said: Said) -> None:
    said.file.write_text(said.file.read_text() + PROMISE)
    assert (
        said.run(ScriptedBench(), mode="slo", asked=Asked(file=said.file, names=("promise",))) == 0
    )
    bench = ScriptedBench(keeps_promise=False)
    assert said.run(bench) == 1, said.text
    assert "the promise is broken" in said.text
    with pytest.raises(UsageError, match="--mode slo judges promises"):
        said.run(ScriptedBench(), mode="slo", asked=Asked(file=said.file, names=("closed",)))


def test_counters_alone_are_decided_after_two_launches(said: Said) -> None:
    bench = ScriptedBench(noise=0.3)
    assert said.run(bench, mode="proxy") == 0, said.text
    assert len(bench.measured) <= 6
    assert "cpu_used_ram" in said.text
    assert "perf_throughput" not in said.text


def test_a_gate_at_another_concurrency_is_measured_there(said: Said) -> None:
    bench = ScriptedBench()
    asked = Asked(file=said.file, gates=("perf_latency_p99<=12ms@concurrency=16",))
    assert said.run(bench, asked=asked) == 0, said.text
    assert {load.concurrency for load in bench.loads} == {4, 16}


def test_aa_says_what_can_be_seen_here_and_writes_it(said: Said) -> None:
    files = Outputs(json=said.folder / "aa.json", report_md=said.folder / "aa.md")
    assert files.json is not None
    assert files.report_md is not None
    bench = ScriptedBench(noise=0.002)
    assert said.run(bench, aa=True, baseline="", outputs=files) == 0
    assert "ENOUGH  closed (4 in flight)  perf_throughput  gate perf_throughput:-5%" in said.text
    assert "or more is seen in 90 % of all checks; the gate needs 3.2 %" in said.text
    assert "This machine can guard 2 gates" in said.text
    found = json.loads(files.json.read_text())
    assert found["kind"] == "noise"
    (check,) = found["checks"]
    assert [each["metric"] for each in check["gates"]] == ["perf_throughput", "perf_latency_p99"]
    assert all(each["smallest_pct"] < each["needed_pct"] for each in check["gates"])
    assert said.run(ScriptedBench(noise=0.2), aa=True, baseline="", outputs=files) == 0
    assert "TOO COARSE" in said.text
    table = files.report_md.read_text()
    assert "This machine can guard 0 of 2 gates" in table
    assert "Quieten the machine" in table


def test_a_dry_run_measures_nothing_and_says_how_long_it_would_take(said: Said) -> None:
    bench = ScriptedBench()
    assert said.run(bench, dry_run=True) == 0
    assert not bench.measured
    assert "at most 40 blocks of 2 s" in said.text
    assert not (said.folder / "runs").exists()
