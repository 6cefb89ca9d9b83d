"""The sequence batcher's oldest strategy: requests of many sequences through a dynamic batcher.

Owns which sequences' requests an instance's batcher is given, and when. Does not own the sequences
(``engine.sequencing``), nor the batches: those are the inner batchers' business, one of one
instance for each instance, since a sequence stays with its own. Rules, from Triton's
``OldestSequenceBatch``:

1. an inner batcher has at most one request of a sequence at a time, the next one when that ended;
2. when an instance is free, its sequences' next requests join the batcher before it forms a batch;
3. the request's timeout bounds its wait for a slot, and nothing after that;
4. once stopped, no sequence starts; what is queued leaves by the inner batcher's own delay.

Responses keep the order in which the batcher was given the requests by themselves
(``preserve_ordering``): it has one instance, which runs one batch after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine.scheduler import Dispatch, Limitable, Reject, Step, Ticket
from engine.sequencing import Live, Roster


class SequenceOldest:
    """Feeds ``inner``, a batcher for each instance, each of which knows one instance, number 0."""

    def __init__(self, slots: int, idle_ns: int, inner: Sequence[Limitable]) -> None:
        self._roster = Roster(len(inner), slots, idle_ns)
        self._inner = tuple(inner)
        self._wakes: list[int | None] = [None] * len(inner)
        # What an inner batcher has, by ticket; and what its instance runs.
        self._queued: dict[int, Live] = {}
        self._running: list[list[Live]] = [[] for _ in inner]

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
        dispatches: list[Dispatch] = []
        self._feed(now_ns, dispatches, rejects)
        step = self._inner[instance].free(0, now_ns)
        self._learn(instance, step, now_ns, dispatches, rejects)
        return self._step(now_ns, rejects, dispatches)

    def rest(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran; it is held until ``free`` gives it."""
        return self._step(now_ns, self._finish(instance, now_ns))

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        rejects = list(self._roster.expire(now_ns))
        dispatches: list[Dispatch] = []
        live = self._queued.get(ticket_id)
        if live is None:
            rejects += self._roster.cancel(ticket_id)
        else:
            step = self._inner[live.instance].cancel(ticket_id, now_ns)
            self._learn(live.instance, step, now_ns, dispatches, rejects)
        return self._step(now_ns, rejects, dispatches)

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        return self._step(now_ns, list(self._roster.expire(now_ns)))

    def stop(self, now_ns: int) -> Step:
        """Let no sequence start from now on; those in flight go on."""
        self._roster.stop()
        return self._step(now_ns, list(self._roster.expire(now_ns)))

    def hold(self, instance: int, now_ns: int) -> None:
        """Take back an instance that is idle, until ``free`` gives it again."""
        self._inner[instance].hold(0, now_ns)

    def _finish(self, instance: int, now_ns: int) -> list[Reject]:
        rejects = list(self._roster.expire(now_ns))
        for live in self._running[instance]:
            self._roster.finish(live, now_ns)
        self._running[instance] = []
        return rejects

    def _step(
        self, now_ns: int, rejects: list[Reject], dispatches: Iterable[Dispatch] = ()
    ) -> Step:
        every = list(dispatches)
        self._feed(now_ns, every, rejects)
        for instance, due_ns in enumerate(self._wakes):
            if due_ns is not None and due_ns <= now_ns:
                step = self._inner[instance].tick(now_ns)
                self._learn(instance, step, now_ns, every, rejects)
        wakes = [wake_ns for wake_ns in self._wakes if wake_ns is not None]
        ended, wake_ns = self._roster.ended(), self._roster.wake_ns()
        if wake_ns is not None:
            wakes.append(wake_ns)
        return Step(tuple(every), tuple(rejects), min(wakes, default=None), ended)

    def _feed(self, now_ns: int, dispatches: list[Dispatch], rejects: list[Reject]) -> None:
        """Give the inner batchers what may run now."""
        while ready := self._roster.ready():
            given: dict[int, list[Ticket]] = {}
            for live in ready:
                ticket = self._roster.take(live)
                self._queued[ticket.id] = live
                if ticket.deadline_ns is not None:
                    ticket = replace(ticket, deadline_ns=None)
                given.setdefault(live.instance, []).append(ticket)
            for instance, tickets in given.items():
                step = self._inner[instance].offer(tickets, now_ns)
                self._learn(instance, step, now_ns, dispatches, rejects)

    def _learn(
        self,
        instance: int,
        step: Step,
        now_ns: int,
        dispatches: list[Dispatch],
        rejects: list[Reject],
    ) -> None:
        """Make what an inner batcher decided this scheduler's own decision."""
        self._wakes[instance] = step.wake_ns
        for dispatch in step.dispatches:
            running = [self._queued.pop(ticket.id) for ticket in dispatch.tickets]
            self._running[instance] = running
            slots = tuple(live.slot for live in running)
            dispatches.append(Dispatch(instance, dispatch.tickets, slots))
        for reject in step.rejects:
            rejects.append(reject)
            rejects += self._roster.lose(self._queued.pop(reject.ticket.id), now_ns)
