"""``analyze results``: what is picked, in which order, and what a terminal and a program see."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support import rows as made

from analyzer.errors import UsageError
from analyzer.listing import compose
from analyzer.listing.lists import Name, listed
from analyzer.listing.query import Query, parse
from analyzer.ranking.goal import parse_goal
from analyzer.record.journal import Journal
from analyzer.record.row import Row
from analyzer.report.evidence import Evidence, gather
from analyzer.report.flat import Record
from analyzer.results import Wanted
from analyzer.workspace import Workspace

SWEEP = made.resnet50()


def evidence(rows: tuple[Row, ...] = SWEEP, budget: float | None = None) -> Evidence:
    return gather(made.head(), rows, parse_goal(latency_budget=budget))


def picked(query: Query, name: Name = Name.MEASUREMENTS) -> tuple[Record, ...]:
    return listed(evidence(), name, query, brief=False).records


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Results of the made sweep."""
    found = Workspace(tmp_path_factory.mktemp("results") / "resnet50")
    found.root.mkdir()
    with Journal.create(found.journal, made.head()) as journal:
        for row in SWEEP:
            journal.append(row)
    return found


def shown(
    place: Workspace,
    query: Query,
    form: str = "table",
    tables: str | None = None,
    *,
    width: int | None = None,
) -> str:
    """What is printed: on a terminal of a width, or into a pipe."""
    screen = Console(
        file=StringIO(), width=width or 80, force_terminal=width is not None, color_system=None,
        soft_wrap=width is None,
    )  # fmt: skip
    assert compose.show(place, Wanted(), tables, query, form, screen) == 0
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("perf_latency_p99<=60", lambda row: row.metrics["perf_latency_p99"] <= 60),
        ("perf_latency < 60", lambda row: row.metrics["perf_latency_p99"] < 60),
        ("concurrency>=16", lambda row: row.load.concurrency >= 16),
        ("concurrency=4", lambda row: row.load.concurrency == 4),
        ("phase=verify", lambda row: row.trial.phase.value == "verify"),
        ("variant!=resnet50_config_3", lambda row: row.variant != "resnet50_config_3"),
        ("variant == config_3", lambda row: row.variant == "resnet50_config_3"),
        ("stable=yes", lambda row: row.stable),
        ("dynamic_batching!=true", lambda row: not row.settings["dynamic_batching"]),
        (
            "max_queue_delay_microseconds>=100",
            lambda row: row.settings.get("max_queue_delay_microseconds", 0) >= 100,
        ),
    ],
)
def test_conditions_keep_the_rows_for_which_they_hold(condition: str, holds: object) -> None:
    assert callable(holds)
    measured = [row for row in SWEEP if row.failure is None]
    wanted = [row.number for row in measured if holds(row)]
    assert 0 < len(wanted) < len(measured)
    assert [record["number"] for record in picked(parse([condition]))] == wanted


def test_several_conditions_all_have_to_hold_and_what_is_not_known_meets_none() -> None:
    both = picked(parse(["phase=search", "perf_latency_p99<=60"]))
    assert all(record["phase"] == "search" for record in both)
    assert picked(parse(["gpu_used_memory>=0"])) == ()
    assert len(picked(parse(["gpu_used_memory!=0"]))) == len(evidence().measured)


def test_the_better_end_comes_first_and_what_is_not_known_last() -> None:
    rates = [record["perf_throughput"] for record in picked(parse(sort=["perf_throughput"]))]
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    late = [record["perf_latency_p99"] for record in picked(parse(sort=["perf_latency_p99"]))]
    assert late == sorted(late)  # type: ignore[type-var]
    turned = [record["perf_latency_p99"] for record in picked(parse(sort=["perf_latency:desc"]))]
    assert turned == late[::-1]
    delays = [record["max_queue_delay_microseconds"] for record in
              picked(parse(sort=["max_queue_delay_microseconds:desc"]))]  # fmt: skip
    known = [each for each in delays if each is not None]
    assert delays[: len(known)] == sorted(known, reverse=True)
    two = picked(parse(sort=["phase,concurrency:desc"]))
    keys = [(str(record["phase"]), -int(record["concurrency"] or 0)) for record in two]
    assert keys == sorted(keys)


