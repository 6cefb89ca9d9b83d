"""The README's commands are run as they stand; only ports, times and folders are made to fit."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import commands
from support.serving import Server, serving

ROOT = Path(__file__).parent.parent.parent
TOUR = (ROOT / "README.md").read_text().split("## A tour", 1)[1].split("## What comes", 1)[0]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TOUR, re.MULTILINE | re.DOTALL)
# Enough to go every step of the way; the figures are not what is tested here.
FAST = "--measurement-interval 60 --stability-percentage 100 --verify-pairs 2 --search-time 2"

OURS = {"analyze": commands.analyze, "engine": commands.engine}
SHORT = " --max-seconds 0.3"


def tour(language: str = "") -> Iterator[str]:
    for found, text in BLOCKS:
        if found == language:
            whole = text if language else re.sub(r"\n(?=  )", " ", text)
            yield from [whole] if language else whole.strip().splitlines()


def shell(command: str, cwd: Path, server: Server | None = None) -> str:
    program, *words = shlex.split(command)
    if program in OURS:
        if words[0] == "profile":
            words += shlex.split(FAST)
        elif server is not None:
            words += ["-u", "localhost:8000"]
    if server is not None:
        words = [
            word.replace("localhost:8000", server.http).replace("localhost:8002", server.metrics)
            for word in words
        ]
    if program in OURS:
        said = OURS[program](*words, cwd=cwd)
        assert said.code == 0, f"{command}\n{said.text}"
        return said.out
    done = subprocess.run(
        [program, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_page_of_the_documentation_is_linked_once_in_the_list_of_pages() -> None:
    pages = (ROOT / "README.md").read_text().split("## The pages", 1)[1].split("## More", 1)[0]
    linked = re.findall(r"^- \[(docs/[\w-]+\.md)\]\(\1\): \S", pages, re.MULTILINE)
    assert sorted(linked) == sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))


def test_the_tour_can_be_walked_from_its_first_step_to_its_last(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    walked = []
    steps = [
        command for command in tour()
        if not command.startswith(("curl", "analyze perf", "analyze make-input"))
    ]  # fmt: skip
    for command in steps:
        if command.startswith("engine serve"):
            with serving(*serve_flags(command, tmp_path), folder=tmp_path) as server:
                assert "READY" in server.log()
        else:
            shell(command, tmp_path)
        # It says what would be, and leaves no measurement.
        if command.startswith("analyze profile") and "--dry-run" in command:
            assert not list(tmp_path.rglob("journal.jsonl"))
        walked.append(command.split()[:2])
    for step in (["engine", "serve"], ["engine", "check"], ["analyze", "profile"],
                 ["analyze", "report"], ["analyze", "apply"]):  # fmt: skip
        assert step in walked
    assert (tmp_path / "results" / "add_sub" / "report.html").exists()
    assert (tmp_path / "more-results" / "add_sub" / "report.html").exists()
    assert (tmp_path / "latency-first" / "report.html").exists()


def serve_flags(command: str, folder: Path) -> list[str]:
    """The flags of a serve command, seen from the test's own folder."""
    words = shlex.split(command)[2:]
    if "--chosen" in words:
        return ["--chosen", str(folder / "results" / words[words.index("--chosen") + 1])]
    return ["--model-repository", str(folder / words[words.index("--model-repository") + 1])]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_requests_of_the_tour_are_answered(tmp_path: Path) -> None:
    shell("engine examples build add_sub identity --output models", tmp_path)
    with serving("--model-repository", str(tmp_path / "models"), folder=tmp_path) as server:
        answers = [
            shell(command, tmp_path, server) for command in tour() if command.startswith("curl")
        ]
        assert len(answers) == 3
        assert '"name":"add_sub"' in answers[0]
        assert '"OUTPUT0"' in answers[1]
        assert "nv_inference_request_success" in answers[2]
        for command in tour():
            if command.startswith(("analyze perf", "analyze make-input")):
                quick = "" if "make-input" in command or "count" in command else SHORT
                shell(command + quick, tmp_path, server)
        assert (tmp_path / "add_sub.csv").read_text().startswith("Concurrency,Inferences/Second,")
        (snippet,) = tour("python")
        done = subprocess.run(
            [sys.executable, "-c", snippet.replace("localhost:8000", server.http)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "1. 1. 1." in done.stdout


def test_the_first_two_commands_can_be_printed_by_themselves() -> None:
    for name, words in (("run", "analyze profile --model resnet50"), ("test", "pytest")):
        printed = subprocess.run(
            [ROOT / "scripts" / "readme-command", name], capture_output=True, text=True, check=True
        ).stdout
        assert printed.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert words in printed
        assert printed.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    ["profile", "config", "report", "results", "compare", "apply", "perf", "make-input"],
)
def test_every_command_ends_its_help_with_an_example(command: str) -> None:
    said = commands.analyze(command, "--help", cwd=ROOT)
    assert said.code == 0
    assert f"Example: analyze {command}" in said.out
