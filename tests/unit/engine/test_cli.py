from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from engine import __version__, examples
from engine.cli import main

COMMANDS = (["serve"], ["check"], ["examples"], ["examples", "build"], ["version"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    last = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()][-1]
    assert last.startswith(f"Example: engine {' '.join(command)}")


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"engine {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["nope"], ["check"], ["serve", "--http-port", "70000"]])
def test_wrong_usage_is_2(argv: list[str]) -> None:
    assert main(argv) == 2


def test_serve_says_everything_wrong_with_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["serve", "--trace-config", "level=OFF", "--http-prot=1", "--allow-grpc=maybe"]
    assert main(argv) == 2
    *lines, hint = capsys.readouterr().err.splitlines()
    starts = ["--trace-config: not available", "--http-prot: no such flag", "--allow-grpc: expect"]
    assert all(line.startswith("engine serve: ") for line in lines)
    for start, line in zip([*starts, "--model-repository: missing"], lines, strict=True):
        assert line.removeprefix("engine serve: ").startswith(start)
    assert hint == "Try 'engine serve --help' for help."


def test_serve_takes_one_source_of_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--chosen", "x", "--model-store", "y"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_winner_that_is_not_there_names_the_command_that_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--chosen", "resnet50", "--results-dir", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    assert f"error: {tmp_path}/resnet50/chosen: not found" in text
    assert "`analyze profile --model resnet50` makes it" in text


def test_examples_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in examples.names())
    assert "Next: engine examples build" in shown


def test_examples_are_listed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(examples.names())
    assert main(["examples", "--format", "csv"]) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    assert [row["summary"] for row in rows] == [one["summary"] for one in listed]


def test_an_example_is_built_and_the_next_command_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "my models"
    assert main(["examples", "build", "identity", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert f"built {output}/identity" in shown
    assert f"engine serve --model-repository '{output}'" in shown
    assert main(["examples", "build", "identity", "--output", str(output)]) == 0
    assert "there already" in capsys.readouterr().out


def test_nothing_is_built_if_one_name_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["examples", "build", "identity", "nope", "--output", str(tmp_path)]) == 1
    assert "error: no example named 'nope'; there are: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_check_finds_nothing_wrong_with_an_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples.build("add_sub", tmp_path)
    assert main(["check", str(tmp_path)]) == 0
    assert "0 errors" in capsys.readouterr().out


def test_check_tells_every_problem_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("add_sub", "identity"):
        examples.build(name, tmp_path)
    config = tmp_path / "add_sub" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: eight"))
    (tmp_path / "identity" / "1" / "model.onnx").unlink()
    line = config.read_text().splitlines().index("max_batch_size: eight") + 1

    assert main(["check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert f"{config}:{line}:" in shown
    assert "model.onnx" in shown

    assert main(["check", str(tmp_path), "--format", "json"]) == 1
    problems = json.loads(capsys.readouterr().out)
    assert {Path(one["file"]).relative_to(tmp_path).parts[0] for one in problems} == {
        "add_sub",
        "identity",
    }
    assert any(one["line"] == line and one["severity"] == "error" for one in problems)
