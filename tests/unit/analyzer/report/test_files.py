import json
import math
import os
import re
import resource
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support import rows as made

from analyzer import report
from analyzer.errors import AnalyzerError, NothingMeasured, UsageError
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.report import pdf
from analyzer.report.export import GPU, INFERENCE, PARETO, Fields
from analyzer.space import Candidate
from analyzer.stages import Skipped
from analyzer.statistics.estimate import Estimate

SWEEP = made.resnet50()
CROWDED = "5 instances of 4 threads are too many for 2 cores"
SKIPPED = (
    *(
        Skipped(Candidate.of(instance_count=5, intra_op_thread_count=4, concurrency=load), CROWDED)
        for load in (1, 2)
    ),
    Skipped(Candidate.of(max_batch_size=1, concurrency=8), "it did not come up"),
)


def summary(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    return loaded


def test_the_report_comes_first_and_every_file_is_there(tmp_path: Path) -> None:
    written = report.write(made.head(), SWEEP, parse_goal(), tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["report.html", "summary.json", INFERENCE, PARETO]
    assert all(path.is_file() for path in written)
    # nothing half-written is left behind
    assert sorted(written[0].parent.iterdir()) == sorted(written)


def test_a_table_from_before_does_not_outlive_its_rows(tmp_path: Path) -> None:
    report.write(made.head(), made.resnet50(gpu=True), parse_goal(), tmp_path)
    assert (tmp_path / GPU).is_file()
    report.write(made.head(), SWEEP, parse_goal(), tmp_path)
    assert not (tmp_path / GPU).exists()
    assert (tmp_path / INFERENCE).is_file()


def test_when_one_file_cannot_be_written_the_others_are_whole_and_no_rest_is_left(
    tmp_path: Path,
) -> None:
    (tmp_path / "summary.json").mkdir()
    (tmp_path / "report.html").write_text("the one before")
    with pytest.raises(OSError, match=r"summary\.json"):
        report.write(made.head(), SWEEP, parse_goal(), tmp_path)
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "summary.json"}


def test_what_does_not_fit_is_told_with_its_name_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            report.write(made.head(), SWEEP, parse_goal(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_only_failed_rows_still_make_a_report(tmp_path: Path) -> None:
    failed = [row for row in SWEEP if row.failure is not None]
    written = report.write(
        made.head(), failed, parse_goal(), tmp_path, omitted=report.Omissions(torn=3)
    )
    assert [path.name for path in written] == ["report.html", "summary.json"]
    said = summary(tmp_path)
    assert said["verdict"]["finding"] == "nothing"
    assert said["chosen"] is said["default"] is said["gain"] is None
    assert [each["stage"] for each in said["failures"]] == ["launch", "load"]
    assert said["torn"] == 3


def test_what_was_not_tried_is_in_page_and_summary_once_for_each_reason(tmp_path: Path) -> None:
    omitted = report.Omissions(skipped=SKIPPED)
    report.write(made.head(), SWEEP, parse_goal(), tmp_path, omitted=omitted)
    assert summary(tmp_path)["skipped"] == [
        {"settings": {"instance_count": 5, "intra_op_thread_count": 4}, "reason": CROWDED},
        {"settings": {"max_batch_size": 1}, "reason": "it did not come up"},
    ]
    assert "Not tried" in (tmp_path / "report.html").read_text()


def test_what_was_not_tried_is_kept_for_the_next_report_of_the_same_run(tmp_path: Path) -> None:
    assert report.read_skipped(tmp_path, "1") == ()
    report.write_skipped(tmp_path, "1", SKIPPED)
    assert report.read_skipped(tmp_path, "1") == SKIPPED
    assert report.read_skipped(tmp_path, "2") == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run": "1", "skipped": [3]}'])
def test_a_list_that_is_none_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "skipped.json").write_text(text)
    with pytest.raises(AnalyzerError, match=r"skipped\.json.*remove it"):
        report.read_skipped(tmp_path, "1")


def test_one_row_makes_a_report(tmp_path: Path) -> None:
    report.write(made.head(), SWEEP[:1], parse_goal(), tmp_path)
    assert summary(tmp_path)["chosen"]["variant"] == "resnet50_config_default"


def test_no_row_at_all_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasured, match="run `analyze profile` first"):
        report.write(made.head(), [], parse_goal(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_summary_has_every_part_that_its_schema_names(tmp_path: Path) -> None:
    goal = parse_goal(latency_budget=60)
    report.write(made.head(machine=made.GPU_MACHINE), made.resnet50(gpu=True), goal, tmp_path)
    said = summary(tmp_path)
    assert list(said) == [
        "schema", "model", "run", "started_at", "goal", "verdict", "chosen", "default", "gain",
        "standings", "verification", "pareto", "goodput", "knee", "failures", "skipped", "unstable",
        "torn", "machine", "versions", "options", "commands",
    ]  # fmt: skip
    assert said["goal"]["objectives"] == [
        {"tag": "perf_throughput", "weight": 1.0, "direction": "more"}
    ]
    assert said["goal"]["constraints"] == [{"tag": "perf_latency_p99", "min": None, "max": 60.0}]
    assert said["chosen"]["config"].startswith('name: "resnet50"')
    assert said["chosen"]["variant"] == said["standings"][0]["variant"]
    assert said["gain"]["low"] < said["gain"]["percent"] < said["gain"]["high"]
    assert said["gain"]["proven"] is True
    assert len(said["verification"]) == 8
    assert set(said["commands"]) == {
        "serve",
        "apply",
        "rerank",
        "reproduce",
        "detail",
    }


def test_every_measured_row_is_in_the_summary_once(tmp_path: Path) -> None:
    report.write(made.head(), SWEEP, parse_goal(), tmp_path)
    said = summary(tmp_path)
    numbers = [each["number"] for each in said["verification"] + said["failures"]]
    for standing in said["standings"]:
        numbers += [each["number"] for each in standing["measurements"]]
    assert sorted(numbers) == [row.number for row in SWEEP]


def test_the_summary_is_strict_json_whatever_was_measured(tmp_path: Path) -> None:
    odd = replace(SWEEP[0], metrics={**SWEEP[0].metrics, "perf_network": math.nan})
    report.write(made.head(), [odd, *SWEEP[1:]], parse_goal(), tmp_path)
    text = (tmp_path / "summary.json").read_text()

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(text, parse_constant=refuse)


def test_a_choice_under_a_new_goal_is_served_from_where_it_lies(tmp_path: Path) -> None:
    """The results folder's own choice is that of its profile; a report may choose another."""
    results = tmp_path / "results"
    winner = next(row for row in SWEEP if row.variant == "resnet50_config_3")
    chosen = results / "chosen" / "resnet50" / "config.pbtxt"
    chosen.parent.mkdir(parents=True)
    chosen.write_text(winner.config)
    (results / "variants" / "resnet50_config_default").mkdir(parents=True)
    for objective, words in (
        ("perf_throughput", f"engine serve --chosen {results}"),
        (
            "perf_latency_p99",
            f"engine serve --model-repository {results}/variants/resnet50_config_default",
        ),
    ):
        report.write(
            made.head(), SWEEP, parse_goal([objective]), tmp_path / objective, results=results
        )
        assert summary(tmp_path / objective)["commands"]["serve"] == words


@pytest.mark.parametrize(
    ("rows", "goal"),
    [
        (SWEEP, parse_goal()),
        (made.resnet50(gpu=True), parse_goal(latency_budget=60, cost_per_hour=3.0)),
        (SWEEP, parse_goal(["perf_throughput", "perf_latency_p99"], {"cpu_used_ram": {"max": 1}})),
        ([row for row in SWEEP if row.failure is not None], parse_goal()),
        (SWEEP[:1], parse_goal()),
    ],
)
def test_the_summary_keeps_its_schema(tmp_path: Path, rows: Any, goal: Goal) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((files("analyzer.report") / "summary.schema.json").read_text())
    first, *rest = rows
    rate = Estimate(value=5.0, low=4.0, high=math.inf, n=7, effective_n=6.5)
    first = replace(first, estimates={"perf_throughput": rate})
    report.write(
        made.head(machine=made.GPU_MACHINE), [first, *rest], goal, tmp_path,
        omitted=report.Omissions(torn=1, skipped=SKIPPED),
    )  # fmt: skip
    said = summary(tmp_path)
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(said)] == []
    # Every key that is written is described, and one that goes is missed.
    assert set(said) == set(schema["properties"]) == set(schema["required"])
    described = set(schema["$defs"]["measurement"]["properties"])
    measured = [each for standing in said["standings"] for each in standing["measurements"]]
    assert all(set(each) == described for each in [*measured, *said["verification"]])
    del said["gain"]
    assert not validator.is_valid(said)


def test_only_the_files_that_are_asked_for_are_written(tmp_path: Path) -> None:
    wanted = report.Files(formats=report.formats_of("md, JSON,md"))
    written = report.write(made.head(), SWEEP, parse_goal(), tmp_path, files=wanted)
    assert [path.name for path in written] == ["summary.md", "summary.json"]
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_in_model_analyzers_layout_files_lie_where_it_has_them(tmp_path: Path) -> None:
    wanted = report.Files(
        formats=("html", "csv"), layout=report.Layout.MODEL_ANALYZER, names={INFERENCE: "own.csv"}
    )
    written = report.write(made.head(), SWEEP, parse_goal(), tmp_path, files=wanted)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "reports/summaries/resnet50/result_summary.html"
    ]
    seen = report.gather(made.head(), made.resnet50(gpu=True), parse_goal())
    tables = report.write_tables([seen], tmp_path, wanted)
    assert [str(path.relative_to(tmp_path)) for path in tables] == [
        "results/own.csv", f"results/{GPU}", f"results/{PARETO}",
    ]  # fmt: skip
    cpu = report.gather(made.head(), SWEEP, parse_goal())
    report.write_tables([cpu], tmp_path, wanted)
    assert not (tmp_path / "results" / GPU).exists()


@pytest.mark.parametrize(
    ("formats", "words"),
    [
        ("markdwn", "--format: no format named 'markdwn'; "),
        ("parqet", "did you mean parquet?"),
        (" , ", "expected some of html, json, csv"),
    ],
)
def test_a_format_that_is_none_is_refused(formats: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        report.formats_of(formats)


def test_a_column_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wanted = report.Files(fields=Fields(inference=("perf_thruput",)))
    with pytest.raises(UsageError, match="inference_output_fields: no column named 'perf_thruput'"):
        report.write(made.head(), SWEEP, parse_goal(), tmp_path / "out", files=wanted)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[None]:
    """A program that prints the page it is given as it stands, named as users name theirs."""
    program = tmp_path / "browser"
    program.write_text(
        '#!/bin/sh\nfor word; do case "$word" in\n'
        '--print-to-pdf=*) out="${word#--print-to-pdf=}";;\nfile://*) page="${word#file://}";;\n'
        'esac; done\n{ printf "%%PDF-1.7\\n"; cat "$page"; } > "$out"\n'
    )
    program.chmod(0o755)
    before = os.environ.get(pdf.VARIABLE)
    os.environ[pdf.VARIABLE] = str(program)
    yield
    del os.environ[pdf.VARIABLE]
    if before is not None:
        os.environ[pdf.VARIABLE] = before


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize("formats", [("pdf",), ("html", "pdf")])
def test_pdf_is_the_page_whether_that_is_kept_or_not(
    formats: tuple[str, ...], tmp_path: Path
) -> None:
    wanted = report.Files(formats=formats)
    written = report.write(made.head(), SWEEP[:1], parse_goal(), tmp_path / "out", files=wanted)
    names = ["report.html"] * ("html" in formats) + ["report.pdf"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    text = written[-1].read_text()
    assert text.startswith("%PDF-1.7\n<!doctype html>")
    assert text.rstrip().endswith("</html>")


@pytest.mark.usefixtures("browser")
def test_without_a_browser_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "browser").unlink()
    wanted = report.Files(formats=("json", "pdf"))
    with pytest.raises(UsageError, match="CHROME names"):
        report.write(made.head(), SWEEP[:1], parse_goal(), tmp_path / "out", files=wanted)
    assert not (tmp_path / "out").exists()
