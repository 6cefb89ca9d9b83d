from __future__ import annotations

import pytest

from analyzer.errors import UsageError
from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.space import Candidate
from analyzer.strategy import Asked, Script, Scripted, find, known

ONE, TWO = Candidate.of(x=1), Candidate.of(x=2)


def test_strategies_are_known_by_their_modules() -> None:
    assert {"brute", "quick"} <= set(known())


def test_an_unknown_strategy_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no strategy named 'grid'; there are: .*brute.*quick"):
        find("grid")


def script(heard: list[Outcome]) -> Script:
    for candidate in (ONE, TWO, ONE):
        outcome = yield candidate
        heard.append(outcome)
    return "all said"


def test_a_script_hears_of_each_candidate_when_it_asks_for_it() -> None:
    heard: list[Outcome] = []
    strategy = Scripted(script(heard))
    assert strategy.ask() == ONE
    strategy.tell(Outcome(TWO, 2.0))
    assert (strategy.ask(), heard) == (ONE, [])
    strategy.tell(Outcome(ONE, 1.0))
    assert heard == [Outcome(ONE, 1.0), Outcome(TWO, 2.0), Outcome(ONE, 1.0)]
    assert (strategy.ask(), strategy.ended()) == (None, "all said")


def test_a_reason_is_given_as_long_as_its_candidate_is_asked_for() -> None:
    def reasoned() -> Script:
        yield Asked(ONE, Why("first", {"perf_throughput": 5.0}))
        yield TWO
        return ""

    strategy = Scripted(reasoned())
    assert (strategy.ask(), strategy.why()) == (ONE, Why("first", {"perf_throughput": 5.0}))
    assert strategy.ended() == ""
    strategy.tell(Outcome(ONE, 1.0))
    assert (strategy.ask(), strategy.why()) == (TWO, None)


def test_of_two_outcomes_for_one_candidate_the_first_counts() -> None:
    heard: list[Outcome] = []
    strategy = Scripted(script(heard))
    for score in (5.0, 6.0):
        strategy.tell(Outcome(TWO, score))
    strategy.tell(Outcome(ONE, 1.0))
    strategy.tell(Outcome(ONE, 9.0))
    assert [each.score for each in heard] == [1.0, 5.0, 1.0]


def test_a_script_that_asks_nothing_has_ended() -> None:
    nothing: tuple[Candidate, ...] = ()

    def empty() -> Script:
        yield from nothing
        return "there was nothing"

    strategy = Scripted(empty())
    strategy.tell(Outcome(ONE, 1.0))
    assert strategy.ask() is None
