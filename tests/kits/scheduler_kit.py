"""The seven laws of a scheduler (and three of stopping, expiring and taking back).

A scheduler's own test inherits ``SchedulerKit`` and says which worlds it lives in.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.traffic import History, Simulation, Turn, World, traffic

from engine.scheduler import Refusal

_RUNS = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


def _every_request_ends_exactly_once(_: World, history: History) -> None:
    assert {number: len(ends) for number, ends in history.ended.items()} == dict.fromkeys(
        history.tickets, 1
    )


def _no_batch_is_too_large_or_mixes_shapes(world: World, history: History) -> None:
    for _, dispatch in history.dispatches:
        assert dispatch.tickets
        if world.max_rows is not None:
            assert sum(ticket.rows for ticket in dispatch.tickets) <= world.max_rows
        if world.alone:
            assert len(dispatch.tickets) == 1
        assert len({ticket.shape for ticket in dispatch.tickets}) == 1


def _first_come_first_served(_: World, history: History) -> None:
    ran = [ticket.id for _, dispatch in history.dispatches for ticket in dispatch.tickets]
    assert ran == sorted(ran)


def _instances_bounds_delays_and_wakes_are_kept_at_every_moment(_: World, history: History) -> None:
    """One batch an instance; nobody waits too long beside an idle one; no busy loop."""
    assert history.faults == []


def _who_expires_expires_in_time_and_never_runs_late(world: World, history: History) -> None:
    """A wake is never missing when only time is awaited."""
    for number, (end,) in history.ended.items():
        deadline_ns = history.tickets[number].deadline_ns
        if not world.expires or deadline_ns is None:
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
    _every_request_ends_exactly_once,
    _no_batch_is_too_large_or_mixes_shapes,
    _first_come_first_served,
    _instances_bounds_delays_and_wakes_are_kept_at_every_moment,
    _who_expires_expires_in_time_and_never_runs_late,
    _after_stopping_newcomers_are_refused_and_no_others,
)


class SchedulerKit:
    """Inherit, and override ``worlds``."""

    @staticmethod
    def worlds() -> st.SearchStrategy[World]:
        raise NotImplementedError

    def test_laws_on_random_traffic(self) -> None:
        """All of ``LAWS``, and that the same events give the same answers."""

        @_RUNS
        @given(self.worlds(), traffic, st.integers(1, 80))
        def laws(world: World, events: list[Turn], service_ns: int) -> None:
            history = Simulation(world, events, service_ns).run()
            for law in LAWS:
                law(world, history)
            assert Simulation(world, events, service_ns).run().steps == history.steps

        laws()

    def test_a_stopped_scheduler_has_nothing_left_to_wait_for(self) -> None:
        @_RUNS
        @given(self.worlds(), st.integers(1, 20))
        def law(world: World, count: int) -> None:
            events = [Turn(0, ((1, "a", None),) * count), Turn(0, stop=True)]
            history = Simulation(world, events, 10).run()
            turns = -(-len(history.dispatches) // world.instances)
            assert max((at for at, _ in history.dispatches), default=0) <= 10 * max(0, turns - 1)

        law()
