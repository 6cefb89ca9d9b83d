"""The seven laws of a scheduler (and three of stopping, expiring and taking back).

A scheduler's own test inherits ``SchedulerKit`` and says which worlds it lives in.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.traffic import History, Simulation, Turn, World, traffic

from engine.scheduler import Refusal

_RUNS = settings(
    max_examples=70,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)


class SchedulerKit:
    """Inherit, and override ``worlds``."""

    @staticmethod
    def worlds() -> st.SearchStrategy[World]:
        raise NotImplementedError

    def live(self, pick: st.DataObject) -> tuple[World, History, Any]:
        world = pick.draw(self.worlds(), label="world")
        events = pick.draw(traffic, label="traffic")
        service_ns = pick.draw(st.integers(1, 80), label="service_ns")
        return world, Simulation(world, events, service_ns).run(), (events, service_ns)

    @_RUNS
    @given(st.data())
    def test_every_request_ends_exactly_once(self, pick: st.DataObject) -> None:
        _, history, _ = self.live(pick)
        assert {number: len(ends) for number, ends in history.ended.items()} == dict.fromkeys(
            history.tickets, 1
        )

    @_RUNS
    @given(st.data())
    def test_no_batch_is_too_large_or_mixes_shapes(self, pick: st.DataObject) -> None:
        world, history, _ = self.live(pick)
        for _, dispatch in history.dispatches:
            assert dispatch.tickets
            if world.max_rows is not None:
                assert sum(ticket.rows for ticket in dispatch.tickets) <= world.max_rows
            if world.alone:
                assert len(dispatch.tickets) == 1
            assert len({ticket.shape for ticket in dispatch.tickets}) == 1

    @_RUNS
    @given(st.data())
    def test_first_come_first_served(self, pick: st.DataObject) -> None:
        _, history, _ = self.live(pick)
        ran = [ticket.id for _, dispatch in history.dispatches for ticket in dispatch.tickets]
        assert ran == sorted(ran)

    @_RUNS
    @given(st.data())
    def test_at_every_moment_instances_bounds_delays_and_wakes_are_kept(
        self, pick: st.DataObject
    ) -> None:
        """Laws 4, 5, 6: one batch an instance; nobody waits too long; no busy loop."""
        _, history, _ = self.live(pick)
        assert history.faults == []

    @_RUNS
    @given(st.data())
    def test_who_expires_expires_in_time_and_never_runs_late(self, pick: st.DataObject) -> None:
        """Law 6, the other half: a wake is never missing when only time is awaited."""
        world, history, _ = self.live(pick)
        for number, (end,) in history.ended.items():
            deadline_ns = history.tickets[number].deadline_ns
            if not world.expires or deadline_ns is None:
                assert end.refusal is not Refusal.EXPIRED
            elif end.refusal is Refusal.EXPIRED:
                assert end.at == deadline_ns
            else:
                assert end.at < deadline_ns

    @_RUNS
    @given(st.data())
    def test_the_same_events_give_the_same_answers(self, pick: st.DataObject) -> None:
        world, history, (events, service_ns) = self.live(pick)
        assert Simulation(world, events, service_ns).run().steps == history.steps

    @_RUNS
    @given(st.data())
    def test_after_stopping_newcomers_are_refused_and_no_others(self, pick: st.DataObject) -> None:
        _, history, (events, _) = self.live(pick)
        stop = next((index for index, turn in enumerate(events) if turn.stop), len(events))
        before = sum(len(turn.requests) for turn in events[: stop + 1])
        for number, (end,) in history.ended.items():
            assert (end.refusal is Refusal.STOPPING) == (number >= before)

    def test_a_stopped_scheduler_has_nothing_left_to_wait_for(self) -> None:
        @_RUNS
        @given(self.worlds(), st.integers(1, 20))
        def law(world: World, count: int) -> None:
            events = [Turn(0, ((1, "a", None),) * count), Turn(0, stop=True)]
            history = Simulation(world, events, 10).run()
            turns = -(-len(history.dispatches) // world.instances)
            assert max((at for at, _ in history.dispatches), default=0) <= 10 * max(0, turns - 1)

        law()
