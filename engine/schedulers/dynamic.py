"""The dynamic batcher: requests that wait together run together.

Owns when a batch is closed and who is in it. Does not own how long a request may wait in the
queue (``engine.queueing``) nor how tensors are put together. A batch is formed only when an
instance is free to take it, so it holds everybody who came until then. The rules are Triton's
(``dynamic_batch_scheduler.cc``), for the requests at the head of the line, in their order:

1. a batch holds at most ``max_rows`` rows, of one shape; a request is never split;
2. if the rows waiting reach a preferred size, the largest one reached leaves at once;
3. if the next request would carry the batch past every preferred size and none was reached,
   what is there leaves at once; so does a batch that the next request's shape closes;
4. otherwise the batch waits until its oldest request is ``max_delay_ns`` old, and then leaves
   with all that fits, preferred or not; with a delay of 0 it does not wait;
5. no preferred sizes means the one preferred size ``max_rows``;
6. once stopped, nothing waits any more;
7. where requests have ranks (priority levels, requests that are put off), "the next" is the next
   by rank, and the oldest of rule 4 is the oldest of all that would fit into the batch;
8. a batcher that starts late (``start_at``) lets nobody leave until so many wait: for tests that
   have to queue requests faster than they are served (``TRITONSERVER_DELAY_SCHEDULER``).

The instance used last is used next, while its caches are warm.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from engine.queueing import Queue
from engine.ranking import Ranked, RankRules
from engine.scheduler import Dispatch, Refusal, Reject, Step, Ticket

_NOTHING = Step()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """What a batcher keeps to. ``max_queue`` 0 is no bound; rows and delay are not negative.

    ``ranks`` are there where it is not first come, first served; they have bounds of their own,
    and ``max_queue`` means nothing then.
    """

    max_rows: int
    max_delay_ns: int = 0
    preferred: frozenset[int] = frozenset()
    max_queue: int = 0
    ranks: RankRules | None = None

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, found {self.max_rows}")
        if outside := sorted(size for size in self.preferred if not 1 <= size <= self.max_rows):
            raise ValueError(f"preferred sizes {outside} are not in 1..{self.max_rows}")


class Dynamic:
    """Gathers waiting requests into batches, first come, first served.

    ``start_at`` is how many have to wait before the first batch leaves; 0 holds nobody back.
    """

    def __init__(self, rules: BatchRules, instances: int, start_at: int = 0) -> None:
        self._max_rows = rules.max_rows
        self._delay_ns = rules.max_delay_ns
        self._preferred = rules.preferred or frozenset((rules.max_rows,))
        self._top = max(self._preferred)
        self._queue: Queue | Ranked = Queue(rules.max_queue)
        self._bounded = rules.max_queue > 0
        self._idle = list(reversed(range(instances)))
        self._stopping = False
        # A batcher that starts late has no instance yet: they are kept until it is let go.
        self._start_at = start_at
        self._kept: list[int] = []
        if start_at:
            self._idle, self._kept = self._kept, self._idle
        # The batch in the making: pulled from the queue, kept from one event to the next so
        # that nobody is looked at twice while a batch waits to grow.
        self._forming: list[Ticket] = []
        self._rows = 0
        self._shape: Hashable = None
        self._best = 0

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take the requests that arrived in one turn of the event loop."""
        if self._stopping:
            return self._step(now_ns, (), _refuse(tickets, Refusal.STOPPING))
        if len(tickets) == 1 and self._leaves_alone(tickets[0], now_ns):
            return Step((Dispatch(self._idle.pop(), (tickets[0],)),))
        if self._bounded:
            return self._offer_bounded(tickets, now_ns)
        join = self._queue.join
        for ticket in tickets:
            if join(ticket):
                self._start_over()
        return self._step(now_ns)

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        (self._kept if self._start_at else self._idle).append(instance)
        return self._step(now_ns) if self._queue else _NOTHING

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        ticket = self._queue.remove(ticket_id)
        if ticket is None:
            return self._step(now_ns)
        self._start_over()
        return self._step(now_ns, (), (Reject(ticket, Refusal.CANCELLED),))

    def tick(self, now_ns: int) -> Step:
        """Let go whoever has waited long enough, one way or the other."""
        return self._step(now_ns)

    def stop(self, now_ns: int) -> Step:
        """Refuse all that comes from now on, and let what is queued leave at once."""
        self._stopping = True
        self._let_go()
        return self._step(now_ns)

    def hold(self, instance: int, now_ns: int) -> None:  # noqa: ARG002 - protocol
        """Take back an instance that is idle, until ``free`` gives it again."""
        (self._kept if instance in self._kept else self._idle).remove(instance)

    def rest(self, instance: int, now_ns: int) -> Step:  # noqa: ARG002 - protocol
        """Learn that an instance has finished what it ran; it is held until ``free`` gives it."""
        return _NOTHING

    def _offer_bounded(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take those for whom there is room, and refuse the others.

        Whoever is due to leave, one way or the other, makes room first: the bound is on waiting.
        """
        queue = self._queue
        rejects: tuple[Reject, ...] = ()
        full: list[Ticket] = []
        dispatches: list[Dispatch] = []
        for ticket in tickets:
            if queue.full(ticket) and not self._start_at:
                rejects += self._expire(now_ns)
                dispatches += self._dispatch(now_ns)
            if queue.full(ticket):
                full.append(ticket)
            elif queue.join(ticket):
                self._start_over()
        return self._step(now_ns, dispatches, rejects + _refuse(full, Refusal.FULL))

    def _leaves_alone(self, ticket: Ticket, now_ns: int) -> bool:
        """Whether nobody waits, and this one need not wait for others either.

        The rules give the same answer; this gives it sooner, for a server with little to do.
        """
        return (
            not self._queue
            and bool(self._idle)
            and (not self._delay_ns or ticket.rows >= self._top)
            and (ticket.deadline_ns is None or ticket.deadline_ns > now_ns)
        )

    def _step(
        self,
        now_ns: int,
        dispatches: Iterable[Dispatch] = (),
        rejects: tuple[Reject, ...] = (),
    ) -> Step:
        if self._start_at:
            if len(self._queue) < self._start_at:
                return Step(tuple(dispatches), rejects)
            self._let_go()
        rejects += self._expire(now_ns)
        return Step((*dispatches, *self._dispatch(now_ns)), rejects, self._wake_ns())

    def _let_go(self) -> None:
        self._start_at = 0
        self._idle += self._kept
        self._kept = []

    def _expire(self, now_ns: int) -> tuple[Reject, ...]:
        late = self._queue.expired(now_ns)
        if not late:
            return ()
        self._start_over()
        return _refuse(late, Refusal.EXPIRED)

    def _dispatch(self, now_ns: int) -> list[Dispatch]:
        dispatches: list[Dispatch] = []
        while self._idle and self._queue and (count := self._ready(now_ns)):
            batch, rest = self._forming[:count], self._forming[count:]
            self._forming = rest
            self._start_over()
            self._queue.leave(batch)
            dispatches.append(Dispatch(self._idle.pop(), tuple(batch)))
        return dispatches

    def _ready(self, now_ns: int) -> int:
        """How many tickets from the front may leave now; 0 to wait for more."""
        first = self._forming[0] if self._forming else self._queue.first()
        if first is None:
            return 0
        overdue = self._delay_ns and now_ns - first.arrived_ns >= self._delay_ns
        if overdue or self._stopping:
            self._fill(self._max_rows)
            return len(self._forming)
        closed = self._fill(self._top)
        if self._best:
            return self._best
        return len(self._forming) if closed or not self._delay_ns else 0

    def _fill(self, most_rows: int) -> bool:
        """Pull tickets until the next one does not fit; say whether the batch can grow no more."""
        queue, forming, rows = self._queue, self._forming, self._rows
        while (ticket := queue.first()) is not None:
            if forming:
                if rows + ticket.rows > most_rows or ticket.shape != self._shape:
                    return True
            else:
                self._shape = ticket.shape
            queue.pull()
            forming.append(ticket)
            rows += ticket.rows
            self._rows = rows
            if rows in self._preferred:
                self._best = len(forming)
        return rows >= most_rows

    def _start_over(self) -> None:
        """Give up the batch in the making; those in it go back to where they stood."""
        if self._forming:
            self._queue.push_back(self._forming)
            self._forming = []
        self._rows = 0
        self._best = 0

    def _wake_ns(self) -> int | None:
        deadline_ns = self._queue.next_deadline_ns()
        if not self._idle or not self._forming:
            return deadline_ns
        overdue_ns = self._forming[0].arrived_ns + self._delay_ns
        return overdue_ns if deadline_ns is None else min(deadline_ns, overdue_ns)


class Prioritised(Dynamic):
    """The same by rank: of what waits, the highest level first (rule 7)."""

    def __init__(self, rules: BatchRules, instances: int, start_at: int = 0) -> None:
        super().__init__(rules, instances, start_at)
        ranks = rules.ranks or RankRules()
        self._queue = self._ranked = Ranked(ranks)
        self._bounded = any(level.most for level in (ranks.default, *ranks.levels.values()))
        self._least = min(self._preferred)

    def _expire(self, now_ns: int) -> tuple[Reject, ...]:
        due_ns = self._queue.next_deadline_ns()
        if due_ns is None or due_ns > now_ns:
            return ()
        self._start_over()
        return _refuse(self._queue.expired(now_ns), Refusal.EXPIRED)

    def _ready(self, now_ns: int) -> int:
        if self._delay_ns and not self._stopping and self._must_grow(now_ns):
            return 0
        closed = self._fill(self._top)
        count = self._best or len(self._forming)
        if self._delay_ns or self._stopping:
            self._fill(self._max_rows)
            oldest_ns = min(ticket.arrived_ns for ticket in self._forming)
            if self._stopping or now_ns - oldest_ns >= self._delay_ns:
                return len(self._forming)
        return count if self._best or closed or not self._delay_ns else 0

    def _must_grow(self, now_ns: int) -> bool:
        """Whether no batch of those who wait can leave, however they are ranked.

        The rules give the same answer, but by looking at everybody; and newcomers of a higher
        level would have them look again and again.
        """
        ranked = self._ranked
        if ranked.rows >= self._least or ranked.mixed():
            return False
        oldest = ranked.oldest()
        return oldest is not None and now_ns - oldest.arrived_ns < self._delay_ns

    def _wake_ns(self) -> int | None:
        deadline_ns = self._queue.next_deadline_ns()
        oldest = self._ranked.oldest()
        if not self._idle or oldest is None:
            return deadline_ns
        # Beside an idle instance all who wait would fit into one batch.
        overdue_ns = oldest.arrived_ns + self._delay_ns
        return overdue_ns if deadline_ns is None else min(deadline_ns, overdue_ns)


def _refuse(tickets: Iterable[Ticket], reason: Refusal) -> tuple[Reject, ...]:
    return tuple(Reject(ticket, reason) for ticket in tickets)