def test_top_and_columns_take_a_part() -> None:
    found = listed(evidence(), Name.BEST, parse(columns="percent, variant,load", top=2), brief=True)
    assert [each.name for each in found.columns] == ["percent", "variant", "load"]
    assert len(found.records) == 2
    assert found.whole == len(evidence().standings)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"where": ["perf_latency_p99"]}, "--where: expected COLUMN, one of"),
        ({"where": ["perf_latency_p9<=3"]}, "--where: no column named 'perf_latency_p9'; did you"),
        ({"where": ["perf_latency_p99<=fast"]}, "expected a number behind the sign"),
        ({"where": ["variant<=3"]}, "variant is no number; compare it by = or !="),
        ({"where": ["stable=maybe"]}, "expected yes or no behind the sign"),
        ({"sort": ["perf_throughput:up"]}, "--sort: expected COLUMN, COLUMN:asc or COLUMN:desc"),
        ({"sort": ["throughput_perf"]}, "--sort: no column named"),
        ({"columns": "variant,lod"}, "--columns: no column named 'lod'; did you mean load"),
        ({"columns": " , "}, "--columns: expected names apart by commas"),
    ],
)
def test_a_query_that_cannot_be_is_refused_with_what_was_meant(
    query: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        picked(parse(**query))  # type: ignore[arg-type]
    assert words in caught.value.message


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_is_never_too_narrow_and_numbers_are_whole(place: Workspace, width: int) -> None:
    text = shown(place, parse(), width=width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    best = evidence().standings[0]
    assert "config_3 *" in text
    assert f"{best.best.metrics['perf_throughput']:.1f}" in text
    assert ("Not shown for want of room" in text) is (width < 120)
    assert "Failed" in text
    assert "exit code 137" in " ".join(text.split()) or width == 60


def test_a_pipe_gets_whole_lines_without_colour(place: Workspace) -> None:
    names = (
        "variant,instance_group,max_batch_size,perf_throughput,perf_latency_p99,perf_latency_avg"
    )
    text = shown(place, parse(columns=f"{names},cpu_used_ram,cpu_utilization,taken_at"))
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if line.startswith("config_3 *")]
    assert len(lines) == 1
    assert len(lines[0].split()) >= 10


def test_nothing_that_is_as_asked_for_is_said(place: Workspace) -> None:
    text = shown(place, parse(["perf_throughput>=1000000"]), tables="best")
    assert f"none of {len(evidence().standings)} is as asked for" in text


def test_json_has_the_tables_by_name_with_values_of_their_types(place: Workspace) -> None:
    found = json.loads(shown(place, parse(top=3), "json", "best,failures"))
    assert set(found) == {"model", "run", "goal", "best", "failures"}
    assert len(found["best"]) == 3
    first = found["best"][0]
    assert first["chosen"] is True
    assert isinstance(first["perf_throughput"], float)
    assert "config" not in first
    assert {each["failure_stage"] for each in found["failures"]} == {"launch", "load"}


def test_csv_is_one_table(place: Workspace) -> None:
    found = list(csv.DictReader(shown(place, parse(), "csv", "measurements").splitlines()))
    assert len(found) == len(evidence().measured)
    assert float(found[0]["perf_throughput"]) == SWEEP[0].metrics["perf_throughput"]
    assert found[0]["request_rate" if "request_rate" in found[0] else "variant"]
    with pytest.raises(UsageError, match="has one table, and best and pareto are asked for"):
        shown(place, parse(), "csv", "best,pareto")
    with pytest.raises(UsageError, match="no table named 'pareot'; did you mean pareto"):
        shown(place, parse(), "csv", "pareot")


def test_a_limit_has_a_column_of_who_keeps_it() -> None:
    found = listed(evidence(budget=60), Name.BEST, parse(), brief=True)
    assert "satisfies" in [each.name for each in found.columns]
    assert {record["satisfies"] for record in found.records} == {True, False}


def test_rates_of_an_open_loop_are_told_as_such() -> None:
    rows = tuple(replace(row, load=replace(row.load, request_rate=2.5)) for row in SWEEP)
    found = listed(evidence(rows), Name.MEASUREMENTS, parse(), brief=True)
    assert {record["load"] for record in found.records} == {"2.5/s"}
    assert {record["concurrency"] for record in found.records} == {None}


def test_results_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    empty = Workspace(tmp_path)
    with pytest.raises(Exception, match="journal"):
        shown(empty, parse())


def test_what_is_less_precise_than_asked_for_is_marked(place: Workspace) -> None:
    text = shown(place, parse(["variant=config_4"]), tables="measurements,failures")
    assert "config_4 ?" in text
    assert "? less precise than was asked for" in text
    assert "?" not in shown(place, parse(), tables="failures")
