"""``analyze apply --undo``: what was replaced together comes back together, the last first."""

import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.deployments import config, profiled, rows

from analyzer import results, workspace
from analyzer.deployment.undo import undo
from analyzer.errors import UsageError
from analyzer.workspace import Workspace

MINE = "# mine\r\nmax_batch_size: 4\r\n"


def pipeline(tmp_path: Path) -> Workspace:
    """Results of a model that calls another: the winner has two instances of one, three of both."""
    made = tuple(
        replace(each, composing={"a": config(1 if "default" in each.variant else 3, "a")})
        for each in rows()
    )
    place = profiled(tmp_path, made)
    for name in ("m", "a"):
        (tmp_path / "models" / name / "config.pbtxt").write_bytes(MINE.encode())
    return place


def said(tmp_path: Path, *, dry_run: bool = False) -> str:
    console = Console(file=StringIO(), width=200)
    repository = tmp_path / "models"
    assert undo("m", tmp_path / "results", repository, console, yes=True, dry_run=dry_run) == 0
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def apply(place: Workspace, tmp_path: Path) -> None:
    silent = Console(file=StringIO())
    assert results.apply(place, tmp_path / "models", silent, yes=True) == 0


def text(tmp_path: Path, name: str) -> str:
    return (tmp_path / "models" / name / "config.pbtxt").read_bytes().decode()


def test_what_was_applied_is_taken_back_to_the_letter(tmp_path: Path) -> None:
    place = pipeline(tmp_path)
    apply(place, tmp_path)
    applied = text(tmp_path, "a")
    assert applied != MINE
    shown = said(tmp_path, dry_run=True)
    assert "+max_batch_size: 4" in shown
    assert text(tmp_path, "a") == applied
    told = said(tmp_path)
    assert "is as it was" in told
    for name in ("m", "a"):
        assert text(tmp_path, name) == MINE
        assert (tmp_path / "models" / name / "config.pbtxt.before-undo").read_text()
        assert not workspace.kept_configs(tmp_path / "models" / name)


def test_only_what_was_replaced_together_comes_back(tmp_path: Path) -> None:
    place = pipeline(tmp_path)
    apply(place, tmp_path)
    both = text(tmp_path, "a")
    (tmp_path / "models" / "m" / "config.pbtxt").write_text("max_batch_size: 2\n")
    apply(place, tmp_path)
    kept = workspace.kept_configs(tmp_path / "models" / "m")
    assert [path.name for path in kept] == [
        "config.pbtxt.before-apply", "config.pbtxt.before-apply-2"
    ]  # fmt: skip
    said(tmp_path)
    assert text(tmp_path, "m") == "max_batch_size: 2\n"
    assert text(tmp_path, "a") == both, "which the second apply left as it was"
    said(tmp_path)
    assert (text(tmp_path, "m"), text(tmp_path, "a")) == (MINE, MINE)
    with pytest.raises(UsageError, match="has replaced nothing there"):
        said(tmp_path)


def test_where_there_was_none_there_is_none_again(tmp_path: Path) -> None:
    place = pipeline(tmp_path)
    (tmp_path / "models" / "m" / "config.pbtxt").unlink()
    apply(place, tmp_path)
    assert (tmp_path / "models" / "m" / "config.pbtxt").is_file()
    said(tmp_path)
    assert not (tmp_path / "models" / "m" / "config.pbtxt").exists()


def test_all_models_are_written_or_none(tmp_path: Path) -> None:
    place = pipeline(tmp_path)
    blocked = tmp_path / "models" / "a" / f".config.pbtxt.{os.getpid()}.new"
    blocked.mkdir()
    with pytest.raises(OSError, match="directory"):
        apply(place, tmp_path)
    assert (text(tmp_path, "m"), text(tmp_path, "a")) == (MINE, MINE)
    assert not list((tmp_path / "models").glob("*/config.pbtxt.before-*"))


def test_without_results_the_model_is_taken_at_its_name(tmp_path: Path) -> None:
    place = pipeline(tmp_path)
    apply(place, tmp_path)
    place.journal.unlink()
    said(tmp_path)
    assert text(tmp_path, "m") == MINE
