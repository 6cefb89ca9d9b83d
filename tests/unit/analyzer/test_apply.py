"""``apply``: what it writes, what it leaves alone, and that its diff is one for ``patch``."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.single_rows import head, row

from analyzer import results, workspace
from analyzer.errors import UsageError
from analyzer.record.journal import Journal, read
from analyzer.workspace import Workspace

MINE = "# my words\nmax_batch_size: 8\n" + "# a line that is longer than eighty columns\n" * 3
LONG = "# " + "long " * 40


def profiled(tmp_path: Path, *, better: float) -> tuple[Workspace, Path]:
    """A model in a repository, and results in which a variant came out ``better`` times as fast."""
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f"{MINE}{LONG}\n", encoding="utf-8")
    place = Workspace(tmp_path / "results" / "m")
    place.root.mkdir(parents=True)
    rows = (
        replace(row("default", 0, perf_throughput=100.0), config='name: "m"\nmax_batch_size: 8\n'),
        replace(
            row("0", 1, perf_throughput=100.0 * better), config='name: "m"\nmax_batch_size: 16\n'
        ),
    )
    options = {"model_digest": workspace.fingerprint(folder)}
    with Journal.create(place.journal, head(options)) as journal:
        for each in rows:
            journal.append(each)
    return place, folder / "config.pbtxt"


def applied(place: Workspace, target: Path) -> str:
    console = Console(file=StringIO(), width=80)
    assert results.apply(place, target.parent.parent, console, yes=True) == 0
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_default_that_won_leaves_the_users_file_as_it_is(tmp_path: Path) -> None:
    place, target = profiled(tmp_path, better=0.5)
    before = target.read_text()
    assert "stays as it is" in applied(place, target)
    assert target.read_text() == before
    assert not (target.parent / "config.pbtxt.before-apply").exists()


def test_a_default_that_won_is_written_over_what_was_not_profiled(tmp_path: Path) -> None:
    place, target = profiled(tmp_path, better=0.5)
    target.write_text("max_batch_size: 2\n")
    applied(place, target)
    assert target.read_text() == "max_batch_size: 8\n", "what the user left out stays out"


def test_a_variant_that_won_is_written_and_the_diff_is_whole_where_nobody_reads_it(
    tmp_path: Path,
) -> None:
    place, target = profiled(tmp_path, better=2.0)
    before = target.read_text()
    said = applied(place, target).splitlines()
    assert f"-{LONG.rstrip()}" in [line.rstrip() for line in said]
    assert "+max_batch_size: 16" in said
    assert target.read_text() == "max_batch_size: 16\n"
    assert (target.parent / "config.pbtxt.before-apply").read_text() == before


def test_a_dry_run_shows_the_difference_and_its_gain_and_writes_nothing(tmp_path: Path) -> None:
    place, target = profiled(tmp_path, better=2.0)
    before = target.read_text()
    console = Console(file=StringIO(), width=200)
    assert results.apply(place, target.parent.parent, console, yes=False, dry_run=True) == 0
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert "+max_batch_size: 16" in said
    assert "No proven gain over the default configuration" in said
    assert target.read_text() == before


def test_what_another_program_measured_cannot_be_applied(tmp_path: Path) -> None:
    place, target = profiled(tmp_path, better=2.0)
    contents = read(place.journal)
    place.journal.unlink()
    with Journal.create(place.journal, contents.head) as journal:
        for each in contents.rows:
            journal.append(replace(each, config=""))
    with pytest.raises(UsageError, match="so there is nothing to apply"):
        applied(place, target)
