"""Items that come within a few turns of the loop go on together, and nobody waits for nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from engine.transports.gather import MOST, REST, ROUNDS, TURNS, Gathering


class Bench:
    """A gathering on a loop whose turns the test takes; ``released`` has what each turn let go."""

    def __init__(self) -> None:
        self.released: list[int] = []
        self._soon: deque[Callable[[], None]] = deque()
        self.gathering: Gathering[int] = Gathering(self._soon.append, self.released.append)

    @property
    def idle(self) -> bool:
        return not self._soon

    def turn(self) -> None:
        for _ in range(len(self._soon)):
            self._soon.popleft()()

    def turns_until_idle(self) -> int:
        turns = 0
        while self._soon:
            self.turn()
            turns += 1
            assert turns < 1000
        return turns


def test_who_is_alone_goes_on_at_once() -> None:
    bench = Bench()
    for number in range(100):
        bench.gathering.add(number, alone=True)
        assert bench.released[-1] == number
    assert bench.idle


def test_who_has_company_waits_for_others_a_bounded_number_of_turns() -> None:
    bench = Bench()
    bench.gathering.add(1, alone=False)
    assert bench.released == []
    assert bench.turns_until_idle() == TURNS + 1
    assert bench.released == [1]


def test_a_newcomer_prolongs_the_wait_and_all_go_on_in_their_order() -> None:
    bench = Bench()
    for number in range(3):
        bench.gathering.add(number, alone=False)
        for _ in range(TURNS):
            bench.turn()
        assert bench.released == []
    bench.turns_until_idle()
    assert bench.released == [0, 1, 2]


def test_so_many_do_not_wait_for_more() -> None:
    bench = Bench()
    for number in range(MOST):
        bench.gathering.add(number, alone=False)
    assert bench.released == list(range(MOST))
    bench.turns_until_idle()
    assert bench.released == list(range(MOST))


def test_holding_that_brings_nobody_together_is_given_up_for_a_while() -> None:
    bench = Bench()
    for number in range(ROUNDS):
        bench.gathering.add(number, alone=False)
        bench.turns_until_idle()
    for number in range(REST):
        bench.gathering.add(number, alone=False)
        assert bench.released[-1] == number
        assert bench.idle
    bench.gathering.add(-1, alone=False)
    assert bench.released[-1] != -1, "then it is tried again"


def test_holding_that_brings_items_together_goes_on() -> None:
    bench = Bench()
    for _ in range(4 * ROUNDS):
        for number in range(4):
            bench.gathering.add(number, alone=False)
        assert not bench.idle
        bench.turns_until_idle()
    bench.gathering.add(9, alone=True)
    assert bench.released[-1] != 9


def test_what_is_held_can_be_let_go_at_once() -> None:
    bench = Bench()
    bench.gathering.add(1, alone=False)
    bench.gathering.let_go()
    assert bench.released == [1]
    bench.turns_until_idle()
    assert bench.released == [1]


@given(st.lists(st.one_of(st.booleans(), st.none()), max_size=400))
def test_every_item_goes_on_once_and_in_order(events: list[bool | None]) -> None:
    """``None`` is a turn of the loop, a boolean an item that is, or is not, alone."""
    bench = Bench()
    added = 0
    for event in events:
        if event is None:
            bench.turn()
        else:
            bench.gathering.add(added, alone=event)
            added += 1
    bench.turns_until_idle()
    assert bench.released == list(range(added))
