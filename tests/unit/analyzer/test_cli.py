"""The command line: codes and what is said, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analyzer.cli import app, main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_config_prints_values_with_their_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("profile_models: m\nseed: 3\n")
    code, out, err = run(
        capsys, "config", str(file), "--latency-budget", "5", "--triton-server-path", "x"
    )
    assert (code, err) == (0, "")
    assert f"# {file}:2" in out
    assert "# --latency-budget" in out
    assert "# --triton-server-path; no effect: `engine serve` is started" in out
    code, out, _ = run(capsys, "config", str(file), "--format", "json")
    assert json.loads(out)["options"]["seed"]["source"] == f"{file}:2"


def test_config_tells_every_mistake_with_its_line_and_ends_in_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("profile_models: m\nsed: 3\nrun_config_search_mode: brutal\nbatch_sizes: x\n")
    code, out, err = run(capsys, "config", str(file))
    assert (code, out) == (2, "")
    assert [line.partition(f"{file}:")[2].partition(":")[0] for line in err.splitlines()] == [
        "2", "3", "4", "",
    ]  # fmt: skip
    assert err.endswith("3 errors\n")
    assert "did you mean seed?" in err


def test_profile_says_of_one_mistake_that_it_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "perf.yaml"
    file.write_text("profile_models: m\nmodel_type: LLM\n")
    code, _, err = run(capsys, "profile", "-f", str(file), "--dry-run")
    assert code == 2
    assert err.startswith(f"error: {file}:2: model_type: not available here: ")


def test_model_analyzers_flags_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(
        capsys, "profile", "--profile-models", "m", "--model-type", "LLM", "-r", "5",
        "--run-config-search-disable", "--always_report-gpu-metrics", "-s", "there",
    )  # fmt: skip
    assert code == 2
    assert err == (
        "error: --model-type: not available here: language models are not profiled yet; generic "
        "profiles a model by its requests\n"
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("profile", "--run-config-search-max-model-batch-size"),
        ("perf", "--periodic-concurrency-range"),
    ],
)
@pytest.mark.parametrize("columns", [80, 200])
def test_names_of_flags_are_whole_on_every_terminal(command: str, name: str, columns: int) -> None:
    found = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": str(columns)})
    assert name in found.output
    assert "…" not in found.output
    assert max(map(len, found.output.splitlines())) <= columns


def test_a_check_against_itself_writes_no_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", "--aa", "--model", "m", "--junit", "a.xml", "--bmf", "b")
    assert code == 2
    assert "--junit, --bmf: --aa judges nothing; what it finds goes to --json and" in err
