"""Goodput in a campaign: searches for a rate at its end; and goals that no row can meet."""

from __future__ import annotations

from dataclasses import replace

from support.listed import Listed
from support.world import World

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Phase, Row, Trial
from analyzer.space import INSTANCE_COUNT, Candidate
from analyzer.stages import Campaign, Plan, Stage

WORLD = World(cores=2, fixed_ms=4, row_ms=0.5, noise=0.005)
DEFAULT = (Candidate.of(concurrency=1), Candidate.of(concurrency=4))
PLAN = Plan(default=DEFAULT, curve=(), verify_pairs=2, search_seconds=60, cores=2)


def answered(trial: Trial, number: int) -> Row:
    """Measure in the world, where every answer is within the limit, and any rate holds."""
    row = WORLD.row(trial, number)
    row = replace(row, metrics={**row.metrics, "goodput": row.metrics["perf_throughput"]})
    if (promise := trial.promise) is None:
        return row
    load = replace(row.load, percentile=promise.percentile, limit_ms=promise.limit_ms)
    found = {"rate": row.load.request_rate, "confirmed": True}
    return replace(row, load=load, goodput=found, seconds=promise.seconds)


def test_where_the_goal_is_goodput_the_highest_rate_is_searched_for_at_last() -> None:
    goal = parse_goal(["goodput"], latency_budget=500.0)
    best = Candidate.of(instance_count=2, max_batch_size=8, concurrency=8)
    plan = replace(PLAN, goodput_seconds=30.0)
    campaign, rows = Campaign(Listed(best), goal, plan), list[Row]()
    left = []
    while (trial := campaign.ask()) is not None:
        left.append((campaign.progress().stage, campaign.progress().seconds_left))
        rows.append(answered(trial, len(rows)))
        campaign.tell(rows[-1])
    assert [row.trial.phase for row in rows[-3:]] == [Phase.VERIFY, Phase.GOODPUT, Phase.GOODPUT]
    first, second = rows[-2:]
    assert first.trial.candidate.get(INSTANCE_COUNT) == 2
    assert second.trial.candidate == Candidate.of(request_rate=second.load.request_rate)
    assert left[-2:] == [(Stage.GOODPUT, 60.0), (Stage.GOODPUT, 30.0)]
    for cut in range(len(rows)):
        again = Campaign(Listed(best), goal, plan)
        for row in rows[:cut]:
            again.tell(row)
        assert again.ask() == rows[cut].trial
    without = Campaign(Listed(best), goal, replace(plan, goodput_seconds=0.0))
    for row in rows[:-2]:
        without.tell(row)
    assert without.ask() is None


def test_a_metric_that_the_first_measurement_lacks_ends_it_with_the_reason() -> None:
    goal = parse_goal(["gpu_utilization"], {"cpu_steal": {"max": 5}})
    campaign = Campaign(Listed(), goal, PLAN)
    trial = campaign.ask()
    assert trial is not None
    campaign.tell(replace(WORLD.row(trial), absent={"gpu": "no NVIDIA driver"}))
    assert campaign.ask() is None
    assert campaign.why_stopped() == (
        "the goal names gpu_utilization, which cannot be measured here: no NVIDIA driver. "
        "State a goal without it"
    )
