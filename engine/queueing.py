"""The waiting line, first come, first served: who may join it, and who leaves it unserved.

Owns Triton's queue policy, as far as it concerns one line, and a queue that costs the same
however long it is. Does not own ranks (``engine.ranking``), batches, instances or time: every
call that depends on the time is told it. Rules, from Triton's ``ModelQueuePolicy``:

1. a request without a default timeout never expires; a timeout of its own counts only where
   the policy allows it, and only if it is *shorter* than the default;
2. ``max_queue_size`` bounds the requests that wait, not those that run; 0 is no bound;
3. a request expires when its deadline is reached, whether or not an instance is free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from engine.modelconfig.schema import QueuePolicy
from engine.scheduler import Ticket

# So many entries that mean nothing any more may lie about before they are swept out.
_SLACK = 64


def deadline_ns(policy: QueuePolicy | None, arrived_ns: int, timeout_us: int) -> int | None:
    """When a request that asks for ``timeout_us`` (0: nothing) leaves the queue unserved."""
    if policy is None or policy.default_timeout_microseconds <= 0:
        return None
    limit_us = policy.default_timeout_microseconds
    if policy.allow_timeout_override and 0 < timeout_us < limit_us:
        limit_us = timeout_us
    return arrived_ns + limit_us * 1000


class Queue:
    """Tickets in order of arrival; joining, leaving and expiring cost O(1), amortised.

    A ticket taken out of the middle leaves a gap that is skipped when its turn comes, so
    ``_line`` may hold tickets that are gone; ``_waiting`` holds exactly those that wait.
    """

    __slots__ = ("_deadlines", "_line", "_most", "_waiting")

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._line: deque[Ticket] = deque()
        self._waiting: dict[int, Ticket] = {}
        self._deadlines: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def full(self, ticket: Ticket) -> bool:  # noqa: ARG002 - ``Ranked`` asks for its level
        """Whether this ticket may not join, for as many wait as may."""
        return 0 < self._most <= len(self._waiting)

    def join(self, ticket: Ticket) -> bool:
        """Put a ticket at the end; it stands before nobody, so False."""
        self._line.append(ticket)
        self._waiting[ticket.id] = ticket
        if ticket.deadline_ns is not None:
            heappush(self._deadlines, (ticket.deadline_ns, ticket.id))
        return False

    def first(self) -> Ticket | None:
        """Look at the ticket whose turn it is."""
        line, waiting = self._line, self._waiting
        while line:
            ticket = line[0]
            if ticket.id in waiting:
                return ticket
            line.popleft()
        return None

    def pull(self) -> Ticket | None:
        """Move the first ticket out of the line; it goes on waiting until ``leave``."""
        ticket = self.first()
        if ticket is not None:
            self._line.popleft()
        return ticket

    def pop(self) -> Ticket | None:
        """Let the first ticket go: it runs now. None if nobody waits."""
        line, waiting = self._line, self._waiting
        while line:
            ticket = line.popleft()
            if waiting.pop(ticket.id, None) is not None:
                return ticket
        return None

    def push_back(self, tickets: Sequence[Ticket]) -> None:
        """Put pulled tickets back in front, in their order."""
        self._line.extendleft(reversed(tickets))

    def leave(self, tickets: Sequence[Ticket]) -> None:
        """Let pulled tickets go: they run now."""
        waiting = self._waiting
        for ticket in tickets:
            del waiting[ticket.id]
        if len(self._deadlines) > 2 * len(waiting) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in waiting]
            heapify(self._deadlines)

    def remove(self, ticket_id: int) -> Ticket | None:
        """Take one ticket out, wherever it stands; None if it does not wait."""
        ticket = self._waiting.pop(ticket_id, None)
        if ticket is not None:
            self._close_gaps()
        return ticket

    def expired(self, now_ns: int) -> list[Ticket]:
        """Take out every ticket whose deadline has come, the earliest first."""
        late: list[Ticket] = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_ns:
            ticket = self._waiting.pop(heappop(deadlines)[1], None)
            if ticket is not None:
                late.append(ticket)
        if late:
            self._close_gaps()
        return late

    def next_deadline_ns(self) -> int | None:
        """When the next ticket expires; None if none ever does."""
        deadlines, waiting = self._deadlines, self._waiting
        while deadlines and deadlines[0][1] not in waiting:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _close_gaps(self) -> None:
        """Forget the tickets that are gone, once they are more than those that wait."""
        if len(self._line) > 2 * len(self._waiting) + _SLACK:
            self._line = deque(ticket for ticket in self._line if ticket.id in self._waiting)
