from __future__ import annotations

import pytest

from analyzer.errors import UsageError
from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.space import Candidate
from analyzer.strategy import Asked, Branched, Early, Script, Scripted, ahead, find, known

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


def test_what_a_script_does_not_wait_for_is_asked_ahead_of_what_it_needs() -> None:
    def eager() -> Script:
        yield Early(Asked(ONE, Why("first")))
        yield Early(Asked(TWO, Why("second")))
        first = yield ONE
        return f"the first had {first.score}"

    strategy = Scripted(eager())
    assert (strategy.ask(), strategy.why()) == (ONE, Why("first"))
    assert ahead(strategy, ()) == Asked(ONE, Why("first"))
    assert ahead(strategy, (ONE,)) == Asked(TWO, Why("second"))
    assert ahead(strategy, (ONE, TWO)) is None
    strategy.tell(Outcome(ONE, 7.0))
    # It has returned, but what it asked for is still open.
    assert (strategy.ask(), strategy.ended()) == (TWO, "")
    strategy.tell(Outcome(TWO, 1.0))
    assert (strategy.ask(), strategy.ended()) == (None, "the first had 7.0")


def test_scripts_that_know_nothing_of_one_another_are_asked_at_the_same_time() -> None:
    def along(kind: str) -> Script:
        for step in (1, 2):
            yield Candidate.of(kind=kind, step=step)
        return ""

    def at(kind: str, step: int) -> Candidate:
        return Candidate.of(kind=kind, step=step)

    strategy = Branched(map(along, "abc"), "all of them")
    strategy.tell(Outcome(at("c", 1), 1.0))
    assert strategy.ask() == at("a", 1)
    assert ahead(strategy, [at("a", 1)]) == Asked(at("b", 1), None)
    # What was told before its script began counts as well.
    assert ahead(strategy, [at("a", 1), at("b", 1)]) == Asked(at("c", 2), None)
    assert ahead(strategy, [at("a", 1), at("b", 1), at("c", 2)]) is None
    for kind, step in (("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 2)):
        assert strategy.ended() == ""
        strategy.tell(Outcome(at(kind, step), 1.0))
    assert (strategy.ask(), strategy.ended()) == (None, "all of them")


def test_one_that_cannot_be_asked_for_several_is_asked_one_after_the_other() -> None:
    class Plain:
        def ask(self) -> Candidate | None:
            return ONE

        def tell(self, outcome: Outcome) -> None:
            raise AssertionError(outcome)

        def why(self) -> Why | None:
            return None

        def ended(self) -> str:
            return ""

    assert ahead(Plain(), ()) == Asked(ONE, None)
    assert ahead(Plain(), (ONE,)) is None
