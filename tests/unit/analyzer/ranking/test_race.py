"""Several measured by turns: who is ahead, who is clearly behind, and how sure that is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from support.single_rows import row

from analyzer.ranking import race
from analyzer.ranking.goal import Goal, parse_goal
from analyzer.ranking.interval import paired, paired_best
from analyzer.ranking.rank import contender, gain, recommended
from analyzer.record.row import Phase, Row

Rounds = Sequence[float | None]


def raced(**rounds: Rounds) -> list[Row]:
    """A search that put ``a``, ``b`` ... behind one another, and their rounds; None failed."""
    rows = [
        row(name, number, perf_throughput=200.0 - number, perf_latency_p99=5.0)
        for number, name in enumerate(rounds)
        if name != "default"
    ]
    rows.append(row("default", 90, perf_throughput=100.0, perf_latency_p99=5.0))
    for name, rates in rounds.items():
        rows += [
            row(
                name, 100 + len(rows), phase=Phase.VERIFY, repetition=number,
                failure="it died" if rate is None else None,
                **({} if rate is None else {"perf_throughput": rate, "perf_latency_p99": 5.0}),
            )
            for number, rate in enumerate(rates)
        ]  # fmt: skip
    return rows


def runner(rows: Sequence[Row], name: str) -> Row:
    return next(each for each in rows if each.variant == f"m_config_{name}")


def test_who_came_out_ahead_is_the_contender_whatever_the_search_said() -> None:
    rows = raced(a=(110, 112), b=(130, 131), default=(100, 101))
    best = contender(rows, Goal())
    assert best is not None
    assert best.variant == "m_config_b"
    assert (chosen := recommended(rows, Goal())) is not None
    assert chosen.variant == "m_config_b"


def test_two_are_compared_over_the_rounds_that_both_have_been_through() -> None:
    # b left after two rounds in which the machine was slow for everybody.
    rows = raced(a=(110, 112, 150, 151), b=(108, 109), default=(100, 101, 130, 131))
    assert race.ahead(rows, Goal(), [runner(rows, "b"), runner(rows, "a")]) is runner(rows, "a")
    rows = raced(a=(110, 112, 90, 91), b=(114, 115), default=(100, 101, 90, 91))
    assert race.ahead(rows, Goal(), [runner(rows, "a"), runner(rows, "b")]) is runner(rows, "b")


def test_one_round_in_common_decides_nothing() -> None:
    rows = raced(a=(110, 111), b=(500,), default=(100, 100))
    best = contender(rows, Goal())
    assert best is not None
    assert best.variant == "m_config_a"


def test_who_keeps_the_constraints_in_its_rounds_is_ahead_of_who_does_not() -> None:
    goal = parse_goal(min_throughput=105.0)
    rows = raced(a=(90, 91), b=(106, 107), default=(100, 100))
    assert race.ahead(rows, goal, [runner(rows, "a"), runner(rows, "b")]) is runner(rows, "b")


def test_who_fails_twice_and_more_often_than_the_default_is_passed_over() -> None:
    rows = raced(a=(None, None, 300), b=(120, 121, 122), default=(100, 101, 102))
    best = contender(rows, Goal())
    assert best is not None
    assert best.variant == "m_config_b"
    # What fails for everybody says nothing of anybody.
    rows = raced(a=(None, None, 300), default=(None, None, 100))
    best = contender(rows, Goal())
    assert best is not None
    assert best.variant == "m_config_a"


def test_a_variant_that_never_came_up_again_is_not_recommended() -> None:
    rows = raced(a=(None, None), default=(100, 101))
    chosen = recommended(rows, Goal())
    assert chosen is not None
    assert chosen.is_default
    assert contender(rows, Goal()) is None


def test_clearly_behind_is_who_is_further_back_than_the_spread_explains() -> None:
    near = raced(a=(120, 121, 119), b=(118, 121, 118), default=(100, 101, 99))
    far = raced(a=(120, 121, 119), b=(110, 111, 109), default=(100, 101, 99))
    for rows, behind in ((near, []), (far, ["m_config_b"])):
        runners = [runner(rows, "a"), runner(rows, "b")]
        found = race.behind(rows, Goal(), runners, runner(rows, "default"), 0.01)
        assert [each.variant for each in found] == behind
    assert not race.behind(far, Goal(), [runner(far, "a")], runner(far, "default"), 0.01)


def test_the_gain_of_the_best_of_several_says_that_it_was_chosen() -> None:
    rows = raced(a=(110, 112, 111), b=(130, 131, 129), default=(100, 101, 100))
    found = gain(rows, Goal())
    assert found is not None
    assert found.pairs == 3
    assert "among 2 finalists" in found.method
    assert found.percent == pytest.approx(29.6, abs=0.2)


def test_one_by_itself_has_the_plain_paired_interval() -> None:
    assert paired_best([0.1, 0.2, 0.3], []) == paired([0.1, 0.2, 0.3])
    assert paired_best([0.1], [[0.1, 0.2]]) is None


@pytest.mark.parametrize("spreads", [(1.0, 1.0, 1.0, 1.0), (0.3, 3.0, 1.0, 1.0)])
def test_the_best_of_several_equals_is_held_by_its_interval(spreads: tuple[float, ...]) -> None:
    """With the interval of one that was not chosen, its luck would be left out."""
    dice = random.Random(5)
    held = alone = 0
    for _ in range(600):
        rounds = [[dice.gauss(0.0, spread) for _ in range(4)] for spread in spreads]
        gains = [[x - y for x, y in zip(each, rounds[0], strict=True)] for each in rounds[1:]]
        gains.sort(key=math.fsum, reverse=True)
        found, plain = paired_best(gains[0], gains[1:]), paired(gains[0])
        assert found is not None
        assert plain is not None
        held += found.low <= 0.0 <= found.high
        alone += plain.low <= 0.0 <= plain.high
    assert held >= 0.95 * 600
    assert alone < held
