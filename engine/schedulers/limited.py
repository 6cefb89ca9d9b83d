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
from engine.scheduler import Limitable, Step, Ticket


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
        self._seat.want()
        granted: list[int] = []
        # Before they are offered: who need not wait is not to be refused as one too many.
        while len(granted) < len(self._waiting):
            instance = self._seat.take()
            if instance is None:
                break
            granted.append(instance)
        # The one whose turn it is comes last: it is used first.
        steps = [self._inside.free(one, now_ns) for one in reversed(granted)]
        steps.append(self._inside.offer(tickets, now_ns))
        return self._go_on(steps, now_ns, granted)

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        self._seat.release(instance)
        return self._seek(self._inside.rest(instance, now_ns), now_ns)

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        return self._seek(self._inside.cancel(ticket_id, now_ns), now_ns)

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        return self._seek(self._inside.tick(now_ns), now_ns)

    def stop(self, now_ns: int) -> Step:
        """Refuse all that comes from now on, and let what is queued leave in its turn."""
        return self._seek(self._inside.stop(now_ns), now_ns)

    def _seek(self, step: Step, now_ns: int) -> Step:
        """Go on, and ask for any instance if something waits."""
        if self._waiting:
            self._seat.want()
        return self._go_on([step], now_ns)

    def _go_on(self, steps: list[Step], now_ns: int, granted: Sequence[int] = ()) -> Step:
        """Give back what was ``granted`` and is not used, and take what else is granted and is."""
        seat, inside = self._seat, self._inside
        for step in steps:
            self._count(step)
        used = {dispatch.instance for step in steps for dispatch in step.dispatches}
        for unused in (one for one in granted if one not in used):
            inside.hold(unused, now_ns)
            seat.decline(unused)
        while self._waiting and (instance := seat.take()) is not None:
            step = inside.free(instance, now_ns)
            self._count(step)
            steps.append(step)
            if not step.dispatches:
                inside.hold(instance, now_ns)
                seat.decline(instance)
        if not self._waiting:
            seat.rest()
        return _together(steps)

    def _count(self, step: Step) -> None:
        """Strike out who waits no more."""
        self._waiting.difference_update(reject.ticket.id for reject in step.rejects)
        for dispatch in step.dispatches:
            self._waiting.difference_update(ticket.id for ticket in dispatch.tickets)


def _together(steps: Sequence[Step]) -> Step:
    """Join the effects of one event. A tick too many does no harm."""
    if len(steps) == 1:
        return steps[0]
    return Step(
        tuple(dispatch for step in steps for dispatch in step.dispatches),
        tuple(reject for step in steps for reject in step.rejects),
        min((step.wake_ns for step in steps if step.wake_ns is not None), default=None),
        tuple(ended for step in steps for ended in step.ended),
    )
