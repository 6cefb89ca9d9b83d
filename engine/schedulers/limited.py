"""A scheduler under the rate limiter: it has only the instances that the limiter grants.

Owns when a model asks the limiter for an instance and when it gives one back. Does not own the
order of turns (``engine.ratelimit``), nor anything about batches: that is the scheduler's
inside. Rules:

1. the model asks while a request waits, and at every event anew; it is granted one instance at
   a time, the one whose turn it is;
2. an instance that the scheduler inside does not use at once (its batch may still grow, or its
   sequences wait for another) is given back at once: resources are held by what runs, only;
3. when the limiter promises an instance later, the model is ticked, and takes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.ratelimit import Seat
from engine.scheduler import Dispatch, Limitable, Reject, Step, Ticket


class Limited:
    """Runs what the scheduler inside decides, on the instances that the limiter grants."""

    def __init__(self, inside: Limitable, seat: Seat) -> None:
        self._inside = inside
        self._seat = seat
        self._waiting: set[int] = set()
        for member in seat.members:
            inside.hold(member.number, 0)

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take the requests that arrived in one turn of the event loop."""
        self._waiting.update(ticket.id for ticket in tickets)
        return self._go_on(self._inside.offer(tickets, now_ns), now_ns)

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        self._seat.release(instance)
        return self._go_on(self._inside.rest(instance, now_ns), now_ns)

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        return self._go_on(self._inside.cancel(ticket_id, now_ns), now_ns)

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        return self._go_on(self._inside.tick(now_ns), now_ns)

    def stop(self, now_ns: int) -> Step:
        """Refuse all that comes from now on, and let what is queued leave in its turn."""
        return self._go_on(self._inside.stop(now_ns), now_ns)

    def _go_on(self, step: Step, now_ns: int) -> Step:
        """Ask for instances until nothing waits, or nothing more is granted or of use."""
        dispatches: list[Dispatch] = []
        rejects: list[Reject] = []
        ended: list[tuple[int, int]] = []
        wakes: list[int] = []

        def note(one: Step) -> None:
            dispatches.extend(one.dispatches)
            rejects.extend(one.rejects)
            ended.extend(one.ended)
            if one.wake_ns is not None:
                wakes.append(one.wake_ns)
            self._waiting.difference_update(reject.ticket.id for reject in one.rejects)
            for dispatch in one.dispatches:
                self._waiting.difference_update(ticket.id for ticket in dispatch.tickets)

        note(step)
        seat = self._seat
        if self._waiting:
            seat.want()
        while self._waiting and (instance := seat.take()) is not None:
            given = self._inside.free(instance, now_ns)
            note(given)
            if not given.dispatches:
                self._inside.hold(instance, now_ns)
                seat.decline(instance)
        if not self._waiting:
            seat.rest()
        return Step(tuple(dispatches), tuple(rejects), min(wakes, default=None), tuple(ended))
