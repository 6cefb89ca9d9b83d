from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.listed import Listed
from support.world import World

from analyzer import strategy
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import gain, rank
from analyzer.record.outcome import Outcome
from analyzer.record.row import Failure, Phase, Row, Trial, Why
from analyzer.space import (
    CONCURRENCY,
    INSTANCE_COUNT,
    INTRA_OP_THREADS,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.stages import Campaign, Plan, Stage
from analyzer.stages.pace import affordable

WORLD = World(cores=2, fixed_ms=4, row_ms=0.5, noise=0.005)
CURVE = (1, 2, 4, 8, 16, 32, 64)
VERIFY = Phase.VERIFY
DEFAULT = (Candidate.of(concurrency=1), Candidate.of(concurrency=4))
PLAN = Plan(default=DEFAULT, curve=CURVE, verify_pairs=3, search_seconds=60, cores=2)


def quick() -> strategy.Strategy:
    return strategy.find("climb")(strategy.Problem(space=WORLD.space()))


def finish(campaign: Campaign, world: World = WORLD, told: Iterable[Row] = ()) -> list[Row]:
    """Tell the rows there are, then measure to the end; return the new rows."""
    number = 0
    for row in told:
        campaign.tell(row)
        number += 1
    rows: list[Row] = []
    while (trial := campaign.ask()) is not None:
        assert campaign.ask() == trial
        rows.append(world.row(trial, number + len(rows)))
        campaign.tell(rows[-1])
        assert len(rows) < 500
    return rows


def phases(rows: list[Row]) -> list[Phase]:
    return [row.trial.phase for row in rows]


@pytest.mark.parametrize("haste", [1.0, 3.0])
@pytest.mark.parametrize("later", [1.0, 12.0])
def test_no_stage_begins_again_however_long_the_next_ones_measurements_are(
    later: float, haste: float
) -> None:
    plan = replace(PLAN, search_seconds=65.0, curve_seconds=11.0, whole_seconds=120.0, haste=haste)
    campaign = Campaign(quick(), Goal(), plan)
    rows: list[Row] = []
    while (trial := campaign.ask()) is not None:
        seconds = 8.0 if trial.phase is Phase.SEARCH else later
        rows.append(WORLD.row(trial, len(rows), seconds=seconds))
        campaign.tell(rows[-1])
    taken = phases(rows)
    order = [Phase.SEARCH, Phase.CURVE, Phase.VERIFY]
    assert taken == sorted(taken, key=order.index)
    assert Phase.VERIFY in taken


def test_the_stages_follow_each_other_the_default_first() -> None:
    rows = finish(Campaign(quick(), Goal(), PLAN))
    assert [row.trial.candidate for row in rows[:2]] == list(DEFAULT)
    order = [Phase.SEARCH, Phase.CURVE, Phase.VERIFY]
    assert phases(rows) == sorted(phases(rows), key=order.index)
    assert set(phases(rows)) == set(order)


def test_nothing_is_measured_twice_but_for_the_proof() -> None:
    rows = finish(Campaign(quick(), Goal(), PLAN))
    points = [row.trial.candidate for row in rows if row.trial.phase is not Phase.VERIFY]
    assert len(points) == len(set(points))
    assert len({row.trial for row in rows}) == len(rows)


def test_the_search_ends_when_the_rows_seconds_reach_the_budget() -> None:
    rows = finish(Campaign(quick(), Goal(), PLAN))
    searched = [row for row in rows if row.trial.phase is Phase.SEARCH]
    assert sum(row.seconds for row in searched[:-1]) < 60 <= sum(row.seconds for row in searched)
    assert len(searched) == 15


def test_a_search_without_a_budget_ends_when_the_strategy_does() -> None:
    campaign = Campaign(quick(), Goal(), replace(PLAN, search_seconds=None))
    searched = [row for row in finish(campaign) if row.trial.phase is Phase.SEARCH]
    assert 15 < len(searched) < 40
    assert "nothing more was worth trying" in campaign.why_stopped()


def test_default_and_best_are_compared_by_turns_at_their_best_loads() -> None:
    rows = finish(Campaign(quick(), Goal(), PLAN))
    ranked = rank(rows, Goal())
    default = next(each for each in ranked if each.is_default).best.trial.candidate
    best = ranked[0].best.trial.candidate
    verified = [row.trial for row in rows if row.trial.phase is Phase.VERIFY]
    # Every other round the other way about: a machine that slows down is nobody's gain.
    assert [(trial.candidate, trial.repetition) for trial in verified] == [
        (default, 0), (best, 0), (best, 1), (default, 1), (default, 2), (best, 2),
    ]  # fmt: skip
    result = gain(rows, Goal())
    assert result is not None
    assert result.pairs == 3
    assert result.proven


def test_load_curves_go_on_until_throughput_stalls_twice() -> None:
    rows = finish(Campaign(Listed(), Goal(), replace(PLAN, default=DEFAULT[:1])))
    # One instance without batching is full at two clients.
    assert [row.load.concurrency for row in rows] == [1, 2, 4]
    assert phases(rows)[1:] == [Phase.CURVE] * 2


def test_curves_are_drawn_for_best_and_default_and_use_what_is_known() -> None:
    best = Candidate.of(
        instance_count=2,
        intra_op_thread_count=1,
        max_batch_size=32,
        max_queue_delay_microseconds=0,
        concurrency=8,
    )
    worse = best.replaced(instance_count=1)
    rows = finish(Campaign(Listed(best, worse), Goal(), PLAN))
    drawn = [row.trial.candidate for row in rows if row.trial.phase is Phase.CURVE]
    of_best = [each.get(CONCURRENCY) for each in drawn if each.get(INSTANCE_COUNT) == 2]
    of_default = [each.get(CONCURRENCY) for each in drawn if each.get(INSTANCE_COUNT) is None]
    assert of_best == [1, 2, 4, 16, 32, 64]
    assert of_default == [2]
    assert len(of_best) + len(of_default) == len(drawn)


EXACT = replace(WORLD, noise=0.0, cores=8)
SHARED = Candidate.of(
    instance_count=2, intra_op_thread_count=4, max_batch_size=64, max_queue_delay_microseconds=0,
    concurrency=8,
)  # fmt: skip
#: what SHARED keeps with some 40 clients, and the default with one
BUDGET = parse_goal(latency_budget=9.0)


def most_that_keeps(goal: Goal, candidate: Candidate) -> int:
    return max(
        load
        for load in range(1, 65)
        if goal.satisfied(EXACT.truth(candidate.replaced(concurrency=load)) or {})
    )


def test_between_two_points_of_a_curve_the_edge_of_the_constraints_is_found() -> None:
    plan = replace(PLAN, edge_steps=9, cores=8)
    rows = finish(Campaign(Listed(SHARED), BUDGET, plan), EXACT)
    of_shared = [row for row in rows if row.trial.candidate.get(INSTANCE_COUNT)]
    drawn = [row.load.concurrency for row in of_shared if row.trial.phase is Phase.CURVE]
    edge = most_that_keeps(BUDGET, SHARED)
    assert edge not in CURVE
    assert drawn[:6] == [1, 2, 4, 16, 32, 64]
    assert {edge, edge + 1} <= set(drawn)
    # It is measured once more, and then raced at that load.
    assert drawn[-1] == edge
    raced = {row.load.concurrency for row in of_shared if row.trial.phase is Phase.VERIFY}
    assert raced == {edge}


def test_no_edge_is_looked_for_without_constraints_or_steps_or_time() -> None:
    for goal, changes in (
        (Goal(), {"edge_steps": 9}),
        (BUDGET, {"edge_steps": 0}),
        (BUDGET, {"edge_steps": 9, "curve": ()}),
    ):
        plan = replace(PLAN, cores=8, **changes)  # type: ignore[arg-type] - fields of several types
        rows = finish(Campaign(Listed(SHARED), goal, plan), EXACT)
        assert {row.load.concurrency for row in rows} <= set(CURVE)
    # Without time the default is tried where its contender is best.
    plan = replace(PLAN, edge_steps=9, cores=8, curve_seconds=0.0)
    rows = finish(Campaign(Listed(SHARED), BUDGET, plan), EXACT)
    assert [row.load.concurrency for row in rows if row.trial.phase is Phase.CURVE] == [8]


def test_a_profile_of_request_rates_draws_its_curves_over_rates() -> None:
    first, best = (
        Candidate.of(request_rate=100.0),
        Candidate.of(instance_count=2, request_rate=100.0),
    )
    rates = tuple(50.0 * 2**step for step in range(12))
    plan = replace(PLAN, default=(first,), curve=rates)
    rows = finish(Campaign(Listed(best), Goal(), plan))
    assert all(row.load.is_open for row in rows)
    drawn = [row.trial.candidate for row in rows if row.trial.phase is Phase.CURVE]
    assert all(each.level is not None and each.level[0] == "request_rate" for each in drawn)
    full = max(row.metrics["perf_throughput"] for row in rows)
    tried = {row.load.request_rate for row in rows}
    # One rate that it cannot keep shows what it can do, and two more that this is all.
    assert tried == set(rates[: len(tried)])
    assert sum(rate > full for rate in tried) == 3


def test_a_curve_survives_one_dip() -> None:
    rates = {1: 10.0, 2: 20.0, 4: 19.0, 8: 40.0, 16: 41.0, 32: 42.0, 64: 99.0}
    campaign = Campaign(Listed(), Goal(), replace(PLAN, default=DEFAULT[:1]))
    drawn: list[int] = []
    while (trial := campaign.ask()) is not None:
        row = WORLD.row(trial)
        drawn.append(row.load.concurrency)
        campaign.tell(replace(row, metrics={"perf_throughput": rates[drawn[-1]]}))
    assert drawn == [1, 2, 4, 8, 16, 32]


def test_the_proof_begins_with_the_default_even_behind_the_defaults_own_curve() -> None:
    better = Candidate.of(instance_count=2, concurrency=2)
    plan = replace(PLAN, default=DEFAULT[:1], curve=(1, 2), verify_pairs=1)
    rows = finish(Campaign(Listed(better), Goal(), plan))
    assert [(row.trial.phase, row.variant.endswith("default")) for row in rows[-3:]] == [
        (Phase.CURVE, True),
        (Phase.VERIFY, True),
        (Phase.VERIFY, False),
    ]


def test_a_default_that_leads_is_verified_against_its_closest_rival() -> None:
    slow = Candidate.of(instance_count=1, intra_op_thread_count=2, concurrency=1)
    world = World(cores=1, crowding=3.0)
    campaign = Campaign(Listed(slow), Goal(), PLAN)
    rows = finish(campaign, world)
    assert rank(rows, Goal())[0].is_default
    assert phases(rows).count(Phase.VERIFY) == 2 * PLAN.verify_pairs


def test_the_default_is_tried_at_its_rivals_load_however_little_time_there_is() -> None:
    """Else a default at concurrency 4 is compared with a rival at 64, and load passes for gain."""
    rival = Candidate.of(
        instance_count=1,
        intra_op_thread_count=2,
        max_batch_size=64,
        max_queue_delay_microseconds=0,
        concurrency=64,
    )
    plan = replace(PLAN, curve_seconds=0.0)
    campaign = Campaign(Listed(rival), Goal(), plan)
    rows = finish(campaign)
    assert Candidate.of(concurrency=64) in {
        row.trial.candidate for row in rows if row.trial.phase is Phase.CURVE
    }


def test_repetitions_that_failed_are_not_counted_as_comparisons() -> None:
    campaign = Campaign(quick(), Goal(), PLAN)
    while (trial := campaign.ask()) is not None:
        row = WORLD.row(trial)
        if trial.phase is Phase.VERIFY and trial.repetition != 1:
            row = replace(row, metrics={}, failure=Failure(stage="load", message="it died"))
        campaign.tell(row)
    assert "compared 1 time" in campaign.why_stopped()
    assert "compared 1 times" not in campaign.why_stopped()


def test_nothing_is_verified_where_there_is_no_rival() -> None:
    campaign = Campaign(Listed(), Goal(), PLAN)
    assert Phase.VERIFY not in phases(finish(campaign))
    assert "no other variant could be compared" in campaign.why_stopped()


def test_two_failures_at_the_start_end_it_with_the_reason() -> None:
    broken = World(memory_mb=0)
    campaign = Campaign(quick(), Goal(), PLAN)
    rows = finish(campaign, broken)
    assert len(rows) == 2
    # The second is another variant: one that does not come up is not tried at another load.
    assert rows[1].trial.candidate.get(INSTANCE_COUNT) is not None
    assert "the first 2 measurements failed" in campaign.why_stopped()
    assert "launch: out of memory" in campaign.why_stopped()
    assert "--fresh" in campaign.why_stopped()
    assert campaign.progress().best is None


def test_a_default_that_fails_does_not_end_the_search() -> None:
    campaign = Campaign(quick(), Goal(), PLAN)
    first = campaign.ask()
    assert first is not None
    failure = Failure(stage="launch", message="no such device")
    campaign.tell(replace(WORLD.row(first), metrics={}, failure=failure))
    rows = finish(campaign)
    assert rows[0].trial.candidate.get(INSTANCE_COUNT) is not None
    assert set(phases(rows)) == {Phase.SEARCH, Phase.CURVE}
    assert "could not be measured for comparison" in campaign.why_stopped()


def test_what_makes_no_sense_is_listed_and_told_as_failed() -> None:
    crowded = Candidate.of(instance_count=5, intra_op_thread_count=4, concurrency=1)
    sane = Candidate.of(instance_count=2, intra_op_thread_count=1, concurrency=1)
    listed = Listed(crowded, sane)
    campaign = Campaign(listed, Goal(), PLAN)
    rows = finish(campaign)
    assert crowded not in {row.trial.candidate for row in rows}
    assert listed.told[crowded] is None
    assert listed.told[sane] is not None
    searched = next(row for row in rows if row.trial.candidate == sane)
    assert searched.trial.why == Why("it is on the list")
    assert [(each.candidate, each.reason) for each in campaign.skipped()] == [
        (crowded, "5 instances of 4 threads are too many for 2 cores")
    ]


def test_the_same_setting_is_measured_once_and_told_under_every_name() -> None:
    names = [
        Candidate.of(max_batch_size=1, max_queue_delay_microseconds=delay, concurrency=2)
        for delay in (500, -1, 0)
    ]
    listed = Listed(*names)
    rows = finish(Campaign(listed, Goal(), replace(PLAN, curve=())))
    measured = [row for row in rows if row.trial.phase is Phase.SEARCH][2:]
    assert [row.trial.candidate for row in measured] == [names[1]]
    assert set(listed.told.values()) == {measured[0].metrics["perf_throughput"]}


def test_a_variant_that_does_not_come_up_is_not_launched_for_another_load() -> None:
    heavy = Candidate.of(instance_count=2, max_batch_size=64, concurrency=8)
    listed = Listed(heavy, heavy.replaced(concurrency=4))
    campaign = Campaign(listed, Goal(), PLAN)
    rows = finish(campaign, World(memory_mb=200))
    assert sum(row.failure is not None for row in rows) == 1
    assert "did not come up" in campaign.skipped()[0].reason
    assert list(listed.told.values()) == [None, None]


def test_what_answers_otherwise_is_not_tried_again_with_other_counts() -> None:
    every = [
        Candidate.of(backend=backend, instance_count=count, concurrency=4)
        for backend in ("openvino", "onnxruntime")
        for count in (1, 2)
    ]
    listed = Listed(*every)
    campaign = Campaign(listed, Goal(), replace(PLAN, curve=(), verify_pairs=0))
    while (trial := campaign.ask()) is not None:
        row = WORLD.row(trial, len(listed.told))
        if trial.candidate.get("backend") == "openvino":
            wrong = Failure(stage="accuracy", message="its answers are not the default's")
            row = replace(row, number=7, metrics={}, failure=wrong)
        campaign.tell(row)
    assert [listed.told[each] is None for each in every] == [True, True, False, False]
    assert [(each.candidate, each.reason) for each in campaign.skipped()] == [
        (every[1], "it answers as measurement 7 did: not as the default does")
    ]


def test_where_only_the_load_can_vary_the_default_is_searched_along_it() -> None:
    space = Space((Dimension(CONCURRENCY, (1, 2, 4, 8, 16), Axis.LOAD),))
    for name in strategy.known():
        campaign = Campaign(strategy.find(name)(strategy.Problem(space=space)), Goal(), PLAN)
        rows = finish(campaign)
        assert {row.variant for row in rows} == {"m_config_default"}
        assert len({row.trial.candidate for row in rows}) == len(rows)
        assert Phase.VERIFY not in phases(rows)


def test_several_objectives_are_measured_against_the_default() -> None:
    goal = parse_goal(["perf_throughput", "perf_latency_p99"])
    setting = Candidate.of(instance_count=2, concurrency=2)
    listed = Listed(setting)
    rows = finish(Campaign(listed, goal, PLAN))
    reference = rows[0]
    measured = next(row for row in rows if row.trial.candidate == setting)
    assert listed.told[setting] == goal.outcome(measured, reference).score


def test_one_search_has_one_reference_even_if_it_is_none() -> None:
    goal = parse_goal(["perf_throughput", "perf_latency_p99"])
    listed = Listed(Candidate.of(concurrency=8), Candidate.of(concurrency=16))
    campaign = Campaign(listed, goal, replace(PLAN, default=DEFAULT[:1]))
    first = campaign.ask()
    assert first is not None
    failure = Failure(stage="load", message="reset by peer")
    campaign.tell(replace(WORLD.row(first), metrics={}, failure=failure))
    rows = finish(campaign)
    scores = [goal.outcome(row, None).score for row in rows[:2]]
    assert list(listed.told.values()) == scores


def test_progress_counts_down_to_nothing() -> None:
    campaign = Campaign(quick(), Goal(), PLAN)
    begun = campaign.progress()
    assert (begun.stage, begun.done, begun.seconds_left, begun.best) == (
        Stage.DEFAULT,
        0,
        None,
        None,
    )
    seen: list[Stage] = []
    rows: list[Row] = []
    totals: set[int] = set()
    while (trial := campaign.ask()) is not None:
        rows.append(WORLD.row(trial, len(rows)))
        campaign.tell(rows[-1])
        now = campaign.progress()
        seen.append(now.stage)
        assert now.done == len(rows)
        assert now.seconds_spent == 4.0 * len(rows)
        assert now.seconds_left is not None
        assert now.best == rank(rows, Goal())[0]
        if now.stage in {Stage.VERIFY, Stage.DONE}:
            assert now.expected_left is not None
            totals.add(now.done + now.expected_left)
            assert now.seconds_left == 4.0 * now.expected_left
        else:
            assert now.expected_left
            assert now.seconds_left > 0
    assert totals == {len(rows)}
    stages = [stage for stage in Stage if stage not in {Stage.GOODPUT, Stage.ABREAST}]
    assert sorted(set(seen), key=stages.index) == stages
    assert seen == sorted(seen, key=list(Stage).index)
    assert campaign.progress().seconds_left == 0.0
    assert "60 s were spent after 15 measurements" in campaign.why_stopped()
    assert "compared 3 times" in campaign.why_stopped()


def test_a_campaign_that_goes_on_says_that_it_does() -> None:
    campaign = Campaign(quick(), Goal(), PLAN)
    assert "has not ended" in campaign.why_stopped()


def test_a_search_that_is_continued_later_keeps_its_rows_and_proves_anew() -> None:
    first = finish(Campaign(quick(), Goal(), replace(PLAN, search_seconds=24)))
    again = Campaign(quick(), Goal(), replace(PLAN, search_seconds=None))
    rows = finish(again, told=first)
    assert not {row.trial for row in rows} & {row.trial for row in first}
    everything = [*first, *rows]
    result = gain(everything, Goal())
    assert result is not None
    assert result.pairs == 3
    repeated = [row.trial for row in rows if row.trial.phase is Phase.VERIFY]
    taken = {trial.repetition for trial in repeated}
    assert taken.isdisjoint(row.trial.repetition for row in first if row.trial.phase is VERIFY)
    for number in taken:
        in_turn = [each.candidate for each in repeated if each.repetition == number]
        assert sum(each.get(INSTANCE_COUNT) is None for each in in_turn) == 1


_worlds = st.builds(
    World,
    cores=st.sampled_from((1, 2, 4)),
    fixed_ms=st.sampled_from((0.1, 5.0)),
    row_ms=st.sampled_from((0.1, 5.0)),
    memory_mb=st.sampled_from((50.0, 120.0, 250.0, 1e9)),
    noise=st.just(0.02),
    seed=st.integers(0, 99),
)


@settings(max_examples=25, deadline=None)
@given(
    _worlds,
    st.sampled_from(strategy.known()),
    st.sampled_from((Goal(), parse_goal(latency_budget=20.0), parse_goal(["perf_latency_p99"]))),
    st.sampled_from(
        (
            {"search_seconds": 0.0},
            {"search_seconds": 40.0, "verify_seconds": 60.0},
            {"max_trials": 7, "precision": 0.05, "verify_pairs": 6},
            {"whole_seconds": 90.0, "overhead_seconds": 3.0, "overhead_each": 0.2},
        )
    ),
    st.integers(0, 99),
)
def test_told_any_part_of_its_rows_a_fresh_campaign_goes_on_as_the_old_one_did(
    world: World, name: str, goal: Goal, budget: dict[str, Any], luck: int
) -> None:
    space = Space(
        (
            Dimension(INSTANCE_COUNT, (1, 2)),
            Dimension(INTRA_OP_THREADS, (1, 4)),
            Dimension(QUEUE_DELAY, (-1, 0)),
            Dimension(MAX_BATCH_SIZE, (1, 8)),
            Dimension(CONCURRENCY, (1, 4, 16), Axis.LOAD),
        )
    )
    plan = Plan(
        default=DEFAULT,
        curve=(1, 4, 16),
        edge_steps=3,
        cores=world.cores,
        **{"verify_pairs": 2, **budget},
    )

    def fresh() -> Campaign:
        return Campaign(strategy.find(name)(strategy.Problem(space=space, seed=3)), goal, plan)

    whole = fresh()
    rows = finish(whole, world)
    trials: list[Trial | None] = [*(row.trial for row in rows), None]
    some = random.Random(luck).sample(range(len(rows) + 1), min(len(rows) + 1, 8))
    for cut in sorted({0, 1, *some, len(rows)}):  # the last is the whole
        again = fresh()
        for row in rows[:cut]:
            again.tell(row)
        assert again.ask() == trials[cut]
    assert again.progress() == whole.progress()
    assert again.skipped() == whole.skipped()


def test_curves_and_proof_keep_to_their_budgets_but_two_pairs_are_always_taken() -> None:
    better = Candidate.of(instance_count=2, concurrency=2)
    plan = replace(PLAN, verify_pairs=9, curve_seconds=0.1, verify_seconds=0.1)
    rows = finish(Campaign(Listed(better), Goal(), plan))
    # The best's first point, and the default at the best's load.
    assert phases(rows).count(Phase.CURVE) == 2
    assert phases(rows).count(Phase.VERIFY) == 4


def searched(rows: Iterable[Row]) -> list[Trial]:
    return [row.trial for row in rows if row.trial.phase is Phase.SEARCH]


@pytest.mark.parametrize("name", strategy.known())
def test_with_a_larger_budget_it_goes_on_and_with_a_smaller_one_it_ends(name: str) -> None:
    """Wherever it was cut: the questions are those of one campaign that had the last budget."""
    space = WORLD.space(16)
    small, large = replace(PLAN, max_trials=6), replace(PLAN, max_trials=12)

    def fresh(plan: Plan) -> Campaign:
        return Campaign(strategy.find(name)(strategy.Problem(space=space)), Goal(), plan)

    short, long = finish(fresh(small)), finish(fresh(large))
    assert len(searched(short)) == 6
    for cut in (0, 3, 7, len(short)):
        more = finish(fresh(large), told=short[:cut])
        assert searched([*short[:cut], *more]) == searched(long)
    for cut in (2, 7, 12, len(long)):
        told = long[:cut]
        rest = finish(fresh(small), told=told)
        assert len(searched([*told, *rest])) == max(6, len(searched(told)))
        everything = [*told, *rest]
        assert len({row.trial for row in everything}) == len(everything)
        assert (found := gain(everything, Goal())) is None or found.pairs == 3


def test_the_whole_time_is_kept_however_it_is_divided() -> None:
    for whole in (60.0, 90.0, 150.0, 400.0):
        plan = replace(
            PLAN, search_seconds=0.6 * whole, curve_seconds=0.1 * whole, whole_seconds=whole,
            overhead_seconds=5.0, overhead_each=0.2,
        )  # fmt: skip
        rows = finish(Campaign(quick(), Goal(), plan))
        assert set(phases(rows)) == {Phase.SEARCH, Phase.CURVE, Phase.VERIFY}
        wall = 5.0 + sum(row.seconds + 0.2 for row in rows)
        assert wall <= whole, (whole, wall)


def test_a_time_that_is_over_before_the_verification_ends_it_without_one() -> None:
    rows = finish(Campaign(quick(), Goal(), PLAN))
    cut = phases(rows).index(Phase.VERIFY)
    again = Campaign(quick(), Goal(), replace(PLAN, whole_seconds=10.0))
    for row in rows[:cut]:
        again.tell(row)
    assert again.ask() is None
    assert "not verified: its time was spent before it began" in again.why_stopped()
    again = Campaign(quick(), Goal(), replace(PLAN, whole_seconds=10.0))
    for row in rows[: cut + 1]:
        again.tell(row)
    assert again.ask() == rows[cut + 1].trial, "a round that was begun is ended, and one more taken"


def test_the_bar_is_four_fifths_of_the_best_where_throughput_alone_is_wanted() -> None:
    asked = [Candidate.of(instance_count=count, concurrency=4) for count in (1, 2)]
    plan = replace(PLAN, curve=(1, 4))
    bars = {}
    for goal in (Goal(), parse_goal(["perf_latency_p99"]), parse_goal(latency_budget=1e-3)):
        campaign = Campaign(Listed(*asked, Candidate.of(concurrency=2)), goal, plan)
        rows: list[Row] = []
        while (trial := campaign.ask()) is not None:
            bars[goal, trial] = trial.bar
            rows.append(WORLD.row(trial))
            campaign.tell(rows[-1])
        if goal == Goal():
            rates = [row.metrics["perf_throughput"] for row in rows[:3]]
            assert bars[goal, rows[2].trial] == 0.8 * max(rates[:2])
            assert bars[goal, rows[3].trial] == 0.8 * max(rates)
            # Never the default's, a curve's or the verification's.
            assert {bars[goal, row.trial] for row in (*rows[:2], *rows[4:])} == {0.0}
        else:
            assert {bars[goal, row.trial] for row in rows} == {0.0}


@pytest.mark.parametrize(("seconds", "rounds", "advice"), [(20.0, 2, 280), (40.0, 0, 440)])
def test_a_model_too_slow_for_the_time_is_compared_and_the_time_it_takes_is_said(
    seconds: float, rounds: int, advice: int
) -> None:
    plan = replace(PLAN, search_seconds=65.0, curve_seconds=11.0, whole_seconds=120.0)
    campaign = Campaign(quick(), Goal(), plan)
    assert campaign.progress().seconds_left == 120.0
    rows: list[Row] = []
    while (trial := campaign.ask()) is not None:
        rows.append(WORLD.row(trial, len(rows), seconds=seconds))
        campaign.tell(rows[-1])
    assert min(phases(rows).count(Phase.SEARCH), 4) * seconds >= 80.0
    assert phases(rows).count(Phase.VERIFY) == 2 * rounds
    said = campaign.why_stopped()
    assert f"{seconds:.2g} s each; --max-time {advice} would let it take some 8 more" in said
    assert ("not verified: its time was spent" in said) == (rounds == 0)


@pytest.mark.parametrize(
    "given",
    [
        {"search_seconds": 60.0},
        {"whole_seconds": 150.0, "overhead_seconds": 5.0, "overhead_each": 0.2},
    ],
)
def test_how_many_measurements_the_time_allows_comes_true(given: dict[str, Any]) -> None:
    plan = replace(PLAN, **{"search_seconds": None, **given})
    endless = strategy.find("random")(strategy.Problem(space=WORLD.space(), max_trials=200))
    rows = searched_rows(finish(Campaign(endless, Goal(), plan)))
    outcomes = [Goal().outcome(row) for row in rows]
    assert affordable(plan, []) is None
    for count in range(1, len(rows) + 1):
        # Known failures and the same measurement under another name cost nothing.
        shared = [*outcomes[:count], outcomes[0], Outcome(DEFAULT[0], None)]
        assert affordable(plan, shared) == len(rows) - count


def test_without_a_time_any_number_is_affordable() -> None:
    plan = replace(PLAN, search_seconds=None, max_trials=20)
    assert affordable(plan, [Goal().outcome(WORLD.row(Trial(candidate=DEFAULT[0])))]) is None


def searched_rows(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.trial.phase is Phase.SEARCH]
