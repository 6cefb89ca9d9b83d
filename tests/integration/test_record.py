"""`analyze record` as a user runs it: stopped, gone on with, and complete."""

from __future__ import annotations

from pathlib import Path

from support import commands

from analyzer.surface import stored

FLAGS = (
    "record", "--model", "add_sub", "--run-config-search-disable", "--concurrency", "1,4",
    "--min-seconds", "0.2", "--max-seconds", "0.5", "--repetitions", "1",
)  # fmt: skip


def analyze(cwd: Path, *more: str) -> str:
    done = commands.analyze(*FLAGS, "--output", "add_sub.jsonl", *more, cwd=cwd)
    assert done.code == 0, done.text
    return done.out


def test_a_recording_that_is_stopped_goes_on_and_ends_with_a_surface(tmp_path: Path) -> None:
    said = analyze(tmp_path, "--max-time", "1")
    assert "not complete: the same command goes on" in said
    assert "2 measurements are in add_sub.jsonl.\n" in analyze(tmp_path)
    surface = stored.read(tmp_path / "add_sub.jsonl")
    assert len(surface.truths) == 2
    assert all(metrics["perf_throughput"] > 0 for metrics in surface.truths.values())
    assert all(len(taken) == 1 for taken in surface.launches.values())
    assert set(surface.served.configs) == {"add_sub"}
