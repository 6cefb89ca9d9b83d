"""Random traffic for schedulers, and the virtual world that carries their decisions out."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from engine.scheduler import Dispatch, Refusal, Scheduler, Step, Ticket


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens after ``gap`` ns of silence: requests come, some are taken back."""

    gap: int
    requests: tuple[tuple[int, str, int | None], ...] = ()
    cancel: tuple[int, ...] = ()
    stop: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """A scheduler with the limits that it has to keep to."""

    make: Callable[[], Scheduler]
    instances: int
    max_rows: int | None = None
    max_delay_ns: int = 0
    max_queue: int = 0
    expires: bool = False
    alone: bool = False
    text: str = ""

    def __repr__(self) -> str:
        return self.text


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


requests = st.tuples(
    st.sampled_from((1, 1, 1, 2, 3, 4)),
    st.sampled_from("aaab"),
    st.sampled_from((None, None, 1, 20, 70)),
)


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    """One turn; now and then a burst, so that queues do form."""
    size = draw(st.sampled_from((0, 1, 1, 2, 4, 8)))
    return Turn(
        gap=draw(st.sampled_from((0, 1, 5, 25))),
        requests=tuple(draw(requests) for _ in range(size)),
        cancel=tuple(draw(st.lists(st.integers(0, 40), max_size=1))),
    )


traffic = st.builds(
    lambda before, last, after: [*before, *last, *after],
    st.lists(turns(), min_size=2, max_size=12),
    st.sampled_from(([], [Turn(gap=3, stop=True)])),
    st.lists(
        st.builds(Turn, gap=st.integers(0, 9), requests=st.just(((1, "a", None),))), max_size=3
    ),
)


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
        self.history = History()
        now = 0
        for turn in traffic:
            now += turn.gap
            self._at(now, lambda at, turn=turn: self._come(turn, at))  # type: ignore[misc]

    def run(self) -> History:
        """Go on until nothing is due any more."""
        while self._events or self._wake is not None:
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
        tickets = []
        for rows, shape, ttl in turn.requests:
            number = len(history.tickets)
            if self._world.max_rows is not None:
                rows = min(rows, self._world.max_rows)  # noqa: PLW2901 - the service sees to it
            ticket = Ticket(number, rows, now, None if ttl is None else now + ttl, shape)
            history.tickets[number] = self._waiting[number] = ticket
            tickets.append(ticket)
        if tickets:
            self._carry_out(scheduler.offer(tickets, now), now)
        for number in turn.cancel:
            queued = number in self._waiting
            step = scheduler.cancel(number, now)
            gone = [r.ticket.id for r in step.rejects if r.reason is Refusal.CANCELLED]
            if gone != ([number] if queued else []):
                history.faults.append(f"{now}: cancel({number}) took back {gone}")
            self._carry_out(step, now)
        if turn.stop:
            history.stopped_before = len(history.tickets)
            return scheduler.stop(now)
        return scheduler.tick(now)

    def _carry_out(self, step: Step, now: int) -> None:
        history = self.history
        history.steps.append(step)
        full = sum(reject.reason is Refusal.FULL for reject in step.rejects)
        for reject in step.rejects:
            self._waiting.pop(reject.ticket.id, None)
            self._end(reject.ticket, Ended(now, reject.reason, None))
        for dispatch in step.dispatches:
            if dispatch.instance in self._busy:
                history.faults.append(f"{now}: instance {dispatch.instance} is busy")
            if not 0 <= dispatch.instance < self._world.instances:
                history.faults.append(f"{now}: there is no instance {dispatch.instance}")
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
        self._look(now, full)

    def _free(self, instance: int, now: int) -> Step:
        self._busy.discard(instance)
        return self._scheduler.free(instance, now)

    def _end(self, ticket: Ticket, ended: Ended) -> None:
        self.history.ended.setdefault(ticket.id, []).append(ended)

    def _look(self, now: int, full: int) -> None:
        """Note what must not be: now, when everything the step asked for is done."""
        world, history = self._world, self.history
        delay_ns = 0 if history.stopped_before is not None else world.max_delay_ns
        idle = len(self._busy) < world.instances
        due = [ticket.arrived_ns + delay_ns for ticket in self._waiting.values() if idle] + [
            ticket.deadline_ns
            for ticket in self._waiting.values()
            if world.expires and ticket.deadline_ns is not None
        ]
        if due and min(due) <= now:
            history.faults.append(f"{now}: somebody should have left at {min(due)}")
        elif due and (self._wake is None or self._wake > min(due)):
            history.faults.append(f"{now}: due at {min(due)}, but asked to wake at {self._wake}")
        if self._wake is not None and self._wake <= now:
            history.faults.append(f"{now}: asked to wake at {self._wake}: a busy loop")
        if world.max_queue and len(self._waiting) > world.max_queue:
            history.faults.append(f"{now}: {len(self._waiting)} wait")
        if full and not world.max_queue:
            history.faults.append(f"{now}: refused as full, without a bound")
        if full and len(self._waiting) < world.max_queue and idle:
            history.faults.append(f"{now}: refused as full with room and an idle instance")
