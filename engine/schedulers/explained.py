"""A batcher that says of each batch why it left with no more in it.

Owns the answer to "why does dynamic batching not batch?", for who turns it on
(``--metrics-config batches=true``); without it nothing of this runs. It looks at a batcher from
outside: at what waited, and what left. Does not own any decision. The first of these that holds:

1. ``max``: it is full;
2. ``preferred``: it has a preferred size;
3. ``delay``: its oldest request had waited for the longest delay there is;
4. ``idle``: an instance was free and nobody else waited. Where most batches leave so, there are
   more instances than needed, or too few requests at a time;
5. ``shape``: the request that waits next has another shape;
6. ``room``: or more rows than there is room for, up to the largest preferred size;
7. ``other``: the server stops, or priorities let somebody else go first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from engine.scheduler import Dispatch, Scheduler, Step, Ticket
from engine.telemetry.stats import Closing


class Explained:
    """The batcher ``inside``, and the rules it keeps to; ``tell`` is told of every batch."""

    def __init__(
        self,
        inside: Scheduler,
        tell: Callable[[Closing], None],
        *,
        max_rows: int,
        preferred: AbstractSet[int],
        max_delay_ns: int,
    ) -> None:
        self._inside = inside
        self._tell = tell
        self._max_rows = max_rows
        self._room = max(preferred, default=max_rows)
        self._preferred = preferred
        self._max_delay_ns = max_delay_ns
        self._waiting: dict[int, Ticket] = {}

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take the requests that arrived in one turn of the event loop."""
        self._waiting.update((ticket.id, ticket) for ticket in tickets)
        return self._explain(self._inside.offer(tickets, now_ns), now_ns)

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        return self._explain(self._inside.free(instance, now_ns), now_ns)

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        return self._explain(self._inside.cancel(ticket_id, now_ns), now_ns)

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        return self._explain(self._inside.tick(now_ns), now_ns)

    def stop(self, now_ns: int) -> Step:
        """Refuse all that comes from now on, and let what is queued leave at once."""
        return self._explain(self._inside.stop(now_ns), now_ns)

    def _explain(self, step: Step, now_ns: int) -> Step:
        for reject in step.rejects:
            self._waiting.pop(reject.ticket.id, None)
        for dispatch in step.dispatches:
            for ticket in dispatch.tickets:
                self._waiting.pop(ticket.id, None)
            self._tell(self._why(dispatch, now_ns))
        return step

    def _why(self, dispatch: Dispatch, now_ns: int) -> Closing:
        rows = sum(ticket.rows for ticket in dispatch.tickets)
        age_ns = now_ns - min(ticket.arrived_ns for ticket in dispatch.tickets)
        following = next(iter(self._waiting.values()), None)
        if rows >= self._max_rows:
            return Closing.MAX
        if rows in self._preferred:
            return Closing.PREFERRED
        if self._max_delay_ns and age_ns >= self._max_delay_ns:
            return Closing.DELAY
        if following is None:
            return Closing.OTHER if self._max_delay_ns else Closing.IDLE
        return self._between(dispatch.tickets[0], rows, following)

    def _between(self, first: Ticket, rows: int, following: Ticket) -> Closing:
        """Say why the request that waits next was not taken along."""
        if following.shape != first.shape:
            return Closing.SHAPE
        return Closing.ROOM if rows + following.rows > self._room else Closing.OTHER
