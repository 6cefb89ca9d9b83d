"""The sequence batcher's direct strategy: a sequence has one row of one instance's batches.

Owns when an instance runs, and which sequences' requests with it. Does not own the sequences
(``engine.sequencing``), nor what fills the rows of silent ones (``engine.execution``). Rules, from
Triton's ``DirectSequenceBatch``:

1. a batch holds at most one request of each sequence that the instance has, in the order of their
   slots;
2. all requests of a batch have one shape: that of the one that waits longest. Triton takes the
   lowest slot's; so nobody is passed over for ever;
3. it leaves as soon as the instance is free, unless there is a delay and a least utilization:
   then when that share of the slots has a request, or the oldest is ``delay_ns`` old;
4. a batcher that starts late (``start_at``) lets nobody leave until so many requests wait in
   slots, and ``backlog_at`` for one: for tests that have to queue requests faster than they are
   served (``TRITONSERVER_DELAY_SCHEDULER``, ``TRITONSERVER_BACKLOG_DELAY_SCHEDULER``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.scheduler import Dispatch, Reject, Step, Ticket
from engine.sequencing import Live, Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectRules:
    """What the strategy keeps to: ``slots`` an instance; ``utilization`` from 0 to 1."""

    slots: int
    idle_ns: int
    delay_ns: int = 0
    utilization: float = 0.0
    start_at: int = 0
    backlog_at: int = 0


class SequenceDirect:
    """Runs whatever sequences have a request, each in its own row."""

    def __init__(self, rules: DirectRules, instances: int) -> None:
        self._roster = Roster(instances, rules.slots, rules.idle_ns)
        self._slots = rules.slots
        self._utilization = rules.utilization
        self._delay_ns = rules.delay_ns if rules.utilization > 0 else 0
        self._start_at, self._backlog_at = rules.start_at, rules.backlog_at
        self._idle = set(range(instances))
        # Of each instance: the sequences with a request that may run, by slot; those that run.
        self._heads: list[dict[int, Live]] = [{} for _ in range(instances)]
        self._running: list[list[Live]] = [[] for _ in range(instances)]

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take the requests that arrived in one turn of the event loop."""
        rejects = list(self._roster.expire(now_ns))
        for ticket in tickets:
            reject = self._roster.admit(ticket)
            if reject is not None:
                rejects.append(reject)
        return self._step(now_ns, rejects)

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        rejects = self._finish(instance, now_ns)
        self._idle.add(instance)
        return self._step(now_ns, rejects)

    def rest(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran; it is held until ``free`` gives it."""
        return self._step(now_ns, self._finish(instance, now_ns))

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        rejects = (*self._roster.expire(now_ns), *self._roster.cancel(ticket_id))
        for instance, heads in enumerate(self._heads):
            self._heads[instance] = {slot: live for slot, live in heads.items() if live.line}
        return self._step(now_ns, rejects)

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        return self._step(now_ns, self._roster.expire(now_ns))

    def stop(self, now_ns: int) -> Step:
        """Let no sequence start from now on; those in flight go on, without any delay."""
        self._roster.stop()
        self._delay_ns = self._start_at = 0
        return self._step(now_ns, self._roster.expire(now_ns))

    def hold(self, instance: int, now_ns: int) -> None:  # noqa: ARG002 - protocol
        """Take back an instance that is idle, until ``free`` gives it again."""
        self._idle.remove(instance)

    def _finish(self, instance: int, now_ns: int) -> tuple[Reject, ...]:
        rejects = self._roster.expire(now_ns)
        for live in self._running[instance]:
            self._roster.finish(live, now_ns)
        self._running[instance] = []
        return rejects

    def _starts_later(self) -> bool:
        backlogged = self._roster.backlogged
        if self._roster.waiting - backlogged < self._start_at or backlogged < self._backlog_at:
            return True
        self._start_at = 0
        return False

    def _step(self, now_ns: int, rejects: Iterable[Reject]) -> Step:
        for live in self._roster.ready():
            self._heads[live.instance][live.slot] = live
        wakes: list[int] = []
        dispatches: list[Dispatch] = []
        idle = () if self._start_at and self._starts_later() else sorted(self._idle)
        for instance in idle:
            heads = self._heads[instance]
            if not heads:
                continue
            oldest = min((live.line[0] for live in heads.values()), key=_age)
            due_ns = oldest.arrived_ns + self._delay_ns
            if due_ns > now_ns and len(heads) / self._slots < self._utilization:
                wakes.append(due_ns)
            else:
                dispatches.append(self._run(instance, oldest))
        ended, wake_ns = self._roster.ended(), self._roster.wake_ns()
        if wake_ns is not None:
            wakes.append(wake_ns)
        return Step(tuple(dispatches), tuple(rejects), min(wakes, default=None), ended)

    def _run(self, instance: int, oldest: Ticket) -> Dispatch:
        heads = self._heads[instance]
        slots = sorted(slot for slot, live in heads.items() if live.line[0].shape == oldest.shape)
        running = [heads.pop(slot) for slot in slots]
        tickets = tuple(self._roster.take(live) for live in running)
        self._running[instance] = running
        self._idle.remove(instance)
        return Dispatch(instance, tickets, tuple(slots))


def _age(ticket: Ticket) -> tuple[int, int]:
    return ticket.arrived_ns, ticket.id
