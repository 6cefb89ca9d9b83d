"""The first three answers: no more than the verdict allows."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support import rows as made

from analyzer.ranking.goal import Goal, parse_goal
from analyzer.record.row import Phase, Row
from analyzer.report.briefing import Answer, brief
from analyzer.report.evidence import gather
from analyzer.report.verdict import judge

SWEEP = made.resnet50()
NO_CHECKS = tuple(row for row in SWEEP if row.trial.phase is not Phase.VERIFY)


def answers(rows: Sequence[Row], goal: Goal | None = None) -> tuple[Answer, ...]:
    evidence = gather(made.head(), rows, goal or parse_goal())
    return brief(evidence, judge(evidence))


def test_a_verified_gain_is_told_with_its_interval_which_lies_right_of_zero() -> None:
    gained, sure, _ = answers(SWEEP)
    evidence = gather(made.head(), SWEEP, parse_goal())
    assert evidence.gain is not None
    assert gained.answer == f"+{evidence.gain.percent:.0f}%"
    assert gained.said.startswith("Throughput over the default; 95% interval")
    span = gained.span
    assert span is not None
    assert 0 <= span.zero < span.low < span.middle < span.high <= 100
    assert sure.answer == "Proven"
    assert "4 times in turn" in sure.said
    assert (gained.tone, sure.tone) == ("good", "good")


def test_a_gain_in_latency_is_said_as_less_of_it() -> None:
    gained, _, _ = answers(SWEEP, parse_goal(objectives=["perf_latency_p99"]))
    if gained.span is not None:
        assert "Less p99 latency than the default" in gained.said
        assert not gained.answer.startswith("+")
    else:
        assert gained.answer == "Nothing"


def test_what_was_not_verified_is_not_called_proven() -> None:
    _, sure, _ = answers(NO_CHECKS)
    assert sure.answer == "Not verified"
    assert sure.tone == "bad"


def test_an_interval_that_holds_zero_is_no_gain() -> None:
    default = {row.load.concurrency: row for row in SWEEP if row.variant.endswith("default")}
    rows = [
        replace(row, metrics={**row.metrics, "perf_throughput": factor * _rate(default)})
        if row.trial.phase is Phase.VERIFY
        else row
        for row, factor in zip(SWEEP, [1.0, 0.8, 1.0, 1.3] * len(SWEEP), strict=False)
    ]
    gained, sure, costs = answers(rows)
    assert gained.answer == "Not proven"
    assert sure.answer == "Undecided"
    assert costs.answer == "Nothing new", "what is not proven better is not served"
    assert gained.span is not None
    assert gained.span.low < gained.span.zero < gained.span.high


def _rate(default: dict[int, Row]) -> float:
    return max(row.metrics["perf_throughput"] for row in default.values())


def test_costs_are_what_is_worse_than_the_defaults() -> None:
    _, _, costs = answers(SWEEP)
    assert costs.answer != "Nothing"
    assert "instead of" in costs.said
    assert costs.answer.startswith("+") or "times" in costs.answer


def test_a_price_is_told() -> None:
    goal = parse_goal().priced(3.6)
    rows = [goal.seen(row) for row in SWEEP]
    _, _, costs = answers(rows, goal)
    assert "A million inferences cost" in costs.said


@pytest.mark.parametrize(
    ("rows", "goal", "answer"),
    [
        (SWEEP[:1], parse_goal(), "Nothing"),
        (SWEEP, parse_goal(latency_budget=1), "Nothing"),
        ([row for row in SWEEP if "default" not in row.variant], parse_goal(), "Not known"),
    ],
    ids=["only-the-default", "infeasible", "no-default"],
)
def test_where_nothing_is_gained_that_is_said(rows: Sequence[Row], goal: Goal, answer: str) -> None:
    assert answers(rows, goal)[0].answer == answer


def test_caveats_are_counted() -> None:
    evidence = gather(made.head(), SWEEP, parse_goal())
    verdict = judge(evidence)
    assert verdict.caveats == verdict.bullets[-len(verdict.caveats) :]
    many = len(verdict.caveats)
    assert f"the {many} caveat{'s' * (many != 1)} below" in brief(evidence, verdict)[1].said


def test_without_any_measurement_there_is_nothing_to_answer() -> None:
    assert answers([row for row in SWEEP if row.failure is not None]) == ()
