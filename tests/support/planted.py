"""Schedulers with one fault each: the laws have to find every one of them.

A fault is a wrapper of the real machine that changes what goes in, or what comes out; or the
real machine made by other rules than its world is held to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from engine.ranking import RankRules
from engine.scheduler import Dispatch, Refusal, Reject, Scheduler, Step, Ticket
from engine.schedulers.dynamic import BatchRules
from support.traffic import World
from support.worlds import batcher


class Faulty:
    """The real machine; a fault overrides one of its verbs, or of the two hooks."""

    def __init__(self, real: Scheduler) -> None:
        self._real = real
        self._given: dict[int, Ticket] = {}

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        self._given.update((ticket.id, ticket) for ticket in tickets)
        return self._out(self._real.offer(self.change(tickets), now_ns), now_ns)

    def free(self, instance: int, now_ns: int) -> Step:
        return self._out(self._real.free(instance, now_ns), now_ns)

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        return self._out(self._real.cancel(ticket_id, now_ns), now_ns)

    def tick(self, now_ns: int) -> Step:
        return self._out(self._real.tick(now_ns), now_ns)

    def stop(self, now_ns: int) -> Step:
        return self._out(self._real.stop(now_ns), now_ns)

    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Change what the machine sees of the tickets."""
        return tickets

    def answer(self, step: Step, now_ns: int) -> Step:
        """Change what the machine says."""
        del now_ns
        return step

    def _out(self, step: Step, now_ns: int) -> Step:
        given = self._given
        step = replace(
            step,
            dispatches=tuple(
                replace(one, tickets=tuple(given[ticket.id] for ticket in one.tickets))
                for one in step.dispatches
            ),
            rejects=tuple(Reject(given[one.ticket.id], one.reason) for one in step.rejects),
        )
        return self.answer(step, now_ns)


class NewestFirst(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return tickets[::-1]


class ShapesUnseen(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [replace(ticket, shape=None) for ticket in tickets]


class RowsUncounted(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [replace(ticket, rows=1) for ticket in tickets]


class NeverExpires(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [replace(ticket, deadline_ns=None) for ticket in tickets]


class ExpiresLate(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [
            replace(one, deadline_ns=one.deadline_ns and one.deadline_ns + 1) for one in tickets
        ]


class LevelsUnseen(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [replace(ticket, priority=2) for ticket in tickets]


class LowestLevelFirst(Faulty):
    def change(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        return [replace(ticket, priority=4 - ticket.priority) for ticket in tickets]


class WakesNever(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        del now_ns
        return replace(step, wake_ns=None)


class WakesLate(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        del now_ns
        return replace(step, wake_ns=step.wake_ns and step.wake_ns + 1)


class WakesAtOnce(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        return replace(step, wake_ns=step.wake_ns and now_ns)


class ForgetsWhoIsFull(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        del now_ns
        kept = tuple(one for one in step.rejects if one.reason is not Refusal.FULL)
        return replace(step, rejects=kept)


class AnswersTwice(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        del now_ns
        return replace(step, rejects=step.rejects * 2)


class SplitsBatches(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        """Send only the first of a batch; the others are lost."""
        del now_ns
        first = tuple(Dispatch(one.instance, one.tickets[:1]) for one in step.dispatches)
        return replace(step, dispatches=first)


class CancelsNobody(Faulty):
    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        del ticket_id
        return self.tick(now_ns)


class NeverStops(Faulty):
    def stop(self, now_ns: int) -> Step:
        return self.tick(now_ns)


class OneInstance(Faulty):
    def answer(self, step: Step, now_ns: int) -> Step:
        del now_ns
        return replace(step, dispatches=tuple(replace(one, instance=0) for one in step.dispatches))


class Moody(Faulty):
    """Answers by what no event told it."""

    _moods = count()

    def answer(self, step: Step, now_ns: int) -> Step:
        mood = next(self._moods) % 1000
        wake_ns = step.wake_ns and max(now_ns + 1, step.wake_ns - mood)
        return replace(step, wake_ns=wake_ns)


def wrapped(fault: type[Faulty], world: World) -> World:
    """The same world, with a faulty machine in it."""
    make = world.make
    return replace(world, make=lambda: fault(make()), text=f"{fault.__name__} {world.text}")


def misruled(change: Callable[[BatchRules], BatchRules], world: World) -> World:
    """The same world, with a machine in it that keeps to other rules."""
    assert world.rules is not None
    other = batcher(change(world.rules), world.instances, world.start_at)
    return replace(world, make=other.make, text=f"misruled {world.text}")


def one_row_more(rules: BatchRules) -> BatchRules:
    return replace(rules, max_rows=rules.max_rows + 1)


def preferred_sizes_forgotten(rules: BatchRules) -> BatchRules:
    return replace(rules, preferred=frozenset())


def delay_forgotten(rules: BatchRules) -> BatchRules:
    return replace(rules, max_delay_ns=0)


def delay_too_long(rules: BatchRules) -> BatchRules:
    return replace(rules, max_delay_ns=rules.max_delay_ns and rules.max_delay_ns + 1)


def one_more_may_wait(rules: BatchRules) -> BatchRules:
    return replace(rules, max_queue=rules.max_queue and rules.max_queue + 1)


def one_more_may_wait_in_a_level(rules: BatchRules) -> BatchRules:
    return _levels(rules, lambda most, puts_off: (most and most + 1, puts_off))


def refused_instead_of_put_off(rules: BatchRules) -> BatchRules:
    return _levels(rules, lambda most, _: (most, False))


def put_off_instead_of_refused(rules: BatchRules) -> BatchRules:
    return _levels(rules, lambda most, _: (most, True))


def _levels(rules: BatchRules, change: Callable[[int, bool], tuple[int, bool]]) -> BatchRules:
    ranks = rules.ranks or RankRules()
    changed = {
        level: replace(own, most=most, puts_off=puts_off)
        for level, own in {**ranks.levels, 0: ranks.default}.items()
        for most, puts_off in (change(own.most, own.puts_off),)
    }
    default = changed.pop(0)
    return replace(rules, ranks=RankRules(default, changed))
