"""What a dry run says: the space, the first measurements in order, what is skipped, the time."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console
from support.world import World

from analyzer import preview, strategy, variant
from analyzer.preview import Foreseen
from analyzer.ranking.goal import Goal
from analyzer.space import CONCURRENCY, Candidate, Limits, Space
from analyzer.stages import Campaign, Plan
from analyzer.strategies import brute, quick
from analyzer.strategy import Make, Problem
from engine.modelconfig.schema import InstanceGroup, InstanceKind, ModelConfig

MODEL = ModelConfig(
    name="m",
    backend="onnxruntime",
    max_batch_size=4,
    instance_group=(InstanceGroup(kind=InstanceKind.KIND_CPU, count=1),),
)
LIMITS = Limits(
    max_instance_count=2, max_model_batch_size=2, max_concurrency=2, queue_delays_us=(-1, 100),
    intra_op_threads=(1,),
)  # fmt: skip
SPACE = variant.space(MODEL, variant.Machine(2), LIMITS)
PLAN = Plan(
    default=(Candidate.of(**{CONCURRENCY: 1}),), curve=(1, 2), search_seconds=60.0,
    curve_seconds=24.0, verify_seconds=48.0, cores=2,
)  # fmt: skip


def asked(
    make: Make, space: Space = SPACE, count: int = 3, plan: Plan = PLAN
) -> tuple[Foreseen, ...]:
    return preview.foreseen(plan, lambda: make(Problem(space=space)), count)


def said(
    space: Space = SPACE, *, taken: int = 0, first: tuple[Foreseen, ...] = (), plan: Plan = PLAN
) -> str:
    console = Console(file=StringIO(), width=100)
    preview.say(console, preview.Preview(
        model="m", mode="quick", goal=Goal(), space=space, plan=plan,
        distinct=preview.distinct(space), first=first, taken=taken,
        skipped=preview.impossible(space, 2), shortest=2.0, longest=6.0, start_seconds=1.5,
    ))  # fmt: skip
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", strategy.known())
def test_the_default_comes_first_and_then_what_the_search_asks(name: str) -> None:
    make = strategy.find(name)
    first = [each.candidate for each in asked(make)]
    assert first[0] == PLAN.default[0]
    # A search of two settings may end before that.
    assert 1 < len(first) <= 4
    assert len(set(first)) == len(first)
    assert all(variant.reason_not_possible(each, 2) is None for each in first)


@pytest.mark.parametrize("name", strategy.known())
def test_what_is_sure_is_asked_in_a_campaign_whatever_is_measured(name: str) -> None:
    make = strategy.find(name)
    sure = [each.candidate for each in asked(make) if each.sure]
    for world in (World(noise=0.3, seed=1), World(noise=0.3, seed=2, fixed_ms=9.0)):
        campaign = Campaign(make(Problem(space=SPACE)), Goal(), PLAN)
        for expected in sure:
            trial = campaign.ask()
            assert trial is not None
            assert trial.candidate == expected
            campaign.tell(world.row(trial))


def test_where_nothing_depends_on_the_answers_everything_is_sure() -> None:
    assert all(each.sure for each in asked(strategy.find("random")))
    climb = asked(strategy.find("climb"), count=5)
    assert not climb[-1].sure
    # Once it depends on them, all behind it does.
    flags = [each.sure for each in climb]
    assert flags == sorted(flags, reverse=True)


def test_a_search_that_ends_early_is_foreseen_to_its_end() -> None:
    one = Space(SPACE.dimensions[-1:])
    assert [each.candidate for each in asked(brute.make, one, 9)] == [
        Candidate.of(concurrency=1), Candidate.of(concurrency=2),
    ]  # fmt: skip


def test_no_more_is_foreseen_than_may_be_measured() -> None:
    assert len(asked(brute.make, plan=replace(PLAN, max_trials=2))) == 2


def test_what_is_not_worth_measuring_has_its_reason() -> None:
    skipped = preview.impossible(SPACE, 2)
    assert {each.reason for each in skipped} == {
        "a queue delay of 100 us with max_batch_size 1: there is nobody to wait for"
    }
    assert len(skipped) == 2
    # A batch of one without and with a delay is one configuration.
    assert preview.distinct(SPACE) == 6


def test_the_page_has_space_order_reasons_and_time() -> None:
    page = said(first=asked(quick.make, count=2))
    for text in (
        "Plan for m: nothing is measured",
        "6 configurations in 8 ways to write them, each at up to 2 loads: 16 points",
        "max_queue_delay_microseconds   no batching, 100",
        "concurrency load               1, 2",
        "1. the default configuration, concurrency 1  (what everything is compared with)",
        "Not tried: 2 settings.",
        "at most about 2:12 min: search 1:00 min, load curves 24 s, verification 48 s",
        "a measurement takes 2 to 6 s, and 1.5 s for each new configuration to start;",
        "the search has room for 8 to 30 of them",
        "up to 3 finalists are verified by turns, 4 rounds as far as there is time",
    ):
        assert text in page, page


def test_what_is_measured_already_is_not_planned_again() -> None:
    page = said(taken=3, first=(Foreseen(Candidate.of(concurrency=2), "a load curve"),))
    assert "Measured already: 3, which are in the journal; next comes:" in page
    assert "   4. the default configuration, concurrency 2  (a load curve)" in page
    assert "nothing: all is measured" in said(taken=3)


def test_budgets_are_told_as_they_are() -> None:
    for plan, text in (
        (replace(PLAN, whole_seconds=120.0), "about 2:00 min for everything"),
        (replace(PLAN, max_trials=5), "the search takes 5 measurements at most"),
        (replace(PLAN, max_trials=5), "the search has room for 5 to 5 of them"),
        (replace(PLAN, search_seconds=None, max_trials=5), "no bound but the number"),
        (replace(PLAN, search_seconds=None), "no bound: quick ends by its own rules"),
        (replace(PLAN, precision=0.02), "until the gain is known to 2 %, 4 rounds at most"),
        (replace(PLAN, goodput_seconds=20.0), "the highest rates 40 s"),
    ):
        assert text in said(plan=plan), text
    assert "verified" not in said(plan=replace(PLAN, verify_pairs=0))


def test_what_depends_on_the_answers_is_said_to() -> None:
    first = (Foreseen(PLAN.default[0]), Foreseen(Candidate.of(concurrency=2), sure=False))
    lines = said(first=first).splitlines()
    at = lines.index("  then, as long as nothing is better than the default:")
    assert lines[at - 1].startswith("   1. ")
    assert lines[at + 1].startswith("   2. ")
