"""Random traffic for schedulers, and the virtual world that carries their decisions out."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from engine.ranking import LevelRules
from engine.scheduler import Dispatch, Refusal, Scheduler, Step, Ticket
from engine.schedulers.dynamic import BatchRules

Request = tuple[int, str, int | None, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens after ``gap`` ns of silence: requests come, some are taken back.

    A request is its rows, its shape, how long it will wait, and its level.
    """

    gap: int
    requests: tuple[Request, ...] = ()
    cancel: tuple[int, ...] = ()
    stop: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """A scheduler, and the rules it has to keep; without ``rules``, requests run alone, in order.

    Before ``start_at`` requests wait, nobody leaves.
    """

    make: Callable[[], Scheduler]
    instances: int
    rules: BatchRules | None = None
    start_at: int = 0
    text: str = ""

    def __repr__(self) -> str:
        return self.text

    @property
    def expires(self) -> bool:
        """Whether deadlines mean anything here."""
        return self.rules is not None and not self.start_at

    def level(self, ticket: Ticket) -> LevelRules:
        """What holds for the level of a ticket."""
        if self.rules is None:
            return LevelRules()
        if self.rules.ranks is None:
            return LevelRules(self.rules.max_queue)
        return self.rules.ranks.levels.get(ticket.priority, self.rules.ranks.default)

    def refuses(self, ticket: Ticket) -> bool:
        """Whether this ticket is refused when its time is up."""
        timed = self.expires and ticket.deadline_ns is not None
        return timed and not self.level(ticket).puts_off

    def rank(self, ticket: Ticket, now: int) -> tuple[int, bool, int, int]:
        """What sorts tickets into the order in which they are to be served; unique."""
        deadline = ticket.deadline_ns
        late = self.level(ticket).puts_off and deadline is not None and deadline <= now
        return ticket.priority, late, deadline if late and deadline is not None else 0, ticket.id


@dataclass(slots=True)
class Ended:
    """How one ticket ended."""

    at: int
    refusal: Refusal | None
    dispatch: Dispatch | None


