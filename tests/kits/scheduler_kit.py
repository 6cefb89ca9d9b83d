"""The laws of a scheduler, and of stopping, expiring and taking back.

A scheduler's own test inherits ``SchedulerKit`` and says which worlds it lives in. Most laws
hold at every moment and are looked after by ``support.traffic.Simulation`` while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from support.traffic import History, Simulation, Turn, World, traffic

from engine.scheduler import Refusal


def _what_holds_at_every_moment_held(_: World, history: History) -> None:
    """What ``Simulation`` looks after.

    An instance runs one batch at a time. Nobody overtakes who ranks before him. A batch is the
    one that Triton's rules make of those who wait, and leaves when they say so: nobody waits
    beyond the delay beside an idle instance. Whose time is up is refused then. No more wait in
    a level than may, and nobody is refused while there is room. Who is taken back leaves at
    once. A wake is never in the past, and never missing.
    """
    assert history.faults == [], history.faults


def _every_request_ends_exactly_once(_: World, history: History) -> None:
    assert {number: len(ends) for number, ends in history.ended.items()} == dict.fromkeys(
        history.tickets, 1
    )


def _no_batch_is_too_large_or_mixes_shapes(world: World, history: History) -> None:
    for _, dispatch in history.dispatches:
        assert dispatch.tickets
        if world.rules is None:
            assert len(dispatch.tickets) == 1
        else:
            assert sum(ticket.rows for ticket in dispatch.tickets) <= world.rules.max_rows
        assert len({ticket.shape for ticket in dispatch.tickets}) == 1


def _who_expires_expires_in_time_and_never_runs_late(world: World, history: History) -> None:
    for number, (end,) in history.ended.items():
        ticket = history.tickets[number]
        deadline_ns = ticket.deadline_ns
        if deadline_ns is None or not world.refuses(ticket):
            assert end.refusal is not Refusal.EXPIRED
        elif end.refusal is Refusal.EXPIRED:
            assert end.at == deadline_ns
        elif end.dispatch is not None:
            assert end.at < deadline_ns


def _after_stopping_newcomers_are_refused_and_no_others(_: World, history: History) -> None:
    for number, (end,) in history.ended.items():
        newcomer = history.stopped_before is not None and number >= history.stopped_before
        assert (end.refusal is Refusal.STOPPING) == newcomer


LAWS: tuple[Callable[[World, History], None], ...] = (
    _what_holds_at_every_moment_held,
    _every_request_ends_exactly_once,
    _no_batch_is_too_large_or_mixes_shapes,
    _who_expires_expires_in_time_and_never_runs_late,
    _after_stopping_newcomers_are_refused_and_no_others,
)


def check(world: World, turns: list[Turn], service_ns: int) -> None:
    """Hold a world to all of ``LAWS``, and to giving the same answers to the same events."""
    history = Simulation(world, turns, service_ns).run()
    for law in LAWS:
        law(world, history)
    again = Simulation(world, turns, service_ns).run()
    assert again.steps == history.steps, "the same events gave other answers"


def broken(worlds: Callable[[Random], World], runs: int) -> str:
    """Throw traffic at worlds; tell of the first that breaks a law, made small; "" if none does."""
    for seed in range(runs):
        dice = Random(seed)
        world, turns, service_ns = worlds(dice), traffic(dice), dice.randint(1, 80)
        if fault := _fault(world, turns, service_ns):
            turns, fault = _smaller(world, turns, service_ns, fault)
            return f"seed {seed}: {world}, service {service_ns}, {turns}: {fault}"
    return ""


def _smaller(
    world: World, turns: list[Turn], service_ns: int, fault: str
) -> tuple[list[Turn], str]:
    """Leave out turns as long as a law stays broken."""
    for place in reversed(range(len(turns))):
        fewer = turns[:place] + turns[place + 1 :]
        if still := _fault(world, fewer, service_ns):
            turns, fault = fewer, still
    return turns, fault


def _fault(world: World, turns: list[Turn], service_ns: int) -> str:
    try:
        check(world, turns, service_ns)
    except AssertionError as broken:
        return str(broken) or "a law is broken"
    return ""


class SchedulerKit:
    """Inherit, and override ``worlds``."""

    RUNS = 1000

    @staticmethod
    def worlds(dice: Random) -> World:
        raise NotImplementedError

    def test_laws_on_random_traffic(self) -> None:
        assert not broken(self.worlds, self.RUNS)

    def test_a_stopped_scheduler_has_nothing_left_to_wait_for(self) -> None:
        for seed in range(50):
            dice = Random(seed)
            world, count = self.worlds(dice), dice.randint(1, 20)
            turns = [Turn(0, ((1, "a", None, 1),) * count), Turn(0, stop=True)]
            history = Simulation(world, turns, 10).run()
            rounds = -(-len(history.dispatches) // world.instances)
            assert max((at for at, _ in history.dispatches), default=0) <= 10 * max(0, rounds - 1)
