"""The default scheduler: every request runs alone, on whichever instance is free, in order.

Rule, from Triton: without a batcher in the configuration there is no queue policy, no priority
and no timeout; a ticket's deadline and priority are ignored. The instance used last is used
next, while its caches are warm.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.queueing import Queue
from engine.scheduler import Dispatch, Refusal, Reject, Step, Ticket

_NOTHING = Step()


class Direct:
    """Runs each request alone, first come, first served."""

    def __init__(self, instances: int) -> None:
        self._idle = list(reversed(range(instances)))
        self._queue = Queue()
        self._stopping = False

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Take the requests that arrived in one turn of the event loop."""
        if self._stopping:
            return Step(rejects=tuple(Reject(ticket, Refusal.STOPPING) for ticket in tickets))
        queue, idle = self._queue, self._idle
        dispatches: list[Dispatch] = []
        for ticket in tickets:
            if idle and not queue:
                dispatches.append(Dispatch(idle.pop(), (ticket,)))
            else:
                queue.join(ticket)
        return Step(tuple(dispatches)) if dispatches else _NOTHING

    def free(self, instance: int, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Learn that an instance has finished what it ran."""
        ticket = self._queue.pop()
        if ticket is None:
            self._idle.append(instance)
            return _NOTHING
        return Step((Dispatch(instance, (ticket,)),))

    def cancel(self, ticket_id: int, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        ticket = self._queue.remove(ticket_id)
        return _NOTHING if ticket is None else Step(rejects=(Reject(ticket, Refusal.CANCELLED),))

    def tick(self, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Do nothing: this scheduler waits for events only."""
        return _NOTHING

    def stop(self, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Refuse all that comes from now on; what is queued runs as instances become free."""
        self._stopping = True
        return _NOTHING

    def hold(self, instance: int, now_ns: int) -> None:  # noqa: ARG002 - protocol
        """Take back an instance that is idle, until ``free`` gives it again."""
        self._idle.remove(instance)

    def rest(self, instance: int, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Learn that an instance has finished what it ran; it is held until ``free`` gives it."""
        return _NOTHING