@dataclass(slots=True)
class History:
    """All that a world saw."""

    tickets: dict[int, Ticket] = field(default_factory=dict)
    ended: dict[int, list[Ended]] = field(default_factory=dict)
    dispatches: list[tuple[int, Dispatch]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    stopped_before: int | None = None


def traffic(dice: Random) -> list[Turn]:
    """Throw some turns, with bursts now and then so that queues do form; a few end in a stop."""
    turns = [_turn(dice) for _ in range(dice.randint(2, 12))]
    if dice.random() < 0.5:
        late = Turn(gap=dice.randint(0, 9), requests=((1, "a", None, 1),))
        turns += [Turn(gap=3, stop=True), *[late] * dice.randint(0, 3)]
    return turns


def _turn(dice: Random) -> Turn:
    return Turn(
        gap=dice.choice((0, 1, 5, 25)),
        requests=tuple(_request(dice) for _ in range(dice.choice((0, 1, 1, 2, 4, 8)))),
        cancel=(dice.randint(0, 40),) * dice.randint(0, 1),
    )


def _request(dice: Random) -> Request:
    rows, shape = dice.choice((1, 1, 1, 2, 3, 4)), dice.choice("aaab")
    return rows, shape, dice.choice((None, None, None, 0, 1, 20, 70)), dice.choice((1, 2, 2, 3))


def batch(waiting: Sequence[Ticket], rules: BatchRules, now: int) -> list[Ticket]:
    """Read Triton's rules naively: which of the waiting, in order of rank, leave now; [] for none.

    This is what ``schedulers.dynamic`` is to do, without its haste.
    """
    preferred = rules.preferred or {rules.max_rows}
    pending: list[Ticket] = []
    rows = best = 0
    closed = False
    for ticket in waiting:
        if pending:
            if rows + ticket.rows > max(preferred) and not best:
                best = len(pending)
            if rows + ticket.rows > rules.max_rows or ticket.shape != pending[0].shape:
                closed = True
                break
        pending.append(ticket)
        rows += ticket.rows
        if rows in preferred:
            best = len(pending)
    oldest = min((ticket.arrived_ns for ticket in pending), default=now)
    if rules.max_delay_ns and now - oldest >= rules.max_delay_ns:
        return pending
    if best:
        return pending[:best]
    return pending if closed or rows >= max(preferred) or not rules.max_delay_ns else []


class Simulation:
    """Drives a scheduler on virtual time and notes every breach of what holds at each moment."""

    def __init__(self, world: World, traffic: list[Turn], service_ns: int) -> None:
        self._world = world
        self._service_ns = service_ns
        self._scheduler = world.make()
        self._busy: set[int] = set()
        self._waiting: dict[int, Ticket] = {}
        self._events: list[tuple[int, int, Callable[[int], Step]]] = []
        self._count = 0
        self._wake: int | None = None
        self._started = not world.start_at
        self.history = History()
        if world.start_at and not any(turn.stop for turn in traffic):
            traffic = [*traffic, Turn(gap=1, stop=True)]  # or who is held back would wait for ever
        now = 0
        for turn in traffic:
            now += turn.gap
            self._at(now, lambda at, turn=turn: self._come(turn, at))  # type: ignore[misc]

    def run(self) -> History:
        """Go on until nothing is due any more, or until something is wrong."""
        while (self._events or self._wake is not None) and not self.history.faults:
            if self._events and (self._wake is None or self._events[0][0] <= self._wake):
                now, _, event = heapq.heappop(self._events)
                step = event(now)
            else:
                assert self._wake is not None
                now = self._wake
                step = self._scheduler.tick(now)
            self._carry_out(step, now)
        return self.history

    def _at(self, when: int, event: Callable[[int], Step]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def _come(self, turn: Turn, now: int) -> Step:
        scheduler, history = self._scheduler, self.history
        before = [*self._waiting.values()]
        tickets = [self._ticket(request, now) for request in turn.requests]
        if tickets:
            step = scheduler.offer(tickets, now)
            full = [one.ticket.id for one in step.rejects if one.reason is Refusal.FULL]
            if history.stopped_before is None and full != self._too_many(before, tickets, now):
                history.faults.append(f"{now}: {full} were refused as too many")
            self._carry_out(step, now)
        for number in turn.cancel:
            queued = number in self._waiting
            step = scheduler.cancel(number, now)
            gone = [r.ticket.id for r in step.rejects if r.reason is Refusal.CANCELLED]
            if gone != ([number] if queued else []):
                history.faults.append(f"{now}: cancel({number}) took back {gone}")
            self._carry_out(step, now)
        if turn.stop:
            history.stopped_before = len(history.tickets)
            self._started = True
            return scheduler.stop(now)
        return scheduler.tick(now)

    def _is_over(self, ticket: Ticket, now: int) -> bool:
        return self._world.refuses(ticket) and (ticket.deadline_ns or 0) <= now

    def _too_many(self, waiting: list[Ticket], tickets: list[Ticket], now: int) -> list[int]:
        """Name those who find no room in their level, when whoever can has left it to make some."""
        world = self._world
        refused: list[int] = []
        idle = world.instances - len(self._busy) if self._started else 0

        def full(ticket: Ticket) -> bool:
            most = world.level(ticket).most
            return 0 < most <= sum(one.priority == ticket.priority for one in waiting)

        for ticket in tickets:
            room = not full(ticket)
            waiting = [one for one in waiting if room or not self._is_over(one, now)]
            while not room and idle and (leaving := self._leave(waiting, now)):
                waiting, idle = [one for one in waiting if one not in leaving], idle - 1
            if full(ticket):
                refused.append(ticket.id)
            else:
                waiting = [*waiting, ticket]
        return refused

    def _ticket(self, request: Request, now: int) -> Ticket:
        rows, shape, patience, level = request
        rules, number = self._world.rules, len(self.history.tickets)
        ranked = rules is not None and rules.ranks is not None
        ticket = Ticket(
            number,
            rows if rules is None else min(rows, rules.max_rows),  # the service sees to it
            now,
            None if patience is None or self._world.start_at else now + patience,
            shape,
            level if ranked else 0,
        )
        self.history.tickets[number] = self._waiting[number] = ticket
        return ticket

    def _carry_out(self, step: Step, now: int) -> None:
        history, world = self.history, self._world
        history.steps.append(step)
        full = [one.ticket for one in step.rejects if one.reason is Refusal.FULL]
        self._started |= len(self._waiting) - len(full) >= world.start_at
        for reject in step.rejects:
            self._waiting.pop(reject.ticket.id, None)
            self._end(reject.ticket, Ended(now, reject.reason, None))
        for dispatch in step.dispatches:
            self._look_at(dispatch, now)
            self._busy.add(dispatch.instance)
            history.dispatches.append((now, dispatch))
            for ticket in dispatch.tickets:
                self._waiting.pop(ticket.id, None)
                self._end(ticket, Ended(now, None, dispatch))
            self._at(
                now + self._service_ns,
                lambda at, instance=dispatch.instance: self._free(instance, at),  # type: ignore[misc]
            )
        self._wake = step.wake_ns
        self._look(now)

    def _free(self, instance: int, now: int) -> Step:
        self._busy.discard(instance)
        return self._scheduler.free(instance, now)

    def _end(self, ticket: Ticket, ended: Ended) -> None:
        self.history.ended.setdefault(ticket.id, []).append(ended)

    def _look_at(self, dispatch: Dispatch, now: int) -> None:
        """Note what is wrong with a batch that leaves: where it runs, who is in it, who is not."""
        world, faults, busy = self._world, self.history.faults, self._busy
        if dispatch.instance in busy or not 0 <= dispatch.instance < world.instances:
            faults.append(f"{now}: there is no idle instance {dispatch.instance}")
        if not self._started:
            faults.append(f"{now}: a batch left before {world.start_at} waited")
        # Where newcomers can be refused, a batch may leave between two of them to make room.
        bounded = any(world.level(ticket).most for ticket in self.history.tickets.values())
        ranks = [world.rank(ticket, now) for ticket in dispatch.tickets]
        waiting = sorted(self._waiting.values(), key=lambda ticket: world.rank(ticket, now))
        left = [one for one in waiting if one not in dispatch.tickets]
        overtaken = [one for one in left if not bounded or one.arrived_ns < now]
        if ranks != sorted(ranks) or (overtaken and world.rank(overtaken[0], now) < max(ranks)):
            faults.append(f"{now}: {dispatch.tickets} overtook {overtaken[:1]}")
        if world.rules is not None and not bounded and self.history.stopped_before is None:
            expected = batch(waiting, world.rules, now)
            if tuple(expected) != dispatch.tickets:
                faults.append(f"{now}: {dispatch.tickets} left instead of {expected}")

    def _look(self, now: int) -> None:
        """Note what must not be: now, when everything the step asked for is done."""
        world, history, waiting = self._world, self.history, [*self._waiting.values()]
        idle = self._started and len(self._busy) < world.instances
        if idle and waiting and self._leave(waiting, now):
            history.faults.append(f"{now}: a batch could have left")
        due = [one.deadline_ns or 0 for one in waiting if world.refuses(one)]
        if idle and world.rules is not None:
            due += [one.arrived_ns + world.rules.max_delay_ns for one in waiting]
        if due and min(due) <= now:
            history.faults.append(f"{now}: somebody should have left at {min(due)}")
        elif due and (self._wake is None or self._wake > min(due)):
            history.faults.append(f"{now}: due at {min(due)}, but asked to wake at {self._wake}")
        if self._wake is not None and self._wake <= now:
            history.faults.append(f"{now}: asked to wake at {self._wake}: a busy loop")
        self._count_up(now, waiting)

    def _leave(self, waiting: list[Ticket], now: int) -> list[Ticket]:
        """Who leaves now for an idle instance, if there is one."""
        rules = self._world.rules
        if rules is None or self.history.stopped_before is not None:
            return waiting
        return batch(sorted(waiting, key=lambda one: self._world.rank(one, now)), rules, now)

    def _count_up(self, now: int, waiting: list[Ticket]) -> None:
        """Note whether more wait than may."""
        world, faults = self._world, self.history.faults
        counts = Counter(ticket.priority for ticket in waiting)
        for ticket in waiting:
            most = world.level(ticket).most
            if most and counts[ticket.priority] > most:
                faults.append(f"{now}: {counts[ticket.priority]} wait at level {ticket.priority}")
