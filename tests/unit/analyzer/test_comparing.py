"""``analyze compare``: what is compared, under which names and goal, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.single_rows import head, row

from analyzer.comparing import runs
from analyzer.comparing.runs import Asked
from analyzer.errors import UsageError
from analyzer.record.journal import Journal
from analyzer.results import GOAL, Wanted
from analyzer.workspace import Workspace


def profiled(folder: Path, rate: float, model: str = "m") -> Path:
    """Make the results of a model whose one other configuration reaches this rate."""
    place = Workspace(folder)
    place.root.mkdir(parents=True)
    with Journal.create(place.journal, replace(head({}), model=model)) as journal:
        for name, number, value in (("default", 0, 100.0), ("0", 1, rate)):
            measured = row(name, number, perf_throughput=value, perf_latency_p99=1000 / value)
            variant = measured.variant.replace("m_", f"{model}_", 1)
            journal.append(replace(measured, model=model, variant=variant))
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return profiled(tmp_path / "old" / "m", 200.0)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return profiled(tmp_path / "new" / "m", 300.0)


def names(*subjects: str | Path, export_path: Path = Path("results")) -> tuple[str, ...]:
    asked = Asked(subjects=tuple(map(str, subjects)), export_path=export_path)
    return runs.compared(asked).names


def test_runs_of_one_model_are_named_by_what_tells_their_folders_apart(
    old: Path, new: Path
) -> None:
    assert names(old, new) == ("old", "new")
    assert names(old / "journal.jsonl", f"{new}/") == ("old", "new")
    assert names(f"before={old}", new) == ("before", "new")


def test_different_models_have_their_own_names(old: Path, tmp_path: Path) -> None:
    profiled(tmp_path / "old" / "other", 50.0, "other")
    assert names("m", "other", export_path=old.parent) == ("m", "other")


def test_one_goal_ranks_all_of_them_the_first_ones_unless_one_is_stated(
    old: Path, new: Path
) -> None:
    plain = {"objectives": {"perf_latency_p99": 1}, "constraints": {}}
    (old / GOAL).write_text(json.dumps(plain))
    asked = Asked(subjects=(str(old), str(new)))
    assert runs.compared(asked).goal == "minimizing p99 latency"
    stated = replace(asked, wanted=Wanted(objectives=["perf_throughput"]))
    assert runs.compared(stated).goal == "maximizing throughput"


def test_the_page_goes_to_a_file_and_the_rest_to_the_terminal(old: Path, new: Path) -> None:
    said = StringIO()
    asked = Asked(subjects=(str(old), str(new)), export_path=old.parent)
    assert runs.compare(asked, Console(file=said, width=200)) == 0
    page = old.parent / "comparison.html"
    assert said.getvalue().splitlines() == [
        "new measured 50% higher throughput than old", str(page)
    ]  # fmt: skip
    assert "<h1>new measured 50% higher throughput than old</h1>" in page.read_text()
    said = StringIO()
    assert runs.compare(replace(asked, form="json"), Console(file=said, width=20)) == 0
    assert json.loads(said.getvalue())["runs"][1]["metrics"]["perf_throughput"] == 300.0
    target = old.parent / "deeper" / "comparison.md"
    runs.compare(replace(asked, form="md", output=target), Console(file=StringIO()))
    assert target.read_text().startswith("## new measured 50%")


def test_what_cannot_be_compared_is_refused(old: Path, new: Path) -> None:
    for subjects, words in (
        ((old,), "name two runs or more"),
        ((old, old / "journal.jsonl"), "is named twice"),
        ((f"x={old}", f"x={new}"), "x is named twice"),
        ((old, "nowhere"), "no results of 'nowhere'"),
    ):
        with pytest.raises(UsageError, match=words):
            names(*subjects)
