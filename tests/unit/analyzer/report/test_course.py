"""How the search went, and how far its foresight can be trusted."""

from dataclasses import replace

import pytest
from support import full_rows
from support import rows as made

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Row, Why
from analyzer.report import course, course_charts
from analyzer.report.evidence import Evidence, gather

SWEEP = full_rows.resnet50()


def evidence(rows: tuple[Row, ...] = SWEEP, budget: float | None = None) -> Evidence:
    return gather(made.head(), rows, parse_goal(latency_budget=budget))


def test_what_leads_never_falls_back_and_ends_at_the_best_of_the_search() -> None:
    steps = course.course(evidence())
    assert [step.number for step in steps] == [row.number for row in SWEEP]
    best = [step.best for step in steps if step.best is not None]
    assert best == sorted(best)
    assert best[-1] == max(
        row.metrics["perf_throughput"] for row in SWEEP if row.metrics and row.trial.phase.ranks
    )


def test_a_fast_row_that_breaks_a_constraint_does_not_lead() -> None:
    seen = evidence(budget=60)
    for row, led in zip(seen.rows, course.leaders(seen), strict=True):
        if led is not None and any(
            each.failure is None and seen.goal.satisfied(each.metrics)
            for each in seen.rows[: row.number + 1]
        ):
            assert seen.goal.satisfied(led.metrics)
    steps = course.course(seen)
    assert {step.keeps for step in steps if step.value is not None} == {True, False}


def test_failed_measurements_stand_at_the_foot_with_their_stage() -> None:
    (chart,) = [each for each in _drawn(evidence()) if each.name == "course"]
    traces = {trace["name"]: trace for trace in chart.figure["data"]}
    failed = [row for row in SWEEP if row.failure is not None]
    assert traces["failed or without a value"]["x"] == [row.number for row in failed]
    assert all("failed at" in text for text in traces["failed or without a value"]["text"])
    marks = {name: trace["marker"]["symbol"][0] for name, trace in traces.items()
             if name in {"search", "load curve", "verification"}}  # fmt: skip
    assert len(set(marks.values())) == 3, "told apart by more than colour"


def test_errors_of_predictions_are_shares_of_what_was_measured() -> None:
    rows = tuple(
        replace(
            row,
            metrics={"perf_throughput": 100.0},
            trial=replace(row.trial, why=Why("", {"perf_throughput": 100.0 + error})),
        )
        for row, error in zip(SWEEP, (0, -10, 20, -30, 40), strict=False)
    )
    (found,) = course.foresight(evidence(rows))
    assert found.half == pytest.approx(0.2)
    assert found.most == pytest.approx(0.4)
    assert len(found.guesses) == 5


def test_each_metric_that_was_foreseen_is_drawn_against_a_line() -> None:
    charts = {chart.name: chart for chart in _drawn(evidence())}
    assert set(charts) == {
        "course",
        "foreseen-perf_throughput",
        "foreseen-perf_latency_p99",
    }
    line, points = charts["foreseen-perf_throughput"].figure["data"]
    assert line["x"] == line["y"]
    assert len(points["x"]) == len([row for row in SWEEP if row.failure is None])
    assert "Half of 29 predictions were off by at most" in charts["foreseen-perf_throughput"].note


def test_rows_that_say_nothing_of_what_was_foreseen_have_no_such_chart() -> None:
    assert [chart.name for chart in _drawn(evidence(made.resnet50()))] == ["course"]


def _drawn(seen: Evidence) -> tuple[course_charts.Chart, ...]:
    return course_charts.draw(course.course(seen), course.objective(seen), course.foresight(seen))
