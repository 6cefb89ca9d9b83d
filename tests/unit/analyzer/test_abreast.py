"""Several measurements of a search at a time: the check, the order of questions, the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lanes import Lanes, about
from support.world import World

from analyzer import strategy, variant
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.rank import rank
from analyzer.record.row import Failure, LoadSpec, Phase, Row, Trial, line_to_row, row_to_line
from analyzer.space import (
    ACCELERATOR,
    CONCURRENCY,
    INSTANCE_COUNT,
    MAX_BATCH_SIZE,
    QUEUE_DELAY,
    Axis,
    Candidate,
    Dimension,
    Space,
)
from analyzer.stages import Campaign, Plan, Stage
from analyzer.stages.told import Told, elapsed
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

WORLD = World(cores=16, fixed_ms=4, row_ms=0.5)
DEFAULT = (Candidate.of(concurrency=1), Candidate.of(concurrency=4))
SPACE = Space(
    (
        Dimension(INSTANCE_COUNT, (1, 2, 3)),
        Dimension(QUEUE_DELAY, (-1, 0)),
        Dimension(MAX_BATCH_SIZE, (1, 4, 8)),
        Dimension(CONCURRENCY, (1, 4, 16), Axis.LOAD),
    )
)
KIND_GPU = InstanceGroup(name="m", kind=InstanceKind.KIND_GPU, count=1)
BASE = ModelConfig(name="m", backend="onnxruntime", max_batch_size=8, instance_group=(KIND_GPU,))
MEANS = {"": variant.Means(BASE, variant.Machine(cores=16, gpus=1))}
PLAN = Plan(
    default=DEFAULT, curve=(1, 4, 16), verify_pairs=2, max_trials=14, cores=16, abreast=3,
    means=MEANS,
)  # fmt: skip
SEVERAL = ("auto", "brute", "optuna", "random")


def fresh(name: str = "random", plan: Plan = PLAN) -> Campaign:
    def made(width: int) -> strategy.Strategy:
        asked = strategy.Problem(
            space=SPACE, seed=3, max_trials=plan.max_trials, cores=16, abreast=width,
            options={"optuna_min_trials": 12, "optuna_max_trials": 12},
        )  # fmt: skip
        return strategy.find(name)(asked)

    return Campaign(made(1), Goal(), plan, made)


def asked(rows: list[Row]) -> list[Trial]:
    return [row.trial for row in sorted(rows, key=lambda row: row.number)]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_are_measured_at_a_time_and_proven_one_by_one(name: str) -> None:
    lanes = Lanes(world=WORLD)
    campaign = fresh(name)
    rows = lanes.run(campaign)
    assert lanes.most == 3
    searched = [row.trial for row in rows if row.trial.phase is Phase.SEARCH]
    # Where nothing more is expected, a search that thinks ends by itself.
    assert len(searched) == 14 or (name == "auto" and len(searched) >= 12)
    assert {trial.beside for trial in searched if trial.candidate not in DEFAULT} == {3}
    others = [row.trial for row in rows if row.trial.phase in {Phase.CURVE, Phase.VERIFY}]
    assert others
    assert {trial.beside for trial in others} == {1}
    assert len(searched) == len(set(searched))
    assert campaign.said_of_gpus().startswith("3 measurements at a time, each on a GPU of its own")


@settings(max_examples=6, deadline=None)
@given(name=st.sampled_from(("brute", "optuna", "random", "climb", "quick")),
       luck=st.integers(0, 99), width=st.integers(2, 4))  # fmt: skip
def test_whoever_ends_first_the_questions_are_the_same_and_any_cut_goes_on_with_them(
    name: str, luck: int, width: int
) -> None:
    check_order_and_cuts(name, luck, replace(PLAN, abreast=width), every=3)


def test_the_same_holds_of_a_search_that_thinks() -> None:
    check_order_and_cuts("auto", 7, replace(PLAN, max_trials=10, curve=(), verify_pairs=0), every=4)


def check_order_and_cuts(name: str, luck: int, plan: Plan, every: int) -> None:
    rows = Lanes(world=WORLD, luck=luck).run(fresh(name, plan))
    other = Lanes(world=WORLD, luck=luck + 1).run(fresh(name, plan))
    assert asked(other) == asked(rows)
    whole = set(asked(rows))
    for cut in range(0, len(rows) + 1, every):
        rest = Lanes(world=WORLD, luck=luck).run(fresh(name, plan), told=rows[:cut])
        trials = [*(row.trial for row in rows[:cut]), *(row.trial for row in rest)]
        assert len(trials) == len(set(trials)), cut
        assert set(trials) == whole, cut


def test_a_stop_keeps_what_was_running_and_the_rest_goes_on_from_there() -> None:
    whole = Lanes(world=WORLD).run(fresh())
    first = Lanes(world=WORLD, after=7)
    rows = first.run(fresh())
    # Two more were running when it was stopped.
    assert len(rows) == 9
    rest = Lanes(world=WORLD).run(fresh(), told=rows)
    assert {row.trial for row in [*rows, *rest]} == {row.trial for row in whole}


@pytest.mark.parametrize("name", ["auto", "optuna", "random"])
@pytest.mark.parametrize("other", [1, 2, 4])
def test_with_another_number_of_gpus_nothing_is_measured_twice(name: str, other: int) -> None:
    plan = replace(PLAN, curve=(), verify_pairs=0)
    rows = Lanes(world=WORLD, after=9).run(fresh(name, plan))
    rest = Lanes(world=WORLD).run(fresh(name, replace(plan, abreast=other)), told=rows)
    trials = [row.trial for row in [*rows, *rest] if row.trial.phase is Phase.SEARCH]
    points = [(trial.candidate, trial.repetition) for trial in trials]
    assert len(points) == len(set(points))
    assert len(points) == 14 or (name == "auto" and len(points) >= 12)
    widths = {row.trial.beside for row in rest if row.trial.phase is Phase.SEARCH}
    assert widths == {other}


def test_where_measurements_disturb_each_other_they_are_taken_one_at_a_time() -> None:
    lanes = Lanes(world=WORLD, disturbed=0.9)
    campaign = fresh()
    rows = lanes.run(campaign)
    searched = [row.trial for row in rows if row.trial.phase is Phase.SEARCH]
    assert {trial.beside for trial in searched} == {1}
    assert len(searched) == 14
    said = campaign.said_of_gpus()
    assert said.startswith("measured one at a time: measurements side by side disturb each other")
    assert "Throughput was" in said
    assert "on GPU-" in said


def test_what_chance_explains_is_no_disturbance() -> None:
    lanes = Lanes(world=WORLD, disturbed=0.98)
    lanes.run(fresh())
    assert lanes.most == 3


def estimated(row: Row, tag: str, low: float, high: float) -> Row:
    return replace(row, estimates={**row.estimates, tag: replace(about(5.0), low=low, high=high)})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda row: replace(row, failure=Failure(stage="launch", message="no memory")),
            "side by side the default failed on GPU-4: no memory",
        ),
        (
            lambda row: estimated(row, "perf_throughput", 1.0, 1e6),
            "too little can be seen to tell whether measurements disturb each other: the default's",
        ),
        (
            lambda row: replace(row, cores=4, cores_used=3.9),
            "side by side the default on GPU-4 kept 3.9 of the 4 cores of its own busy",
        ),
        (lambda row: replace(row, estimates={}), "have no interval of Throughput to compare by"),
        (
            lambda row: estimated(row, "perf_latency_avg", 1.0, float("inf")),
            "have no interval of avg Latency to compare by",
        ),
    ],
)
def test_a_lane_that_fails_in_the_check_or_shows_too_little_settles_it(
    spoil: Callable[[Row], Row], said: str
) -> None:
    campaign, lanes = fresh(), Lanes(world=WORLD)
    while campaign.progress().stage is not Stage.SEARCH:
        for trial in campaign.due():
            row = lanes.row(trial, campaign.progress().done)
            campaign.tell(spoil(row) if row.number == 4 else row)
    assert said in campaign.said_of_gpus()
    assert [trial.beside for trial in campaign.due()] == [1]


@dataclass(kw_only=True)
class Narrow(Lanes):
    """A machine on which settings of three instances need more cores than one of many has."""

    def row(self, trial: Trial, number: int) -> Row:
        row = super().row(trial, number)
        if trial.beside <= 1 or trial.candidate.get(INSTANCE_COUNT) != 3:
            return row
        slow = {**row.metrics, "perf_throughput": 1.0}
        return replace(row, metrics=slow, cores=4, cores_used=3.5)


def test_what_is_short_of_cores_beside_others_is_measured_again_by_itself() -> None:
    plan = replace(PLAN, max_trials=None, curve=(), verify_pairs=0)
    lanes = Narrow(world=WORLD)
    rows = lanes.run(fresh("brute", plan))
    searched = [row for row in rows if row.trial.phase is Phase.SEARCH]
    short = [row.trial.candidate for row in searched if row.short_of_cores]
    again = [row for row in searched if row.trial.beside == 1 and row.trial.why is not None
             and "short of cores" in row.trial.why.text]  # fmt: skip
    # Those in flight when it showed, and no more: what follows is by itself at once.
    assert 2 <= len(short) <= 4
    assert [row.trial.candidate for row in again] == short
    assert not any(row.short_of_cores for row in again)
    # What was short ranks nothing, and is no answer to the search.
    best = rank(rows, Goal())
    assert {each.best.metrics["perf_throughput"] > 1.0 for each in best} == {True}
    told = Lanes(world=WORLD).run(fresh("brute", replace(plan, abreast=1)))
    assert {row.trial.candidate for row in searched} == {row.trial.candidate for row in told}
    for cut in range(6, len(rows), 3):
        rest = Narrow(world=WORLD).run(fresh("brute", plan), told=rows[:cut])
        trials = {*(row.trial for row in rows[:cut]), *(row.trial for row in rest)}
        assert trials == {row.trial for row in rows}, cut


@pytest.mark.parametrize("tag", ["energy_per_inference", "cpu_machine_utilization"])
def test_a_goal_of_the_whole_machine_is_measured_one_at_a_time(tag: str) -> None:
    goal = parse_goal((tag,), None, None, None, None)
    campaign = Campaign(strategy.find("random")(strategy.Problem(space=SPACE)), goal, PLAN)
    for trial in (campaign.due()[0] for _ in DEFAULT):
        row = WORLD.row(trial)
        campaign.tell(replace(row, metrics={**row.metrics, tag: 5.0}))
    assert [trial.beside for trial in campaign.due()] == [1]
    assert f"the goal names {tag}, which is told of the whole machine" in campaign.said_of_gpus()


def test_a_search_that_is_too_short_to_win_it_back_makes_no_check() -> None:
    # A measurement takes some five seconds, the check two of them, and three run at a time.
    for seconds, checked in ((15.0, False), (60.0, True)):
        plan = replace(PLAN, max_trials=None, search_seconds=seconds, curve=(), verify_pairs=0)
        campaign = fresh("brute", plan)
        rows = Lanes(world=WORLD).run(campaign)
        assert (Phase.ABREAST in {row.trial.phase for row in rows}) is checked
        assert ("that the search has left" in campaign.said_of_gpus()) is not checked


def test_one_gpu_is_not_checked_and_nothing_is_said_of_it() -> None:
    campaign = fresh(plan=replace(PLAN, abreast=1))
    rows = Lanes(world=WORLD).run(campaign)
    assert Phase.ABREAST not in {row.trial.phase for row in rows}
    assert {row.trial.beside for row in rows} == {1}
    assert campaign.said_of_gpus() == ""


def test_what_does_not_run_on_a_gpu_is_measured_by_itself() -> None:
    on_cpu = replace(BASE, instance_group=(replace(KIND_GPU, kind=InstanceKind.KIND_CPU),))
    cpu = replace(PLAN, means={"": variant.Means(on_cpu, variant.Machine(cores=16, gpus=1))})
    campaign = fresh(plan=cpu)
    rows = Lanes(world=WORLD).run(campaign)
    assert {row.trial.beside for row in rows if row.trial.phase is Phase.SEARCH} == {1}
    said = "measured one at a time: of the default, no instance is on a GPU"
    assert campaign.said_of_gpus() == said


def test_what_is_put_on_the_cpu_is_measured_by_itself_between_the_others() -> None:
    kinds = ('[{"count": 1, "kind": "KIND_GPU"}]', '[{"count": 1, "kind": "KIND_CPU"}]')
    space = Space((Dimension("instance_group", kinds), Dimension(CONCURRENCY, (1, 4, 16, 32),
                                                                Axis.LOAD)))  # fmt: skip

    def made(width: int) -> strategy.Strategy:
        return strategy.find("random")(strategy.Problem(space=space, abreast=width))

    lanes = Lanes(world=WORLD)
    rows = lanes.run(Campaign(made(1), Goal(), replace(PLAN, max_trials=None), made))
    point = Candidate.of(instance_group=kinds[1])
    assert variant.why_alone(point, MEANS) == "no instance is on a GPU"
    searched = [row.trial for row in rows if row.trial.phase is Phase.SEARCH]
    widths = {(trial.candidate.get("instance_group"), trial.beside) for trial in searched
              if trial.candidate not in DEFAULT}  # fmt: skip
    assert widths == {(kinds[0], 3), (kinds[1], 1)}
    assert {trial.pending for trial in searched if trial.beside == 1} == {0}


def test_why_a_candidate_has_to_be_measured_by_itself() -> None:
    point = Candidate.of(**{INSTANCE_COUNT: 2, ACCELERATOR: "none"})
    assert variant.why_alone(point, MEANS) == ""
    bound = replace(BASE, instance_group=(replace(KIND_GPU, gpus=(0, 1)),))
    means = {"": replace(MEANS[""], base=bound)}
    assert "more than the first GPU (1)" in variant.why_alone(Candidate(()), means)
    assert variant.why_alone(point, {}) == "no instance is on a GPU"


def test_time_is_what_goes_by_not_what_all_took_together() -> None:
    def row(seconds: float, pending: int = 0) -> Row:
        trial = Trial(candidate=Candidate(()), pending=pending)
        return Row(
            number=0, taken_at="", seconds=seconds, model="m", variant="v", digest="d",
            trial=trial, load=LoadSpec(),
        )  # fmt: skip

    assert elapsed([]) == 0.0
    assert elapsed([row(2), row(3)]) == 5.0
    # Two at a time: the third begins at 2, when the first has ended, and the fourth at 5.
    assert elapsed([row(2), row(5, 1), row(1, 1), row(4, 1)]) == 9.0
    # What is by itself waits for all, and all wait for it.
    assert elapsed([row(2), row(5, 1), row(1), row(4), row(4, 1)]) == 10.0
    assert elapsed([row(2), row(2, 1)], besides=0.5) == 2.5


def test_the_search_ends_when_its_time_has_gone_by() -> None:
    plan = replace(PLAN, max_trials=None, search_seconds=40.0, curve=(), verify_pairs=0)
    lanes = Lanes(world=WORLD)
    rows = lanes.run(fresh("brute", plan))
    told = Told()
    for row in rows:
        told.add(row)
    assert told.seconds(*Phase) == pytest.approx(lanes.ended)
    # Whatever was begun in time may end behind it.
    assert 40.0 <= lanes.ended < 40.0 + 9.0
    assert sum(row.seconds for row in rows) > 60.0


def test_a_row_says_what_was_beside_it_and_on_which_gpu() -> None:
    row = Lanes(world=WORLD).row(Trial(candidate=DEFAULT[0], phase=Phase.ABREAST, beside=2), 5)
    assert line_to_row(row_to_line(row)) == replace(row, trial=line_to_row(row_to_line(row)).trial)
    again = line_to_row(row_to_line(row))
    assert (again.trial.beside, again.gpu) == (2, "GPU-5")
    old = row_to_line(replace(row, trial=Trial(candidate=DEFAULT[0])))
    assert "beside" not in old
    assert line_to_row(old).trial.beside == 1
