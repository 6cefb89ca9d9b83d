"""The laws of house 5.1, on thousands of random traffics in virtual time, over every scheduler."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from kits.scheduler_kit import SchedulerKit, broken
from support import planted, worlds
from support.traffic import World

from engine.schedulers.dynamic import BatchRules

# So many traffics find a fault, mostly within the first few.
PLANTED_RUNS = 300


class TestDirect(SchedulerKit):
    RUNS = 400

    @staticmethod
    def worlds(dice: Random) -> World:
        return worlds.any_direct(dice)


class TestDynamic(SchedulerKit):
    @staticmethod
    def worlds(dice: Random) -> World:
        return worlds.any_dynamic(dice)


class TestPrioritised(SchedulerKit):
    @staticmethod
    def worlds(dice: Random) -> World:
        return worlds.any_prioritised(dice)


class TestLate(SchedulerKit):
    @staticmethod
    def worlds(dice: Random) -> World:
        return worlds.any_late(dice)


WRAPPERS = (
    planted.NewestFirst,
    planted.ShapesUnseen,
    planted.RowsUncounted,
    planted.NeverExpires,
    planted.ExpiresLate,
    planted.WakesNever,
    planted.WakesLate,
    planted.WakesAtOnce,
    planted.ForgetsWhoIsFull,
    planted.AnswersTwice,
    planted.SplitsBatches,
    planted.CancelsNobody,
    planted.NeverStops,
    planted.OneInstance,
    planted.Moody,
)
RANKED_WRAPPERS = (*WRAPPERS, planted.LevelsUnseen, planted.LowestLevelFirst)
MISRULES = (
    planted.one_row_more,
    planted.preferred_sizes_forgotten,
    planted.delay_forgotten,
    planted.delay_too_long,
    planted.one_more_may_wait,
)
RANKED_MISRULES = (
    *MISRULES[:-1],
    planted.one_more_may_wait_in_a_level,
    planted.refused_instead_of_put_off,
    planted.put_off_instead_of_refused,
)


@pytest.mark.parametrize("fault", WRAPPERS, ids=lambda fault: fault.__name__)
def test_the_laws_find_a_fault_planted_in_a_batcher(fault: type[planted.Faulty]) -> None:
    assert broken(lambda dice: planted.wrapped(fault, worlds.any_dynamic(dice)), PLANTED_RUNS)


@pytest.mark.parametrize("fault", RANKED_WRAPPERS, ids=lambda fault: fault.__name__)
def test_the_laws_find_a_fault_planted_in_a_batcher_with_levels(
    fault: type[planted.Faulty],
) -> None:
    assert broken(lambda dice: planted.wrapped(fault, worlds.any_prioritised(dice)), PLANTED_RUNS)


@pytest.mark.parametrize("change", MISRULES, ids=lambda change: change.__name__)
def test_the_laws_find_a_batcher_that_keeps_to_other_rules(
    change: Callable[[BatchRules], BatchRules],
) -> None:
    assert broken(lambda dice: planted.misruled(change, worlds.any_dynamic(dice)), PLANTED_RUNS)


@pytest.mark.parametrize("change", RANKED_MISRULES, ids=lambda change: change.__name__)
def test_the_laws_find_a_batcher_with_levels_that_keeps_to_other_rules(
    change: Callable[[BatchRules], BatchRules],
) -> None:
    assert broken(lambda dice: planted.misruled(change, worlds.any_prioritised(dice)), PLANTED_RUNS)


def test_a_machine_without_a_fault_breaks_no_law() -> None:
    assert not broken(
        lambda dice: planted.wrapped(planted.Faulty, worlds.any_prioritised(dice)), PLANTED_RUNS
    )
