"""What a dry run says: the space, the first measurements in order, what is skipped, the time."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from analyzer import preview, variant
from analyzer.ranking.goal import Goal
from analyzer.space import CONCURRENCY, Candidate, Limits, Space
from analyzer.stages import Plan
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


def said(space: Space = SPACE, *, taken: int = 0, first: tuple[Candidate, ...] = ()) -> str:
    console = Console(file=StringIO(), width=100)
    preview.say(console, preview.Preview(
        model="m", mode="quick", goal=Goal(), space=space, plan=PLAN,
        distinct=preview.distinct(space), first=first, taken=taken,
        skipped=preview.impossible(space, 2), shortest=2.0, longest=6.0, start_seconds=1.5,
    ))  # fmt: skip
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("make", [brute.make, quick.make])
def test_the_default_comes_first_and_then_what_the_search_asks(make: Make) -> None:
    first = preview.foreseen(PLAN, make(Problem(space=SPACE)), 3)
    assert first[0] == PLAN.default[0]
    assert len(first) == 4
    assert len(set(first)) == 4
    assert all(variant.reason_not_possible(each, 2) is None for each in first)
    # The first question of a search does not depend on anything measured.
    asked = make(Problem(space=SPACE)).ask()
    assert asked is not None
    possible = variant.reason_not_possible(asked, 2) is None
    assert not possible or first[1] == variant.canonical(asked)


def test_a_search_that_ends_early_is_foreseen_to_its_end() -> None:
    one = Space(SPACE.dimensions[-1:])
    assert preview.foreseen(PLAN, brute.make(Problem(space=one))) == (
        Candidate.of(concurrency=1), Candidate.of(concurrency=2),
    )  # fmt: skip


def test_what_is_not_worth_measuring_has_its_reason() -> None:
    skipped = preview.impossible(SPACE, 2)
    assert {each.reason for each in skipped} == {
        "a queue delay of 100 us with max_batch_size 1: there is nobody to wait for"
    }
    assert len(skipped) == 2
    # A batch of one without and with a delay is one configuration.
    assert preview.distinct(SPACE) == 6


def test_the_page_has_space_order_reasons_and_time() -> None:
    page = said(first=preview.foreseen(PLAN, quick.make(Problem(space=SPACE)), 1))
    for text in (
        "Plan for m: nothing is measured",
        "6 configurations in 8 ways to write them, each at up to 2 loads: 16 points",
        "max_queue_delay_microseconds   no batching, 100",
        "concurrency load               1, 2",
        "1. the default configuration, concurrency 1",
        "Not tried: 2 settings.",
        "at most about 2:12 min: search 1:00 min, load curves 24 s, verification 48 s",
        "a measurement takes 2 to 6 s, and 1.5 s for each new configuration to start;",
        "the search has room for 8 to 30 of them",
    ):
        assert text in page, page


def test_what_is_measured_already_is_not_planned_again() -> None:
    page = said(taken=3, first=(Candidate.of(concurrency=2),))
    assert "Measured already: 3, which are in the journal; next comes:" in page
    assert "   4. the default configuration, concurrency 2" in page
    assert "nothing: all is measured" in said(taken=3)
