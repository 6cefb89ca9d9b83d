"""Random traffic of sequences, the virtual world that runs it, and the laws it watches.

The world knows nothing of a scheduler's inside: it keeps its own books of which requests belong
together (``Group``), from the rules of sequences alone, and notes every decision that breaks one.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.scheduler import Dispatch, Refusal, Reject, Scheduler, SequenceMark, Step, Ticket

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SequenceWorld:
    """A scheduler of sequences with the limits that it has to keep to."""

    make: Callable[[], Scheduler]
    instances: int
    slots: int
    idle_ns: int
    max_rows: int
    delay_ns: int = 0
    aligned: bool = False  # rows are slots: the direct strategy
    text: str = ""


@dataclass(eq=False, slots=True)
class Group:
    """One sequence, or several of one id in a row: what one slot is kept for."""

    number: int
    open: bool = True
    waiting: list[Ticket] = field(default_factory=list)
    running: Ticket | None = None
    place: Place | None = None
    left: bool = False  # the scheduler said that it has left its place
    silent_since: int | None = None
    next_since: int = 0  # when its first waiting request could have run for all its sequence does

    @property
    def over(self) -> bool:
        return not self.open and not self.waiting and self.running is None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that comes: its sequence, its flags, its shape, its timeout."""

    id: int | str
    start: bool
    end: bool
    shape: str = "a"
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens after ``gap`` ns: requests come, some are taken back, or the server stops."""

    gap: int
    arrivals: tuple[Arrival, ...] = ()
    cancel: tuple[int, ...] = ()
    stop: bool = False


def random_traffic(dice: random.Random) -> list[Moment]:
    """Make traffic of a few clients, most of which keep to the rules."""
    every: tuple[int | str, ...] = (1, 2, 3, "1", "x", 6, 7, 8)
    names = every[: dice.randint(1, 8)]
    shapes = dice.choice(("a", "a", "aab"))
    rude = dice.choice((0.0, 0.1, 0.3))
    open_now: set[int | str] = set()
    moments: list[Moment] = []
    for _ in range(dice.randint(3, 25)):
        arrivals = []
        for _ in range(dice.choice((0, 1, 1, 2, 5))):
            name = dice.choice(names)
            start = name not in open_now
            if dice.random() < rude:
                start = not start
            end = dice.random() < 0.25
            (open_now.discard if end else open_now.add)(name)
            ttl = dice.choice((None, None, None, 5, 30))
            arrivals.append(Arrival(name, start, end, dice.choice(shapes), ttl))
        cancel = (dice.randrange(60),) if dice.random() < 0.1 else ()
        moments.append(Moment(dice.choice((0, 1, 3, 10, 45)), tuple(arrivals), cancel))
    if dice.random() < 0.3:
        moments.insert(dice.randrange(len(moments)), Moment(1, stop=True))
    return moments


class SequenceSimulation:
    """Drives a scheduler on virtual time and notes every breach in ``faults``."""

    def __init__(self, world: SequenceWorld, traffic: list[Moment], service_ns: int) -> None:
        self._world = world
        self._service_ns = service_ns
        self._scheduler = world.make()
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0
        self._wake: int | None = None
        self._open: dict[int | str, Group] = {}
        self._groups: list[Group] = []
        self._of: dict[int, Group] = {}
        self._occupant: dict[Place, Group] = {}
        self._busy: dict[int, Dispatch] = {}
        self._ended: dict[int, str] = {}
        self._tickets: list[Ticket] = []
        self._stopped = False
        self._changed = 0  # when a slot may have become free
        self.steps: list[Step] = []
        self.faults: list[str] = []
        now = 0
        for moment in traffic:
            now += moment.gap
            self._at(now, lambda at, moment=moment: self._happen(moment, at))  # type: ignore[misc]

    def run(self) -> list[str]:
        """Go on until nothing is due any more; return the faults."""
        turns = 0
        while (self._events or self._wake is not None) and not self.faults:
            turns += 1
            if turns > 5000:
                self.faults.append("it never comes to an end")
            if self._events and (self._wake is None or self._events[0][0] <= self._wake):
                now, _, event = heapq.heappop(self._events)
                event(now)
            else:
                assert self._wake is not None
                now = self._wake
                self._take(self._scheduler.tick(now), now)
        if not self.faults:
            missing = [one.id for one in self._tickets if one.id not in self._ended]
            if missing:
                self.faults.append(f"requests {missing} never ended")
        return self.faults

    def _at(self, when: int, event: Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def _happen(self, moment: Moment, now: int) -> None:
        if self._wake is not None and self._wake <= now:  # what is due comes before what comes
            self._take(self._scheduler.tick(now), now)
        if moment.arrivals:
            self._come(moment.arrivals, now)
        for number in moment.cancel:
            self._cancel(number, now)
        if moment.stop:
            self._stopped = True
            self._take(self._scheduler.stop(now), now)

    def _come(self, arrivals: tuple[Arrival, ...], now: int) -> None:
        self._reap(now)
        tickets: list[Ticket] = []
        expected: dict[int, Refusal | None] = {}
        for one in arrivals:
            number = len(self._tickets)
            deadline = None if one.ttl is None else now + one.ttl
            mark = SequenceMark(one.id, one.start, one.end)
            ticket = Ticket(number, 1, now, deadline, one.shape, sequence=mark)
            self._tickets.append(ticket)
            tickets.append(ticket)
            expected[number] = self._book(ticket, mark)
        step = self._scheduler.offer(tickets, now)
        refusals = (Refusal.STOPPING, Refusal.UNSTARTED)
        refused = {one.ticket.id: one.reason for one in step.rejects if one.reason in refusals}
        if refused != {number: why for number, why in expected.items() if why is not None}:
            self._fault(now, f"of {expected} it refused {refused}")
        self._take(step, now)

    def _book(self, ticket: Ticket, mark: SequenceMark) -> Refusal | None:
        """Put an arrival into the books; return why it must be refused, if so."""
        if mark.start and self._stopped:
            return Refusal.STOPPING
        group = self._open.get(mark.id)
        if group is None:
            if not mark.start:
                return Refusal.UNSTARTED
            group = self._open[mark.id] = Group(len(self._groups))
            self._groups.append(group)
        group.waiting.append(ticket)
        group.silent_since = None
        self._of[ticket.id] = group
        if mark.end:
            self._close(group)
        return None

    def _cancel(self, number: int, now: int) -> None:
        self._reap(now)
        group = self._of.get(number)
        must_go: list[int] = []
        if group is not None:
            waiting = [one.id for one in group.waiting]
            if number in waiting:
                at = waiting.index(number)
                end = self._next_start(group, at + 1)
                must_go = waiting[at:end]
        step = self._scheduler.cancel(number, now)
        went = [one.ticket.id for one in step.rejects if one.reason is Refusal.CANCELLED]
        if went != must_go:
            self._fault(now, f"cancel({number}) took back {went}, not {must_go}")
        self._take(step, now)

    @staticmethod
    def _next_start(group: Group, search: int) -> int:
        for at in range(search, len(group.waiting)):
            mark = group.waiting[at].sequence
            if mark is not None and mark.start:
                return at
        return len(group.waiting)

    def _close(self, group: Group) -> None:
        group.open = False
        self._open = {name: one for name, one in self._open.items() if one is not group}

    def _reap(self, now: int) -> None:
        """Close in the books who has been silent for the idle time."""
        for group in list(self._open.values()):
            since = group.silent_since
            if since is not None and since + self._world.idle_ns <= now:
                self._close(group)
                self._changed = now

    def _take(self, step: Step, now: int) -> None:
        self.steps.append(step)
        self._reap(now)
        self._check_expired(step.rejects, now)
        for reject in step.rejects:
            self._end(reject.ticket.id, reject.reason.name, now)
            group = self._of.get(reject.ticket.id)
            if group is not None and reject.reason is not Refusal.UNSTARTED:
                at = [one.id for one in group.waiting].index(reject.ticket.id)
                del group.waiting[at]
                if at == len(group.waiting):
                    self._close(group)
                    self._changed = now
        for place in step.ended:
            occupant = self._occupant.get(place)
            if occupant is not None:
                occupant.left = True
                if self._stopped and occupant.silent_since is not None and self._wait_for_slots():
                    self._close(occupant)  # its next request may never come
                if not occupant.over:
                    self._fault(now, f"{place} is said to be left, and is not")
        for dispatch in step.dispatches:
            self._start(dispatch, now)
        self._wake = step.wake_ns
        self._look(now)

    def _check_expired(self, rejects: tuple[Reject, ...], now: int) -> None:
        expired = [one.ticket for one in rejects if one.reason is Refusal.SEQUENCE_EXPIRED]
        gone = {ticket.id for ticket in expired}
        for ticket in expired:
            group = self._of[ticket.id]
            deadlines = [one.deadline_ns for one in group.waiting if one.deadline_ns is not None]
            if group.place is not None:
                self._fault(now, f"{ticket.id} expired, though its sequence has a slot")
            if min(deadlines, default=-1) != now:
                self._fault(now, f"{ticket.id} expired, though none of {deadlines} is now")
            if not {one.id for one in group.waiting} <= gone:
                self._fault(now, f"{ticket.id} expired without the rest of its sequence")

    def _start(self, dispatch: Dispatch, now: int) -> None:
        world, instance = self._world, dispatch.instance
        if instance in self._busy or not 0 <= instance < world.instances:
            self._fault(now, f"instance {instance} is not free")
        self._busy[instance] = dispatch
        slots = dispatch.slots
        if len(set(slots)) != len(dispatch.tickets) or not set(slots) <= set(range(world.slots)):
            self._fault(now, f"slots {slots} for {len(dispatch.tickets)} requests")
        if world.aligned and list(slots) != sorted(slots):
            self._fault(now, f"rows {slots} are out of order")
        if len({ticket.shape for ticket in dispatch.tickets}) > 1:
            self._fault(now, "shapes are mixed")
        if not 0 < len(dispatch.tickets) <= world.max_rows:
            self._fault(now, f"{len(dispatch.tickets)} rows")
        for ticket, slot in zip(dispatch.tickets, slots, strict=True):
            self._run(ticket.id, (instance, slot), now)
        self._at(now + self._service_ns, lambda at: self._free(instance, at))

    def _run(self, number: int, place: Place, now: int) -> None:
        group = self._of.get(number)
        if group is None or group.running is not None or not group.waiting:
            self._fault(now, f"{number} does not wait, or runs beside its own sequence")
            return
        if group.waiting[0].id != number:
            self._fault(now, f"{number} ran before {group.waiting[0].id} of its sequence")
            return
        if group.place is None:
            self._settle(group, place, now)
        elif group.place != place:
            self._fault(now, f"{number} ran at {place}, its sequence is at {group.place}")
        group.running = group.waiting.pop(0)
        self._end(number, "ran", now)

    def _settle(self, group: Group, place: Place, now: int) -> None:
        occupant = self._occupant.get(place)
        if occupant is not None and not occupant.over:
            self._fault(now, f"{place} is still another's")
        older = [one for one in self._groups[: group.number] if self._unplaced(one)]
        if len(older) > self._vacant() - 1:
            self._fault(now, f"{[one.number for one in older]} waited longer for a slot")
        self._occupant[place] = group
        group.place = place

    @staticmethod
    def _unplaced(group: Group) -> bool:
        return group.place is None and not group.over

    def _wait_for_slots(self) -> bool:
        return any(self._unplaced(group) for group in self._groups)

    def _vacant(self) -> int:
        """Count the places that no sequence has been seen to keep."""
        taken = sum(not group.over for group in self._occupant.values())
        return self._world.instances * self._world.slots - taken

    def _end(self, number: int, how: str, now: int) -> None:
        if number in self._ended:
            self._fault(now, f"{number} {how} after it {self._ended[number]}")
        self._ended[number] = how

    def _free(self, instance: int, now: int) -> None:
        self._reap(now)
        for ticket in self._busy.pop(instance).tickets:
            group = self._of[ticket.id]
            group.running = None
            group.next_since = self._changed = now
            if group.open and not group.waiting:
                group.silent_since = now
        self._take(self._scheduler.free(instance, now), now)

    def _look(self, now: int) -> None:
        """Note what must not be: now, when all that the step asked for is done."""
        world = self._world
        delay_ns = 0 if self._stopped and world.aligned else world.delay_ns
        if any(group.over and not group.left for group in self._occupant.values()):
            self._fault(now, "nobody was told that a sequence has left its place")
        due: list[int] = []
        unplaced = [group for group in self._groups if self._unplaced(group)]
        for group in self._groups:
            if group.open and group.silent_since is not None:
                due.append(group.silent_since + world.idle_ns)
            free = group.place is not None and group.place[0] not in self._busy
            if free and group.waiting and group.running is None:
                due.append(self._since(group, group.next_since) + delay_ns)
        if unplaced and not self._busy and self._vacant():
            due.append(self._since(unplaced[0], self._changed) + delay_ns)
        if not self._vacant():
            due += [
                ticket.deadline_ns
                for group in unplaced
                for ticket in group.waiting
                if ticket.deadline_ns is not None
            ]
        if due and min(due) <= now:
            self._fault(now, f"something was due at {min(due)}")
        elif due and (self._wake is None or self._wake > min(due)):
            self._fault(now, f"due at {min(due)}, but asked to wake at {self._wake}")
        if self._wake is not None and self._wake <= now:
            self._fault(now, f"asked to wake at {self._wake}: a busy loop")

    def _since(self, group: Group, free: int) -> int:
        """When the delay of a group's next request began; inner batchers see it only then."""
        arrived = group.waiting[0].arrived_ns
        return arrived if self._world.aligned else max(arrived, free)

    def _fault(self, now: int, text: str) -> None:
        self.faults.append(f"at {now}: {text}")
