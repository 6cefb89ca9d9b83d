"""``analyze report``: which files of which models, by command line and Model Analyzer's file."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support import rows as made

from analyzer import reporting, results
from analyzer.errors import UsageError
from analyzer.record.journal import Journal
from analyzer.report import Layout
from analyzer.report.formats import ALWAYS
from analyzer.reporting import Asked
from analyzer.results import Subject, Wanted
from analyzer.workspace import Workspace

THEIRS = """
profile_models: resnet50,other
output_formats: [csv, html]
num_configs_per_model: 5
filename_model_inference: inference.csv
inference_output_fields: model_name,concurrency,perf_throughput
plots:
  p: {title: T, x_axis: perf_latency_p99, y_axis: perf_throughput, monotonic: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of two models."""
    for name in ("resnet50", "other"):
        place = Workspace(tmp_path / "results" / name)
        place.root.mkdir(parents=True)
        sweep = made.Sweep(name)
        sweep.measure(sweep.variant(None), (1, 2))
        sweep.measure(sweep.variant(0, instances=2), (1, 2))
        with Journal.create(place.journal, made.head(name)) as journal:
            for row in sweep.rows:
                journal.append(row)
    return tmp_path


def written(folder: Path, asked: Asked, output: Path | None, *models: str) -> list[str]:
    """The files that a report names, seen from ``folder``."""
    screen = Console(file=StringIO(), width=400)
    every = [
        part
        for model in models
        for part in results.asked(Subject(model=model, export_path=folder / "results"), Wanted())
    ]
    assert reporting.report(every, output, screen, reporting.files_of(asked, None)) == 0
    assert isinstance(screen.file, StringIO)
    lines = screen.file.getvalue().splitlines()
    paths = [Path(line) for line in lines if line.startswith(str(folder))]
    assert all(path.is_file() for path in paths)
    return [str(path.relative_to(folder)) for path in paths]


def test_what_a_file_says_of_reports_is_followed_and_the_command_line_comes_first(
    tmp_path: Path,
) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text(THEIRS)
    files = reporting.files_of(Asked(), file)
    assert files.formats == ("csv", "html", "png")
    assert files.top == 5
    assert files.table("metrics-model-inference.csv") == "inference.csv"
    assert files.fields.inference == ("model_name", "concurrency", "perf_throughput")
    assert [(plot.name, plot.x, plot.monotonic) for plot in files.plots] == [
        ("p", "perf_latency_p99", True)
    ]
    files = reporting.files_of(Asked(formats="md,svg", top=2), file)
    assert (files.formats, files.top) == (("md", "svg"), 2)
    assert reporting.files_of(Asked(), None).formats == ALWAYS
    assert reporting.files_of(Asked(plots=True), None).formats == (*ALWAYS, "png")


def test_reports_of_several_models_in_one_folder_do_not_overwrite_each_other(folder: Path) -> None:
    asked = Asked(formats="json")
    assert written(folder, asked, folder / "out", "resnet50", "other") == [
        "out/resnet50/summary.json", "out/other/summary.json",
    ]  # fmt: skip
    assert written(folder, asked, folder / "one", "other") == ["one/summary.json"]
    assert written(folder, asked, None, "other") == ["results/other/summary.json"]


def test_model_analyzers_layout_has_one_table_for_all_models(folder: Path) -> None:
    asked = Asked(formats="csv,html", layout=Layout.MODEL_ANALYZER)
    assert written(folder, asked, folder / "out", "resnet50", "other") == [
        "out/reports/summaries/resnet50/result_summary.html",
        "out/reports/summaries/other/result_summary.html",
        "out/results/metrics-model-inference.csv",
        "out/results/metrics-pareto.csv",
    ]
    text = (folder / "out/results/metrics-model-inference.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()] == [
        "Model", *["resnet50"] * 4, *["other"] * 4, "",
    ]  # fmt: skip
    beside = written(folder, Asked(formats="csv", layout=Layout.MODEL_ANALYZER), None, "other")
    assert beside[0] == "results/results/metrics-model-inference.csv"


def test_what_cannot_be_written_here_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format: no format named 'doc'"):
        reporting.files_of(Asked(formats="html,doc"), None)
    file = tmp_path / "perf.yaml"
    file.write_text("output_formats: [doc]\n")
    with pytest.raises(UsageError, match=r"perf\.yaml:1: output_formats"):
        reporting.files_of(Asked(), file)
