"""`analyze history`: stored runs, and the commit that changed them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from analyzer.errors import UsageError
from analyzer.gate import options, past
from analyzer.gate.baseline import Baseline
from analyzer.gate.options import HistoryOptions
from analyzer.gate.store import Store
from analyzer.gate.values import Block, Side


def measured(day: int, rate: float, cpu: str = "x") -> Baseline:
    block = Block(
        side=Side.CANDIDATE, pair=0, launch=0, values={"perf_throughput": rate},
    )  # fmt: skip
    return Baseline(
        taken_at=f"2030-01-{day:02d}T00:00:00+00:00", commit=f"commit-{day}", engine_version="1",
        environment={"cpu": cpu}, checks={"closed": (block,)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten fast runs and six slow ones of one machine, and one run of another before them."""
    place = tmp_path_factory.mktemp("baselines")
    store = Store(place)
    store.keep("main", measured(1, 5000.0, cpu="y"), promote=True)
    for day in range(2, 18):
        level = 1000.0 if day < 12 else 900.0
        store.keep("main", measured(day, level + day % 3), promote=True)
    return place


def shown(folder: Path, **given: object) -> str:
    out = io.StringIO()
    asked = HistoryOptions(baseline="main", baseline_dir=folder, **given)  # type: ignore[arg-type]
    assert past.show(asked, Console(file=out, width=200)) == 0
    return out.getvalue()


def test_the_commit_that_changed_a_level_for_good_is_named(folder: Path) -> None:
    text = shown(folder, change_points=True)
    (line,) = [each for each in text.splitlines() if "from here on" in each]
    assert "commit-12" in line
    assert "-10.0 % from here on, worse" in line
    assert "1 runs of other machines are left out" in text
    assert "from here on" not in shown(folder)
    assert "no change" in shown(folder, change_points=True, margin=0.2)


def test_it_can_be_read_by_programs(folder: Path) -> None:
    (one,) = json.loads(shown(folder, change_points=True, json=True, metrics=("throughput",)))
    assert (one["check"], one["metric"], len(one["runs"])) == ("closed", "perf_throughput", 16)
    (change,) = one["changes"]
    assert change["commit"] == "commit-12"
    assert change["chance"] < 0.001


def test_what_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(UsageError, match="no check named open; there: closed"):
        shown(folder, names=("open",))
    with pytest.raises(UsageError, match="no run measured p50"):
        shown(folder, metrics=("p50",))
    with pytest.raises(UsageError, match="no metric or counter is named"):
        shown(folder, metrics=("speed",))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    assert options.seconds(text, "--max-time") == seconds


def test_a_wrong_time_or_share_names_its_flag() -> None:
    with pytest.raises(UsageError, match="--max-time: expected a time"):
        options.seconds("soon", "--max-time")
    with pytest.raises(UsageError, match="--margin: expected per cent"):
        options.share("some", "--margin")
    assert options.share("2%", "--margin") == options.share("2", "--margin") == 0.02
