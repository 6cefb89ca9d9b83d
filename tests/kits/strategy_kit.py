"""The laws of a search strategy (house 5.3), for whoever writes one.

A test class inherits ``StrategyKit`` and is parametrized with ``name``s of strategies that
``analyzer.strategy.find`` knows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from support.world import run

from analyzer.record.outcome import Outcome
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
    Value,
)
from analyzer.strategy import Problem, Strategy, ahead, find

World = Callable[[Candidate], Outcome]

_NAMED: tuple[tuple[str, tuple[tuple[Value, ...], ...], Axis], ...] = (
    (INSTANCE_COUNT, ((1,), (1, 2), (1, 2, 3, 4, 5)), Axis.SETTING),
    (INTRA_OP_THREADS, ((1,), (1, 2), (1, 2, 4, 6), (4, 8)), Axis.SETTING),
    (QUEUE_DELAY, ((-1,), (-1, 0, 100), (0, 500), (100,)), Axis.SETTING),
    (MAX_BATCH_SIZE, ((1,), (1, 2, 4), (8, 16, 32, 64)), Axis.SETTING),
    ("colour", (("red", "green", "blue"), (False, True)), Axis.SETTING),
    ("batch_size", ((1, 8),), Axis.LOAD),
    (CONCURRENCY, ((1,), (1, 2, 4), (4, 8, 16, 32, 64), (3, 7)), Axis.LOAD),
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Any space: dimensions that strategies know, and some they have never heard of."""
    chosen = draw(st.lists(st.sampled_from(_NAMED), max_size=4, unique_by=lambda each: each[0]))
    return Space(
        tuple(Dimension(name, draw(st.sampled_from(values)), axis) for name, values, axis in chosen)
    )


def world(seed: int) -> World:
    """A world without rhyme or reason: failures, broken constraints, any score."""

    def measure(candidate: Candidate) -> Outcome:
        dice = random.Random(f"{seed} {candidate}")
        fate = dice.random()
        if fate < 0.25:
            return Outcome(candidate, None, feasible=False)
        score = dice.choice((-3.0, 0.0, 1.0, 1.01, 2.0, 50.0))
        if fate < 0.5:
            return Outcome(candidate, score, feasible=False, violation=dice.choice((0.01, 0.5, 90)))
        return Outcome(candidate, score)

    return measure


#: looking through what is installed takes longer than many a whole search
_find = cache(find)


def made(name: str, space: Space, seed: int = 0) -> Strategy:
    return _find(name)(Problem(space=space, seed=seed))


def _trace(strategy: Strategy, measure: World) -> list[Outcome]:
    return list(run(strategy, measure, limit=3000))


def several(strategy: Strategy, measure: World, width: int = 3) -> list[Outcome]:
    """Run a search with so many questions open at a time, answered in the order of asking."""
    pending: list[Candidate] = []
    outcomes: list[Outcome] = []
    while len(outcomes) < 3000:
        asked = ahead(strategy, pending) if len(pending) < width else None
        assert asked is None or asked == ahead(strategy, pending)
        if asked is not None:
            pending.append(asked.candidate)
            continue
        if not pending:
            return outcomes
        outcomes.append(measure(pending.pop(0)))
        strategy.tell(outcomes[-1])
    raise AssertionError("more than 3000 questions")


class StrategyKit:
    """What every strategy keeps, whatever it is told."""

    @settings(max_examples=25, deadline=None)
    @given(spaces(), st.integers(0, 99), st.integers(0, 5))
    def test_it_asks_inside_the_space_never_twice_and_ends(
        self, name: str, space: Space, luck: int, seed: int
    ) -> None:
        asked = [each.candidate for each in _trace(made(name, space, seed), world(luck))]
        assert all(candidate in space for candidate in asked)
        assert len(asked) == len(set(asked))
        assert asked

    @settings(max_examples=12, deadline=None)
    @given(spaces(), st.integers(0, 99), st.integers(0, 5))
    def test_told_the_first_outcomes_a_fresh_one_goes_on_as_the_old_one_did(
        self, name: str, space: Space, luck: int, seed: int
    ) -> None:
        measure = world(luck)
        trace = _trace(made(name, space, seed), measure)
        inner = random.Random(luck).sample(range(len(trace) + 1), min(len(trace) + 1, 6))
        for cut in {0, 1, *inner, len(trace)}:
            again = made(name, space, seed)
            for outcome in trace[:cut]:
                again.tell(outcome)
            # One question is enough: another cut checks the one after it.
            expected = trace[cut].candidate if cut < len(trace) else None
            assert again.ask() == expected

    @settings(max_examples=12, deadline=None)
    @given(spaces(), st.integers(0, 99), st.integers(0, 5))
    def test_asking_twice_is_asking_once(
        self, name: str, space: Space, luck: int, seed: int
    ) -> None:
        measure = world(luck)
        often, once = made(name, space, seed), made(name, space, seed)
        for outcome in _trace(once, measure):
            assert often.ask() == often.ask() == outcome.candidate
            often.tell(outcome)
        assert often.ask() is None

    @settings(max_examples=10, deadline=None)
    @given(spaces(), st.integers(0, 99), st.integers(0, 5))
    def test_the_same_seed_gives_the_same_questions(
        self, name: str, space: Space, luck: int, seed: int
    ) -> None:
        measure = world(luck)
        assert _trace(made(name, space, seed), measure) == _trace(made(name, space, seed), measure)

    @settings(max_examples=12, deadline=None)
    @given(spaces(), st.integers(0, 99), st.randoms())
    def test_what_it_is_told_without_having_asked_does_no_harm(
        self, name: str, space: Space, luck: int, dice: random.Random
    ) -> None:
        measure = world(luck)
        strategy = made(name, space)
        given_away = dice.sample(list(space), min(len(space), 7))
        for candidate in given_away:
            strategy.tell(measure(candidate))
        asked = {each.candidate for each in _trace(strategy, measure)}
        assert not asked & set(given_away)
        assert all(candidate in space for candidate in asked)

    @settings(max_examples=8, deadline=None)
    @given(spaces(), st.integers(0, 99), st.integers(0, 5))
    def test_asked_for_several_at_a_time_it_keeps_to_the_same_laws(
        self, name: str, space: Space, luck: int, seed: int
    ) -> None:
        measure = world(luck)
        first, second = (several(made(name, space, seed), measure) for _ in range(2))
        asked = [each.candidate for each in first]
        assert first == second
        assert all(candidate in space for candidate in asked)
        assert len(asked) == len(set(asked))
        assert asked

    @settings(max_examples=10, deadline=None)
    @given(spaces())
    def test_it_ends_where_everything_fails(self, name: str, space: Space) -> None:
        assert _trace(made(name, space), lambda candidate: Outcome(candidate, None))
