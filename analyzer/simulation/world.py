"""A server in virtual time: the real scheduler decides, and a service model says what it takes.

Owns the order of events. Does not own decisions (``engine.schedulers``) nor times (``service``).
Time is a whole number of ns that is counted here. The rules are those of the engine's pump:

1. the front end works by turns: one begins when something has happened and the last one is over,
   takes all that has happened until then, and is as long as what there is to do;
2. an instance that has finished gets its next batch before the responses of the last one leave;
3. what one turn brought is offered to the scheduler at once; so batches form without a delay;
4. busy instances share what they compute with: however many they are, all get on equally slowly.

Rule 4 needs one clock that runs slower the more of them are busy. A batch ends when that clock has
run for as long as the batch takes alone, so nothing is computed anew when the number changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from engine.scheduler import Dispatch, Scheduler, Step, Ticket

_NEVER = 1 << 62

#: makes the ticket of a request by its number and the time at which it arrives
Write = Callable[[int, int], Ticket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What everything takes, ns. ``alone`` is by rows, ``slowdown`` by busy instances, both from 0.

    ``multipliers`` are those of the batches, in turn; what they multiply is ``varying``, by rows,
    () for all of ``alone``, and the rest stays. All else is ``service.ServiceModel``'s.
    """

    alone: Sequence[float]
    slowdown: Sequence[float]
    multipliers: Iterator[float]
    varying: Sequence[float] = ()
    admit_ns: float = 0.0
    respond_ns: float = 0.0
    batch_ns: float = 0.0
    outside_ns: float = 0.0
    inline: bool = False


@dataclass(slots=True)
class Seen:
    """What happened. Of answers: when, and after which latency, ns; of batches: when, and what.

    ``queue_ns`` is how long the requests of a batch waited, together, and ``took_ns`` how long a
    batch computed (0: it still does). ``refused`` holds when each refusal was given. ``busy`` adds
    up instances times ns at work.
    """

    ended_ns: list[int] = field(default_factory=list)
    latency_ns: list[int] = field(default_factory=list)
    batches: list[tuple[int, Dispatch]] = field(default_factory=list)
    queue_ns: list[int] = field(default_factory=list)
    took_ns: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    busy: float = 0.0
    now_ns: int = 0


class World:
    """One model behind its scheduler, and its clients.

    ``gaps`` are the times between requests of an open loop, which ends with them; without them the
    loop is closed, and ``clients`` send their next request when they have their answer; the first
    at ``starts``, which rise, or all at once.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pace: Pace,
        write: Write,
        *,
        clients: int = 0,
        gaps: Iterator[int] | None = None,
        starts: Sequence[int] = (),
    ) -> None:
        self._scheduler = scheduler
        self._pace = pace
        self._write = write
        self._gaps = gaps
        self._outside = round(pace.outside_ns)
        self._varying = pace.varying or pace.alone
        self.seen = Seen()
        #: when requests reach the front end, in order; and when each was sent, by its number
        begin = starts or [0] * clients
        self._coming: deque[int] = deque(self._outside + moment for moment in begin)
        self._sent: list[int] = []
        self._wake_ns: int | None = None
        # What computes: when it is done by the shared clock, in which order it began, and what.
        self._computing: list[tuple[float, int, Dispatch]] = []
        self._shared = 0.0
        self._computed_ns = 0.0
        self._done: deque[Dispatch] = deque()
        self._now = 0.0

    def run(self, answers: int) -> Seen:
        """Go on until so many requests are answered, one way or the other."""
        seen = self.seen
        while len(seen.ended_ns) + len(seen.refused) < answers:
            begin = self._next()
            if begin is None:
                break  # whoever waits is waited for by nobody: a scheduler that is stuck
            self._now = max(self._now, begin)
            self._compute(self._now)
            self._turn()
            seen.now_ns = round(self._now)
        self._compute(self._now)
        return seen

    def _next(self) -> int | float | None:
        """Say when the front end next has something to do."""
        if self._done:
            return self._now
        if not self._coming:
            self._expect()
        first: float = self._coming[0] if self._coming else _NEVER
        if self._wake_ns is not None and self._wake_ns < first:
            first = self._wake_ns
        if self._computing:
            slow = self._pace.slowdown[len(self._computing)]
            ends = self._computed_ns + (self._computing[0][0] - self._shared) * slow
            first = min(first, ends)
        return None if first == _NEVER else first

    def _expect(self) -> bool:
        """Have the next request of an open loop come; say whether there is one."""
        gap = next(self._gaps, None) if self._gaps is not None else None
        if gap is None:
            return False
        last = self._sent[-1] if self._sent else 0
        self._coming.append(last + gap + self._outside)
        return True

    def _compute(self, until: float) -> None:
        """Have the instances compute up to a moment, and collect what they finish."""
        computing, slowdown, seen = self._computing, self._pace.slowdown, self.seen
        while computing:
            busy = len(computing)
            slow = slowdown[busy]
            ends = self._computed_ns + (computing[0][0] - self._shared) * slow
            if ends > until:
                seen.busy += busy * (until - self._computed_ns)
                self._shared += (until - self._computed_ns) / slow
                break
            seen.busy += busy * (ends - self._computed_ns)
            self._computed_ns = ends
            self._shared = computing[0][0]
            _, number, dispatch = heappop(computing)
            seen.took_ns[number] = ends - seen.batches[number][0]
            self._done.append(dispatch)
        self._computed_ns = until

    def _turn(self) -> None:
        """Do all that has happened so far."""
        began = self._now
        done, self._done = self._done, deque()
        while done:
            dispatch = done.popleft()
            self._now += self._pace.batch_ns
            self._carry_out(self._scheduler.free(dispatch.instance, round(self._now)))
            self._respond(dispatch.tickets)
        coming, sent = self._coming, self._sent
        arrived: list[Ticket] = []
        while True:
            while coming and coming[0] <= began:
                self._now += self._pace.admit_ns
                sent.append(coming.popleft() - self._outside)
                arrived.append(self._write(len(sent) - 1, round(self._now)))
            if coming or not self._expect():
                break
        if arrived:
            self._carry_out(self._scheduler.offer(arrived, round(self._now)))
        if self._wake_ns is not None and self._wake_ns <= self._now:
            self._wake_ns = None
            self._carry_out(self._scheduler.tick(round(self._now)))

    def _carry_out(self, step: Step) -> None:
        while True:
            self._wake_ns = step.wake_ns
            for _ in step.rejects:
                self._now += self._pace.respond_ns
                self.seen.refused.append(round(self._now))
                self._again()
            for dispatch in step.dispatches:
                self._begin(dispatch)
            if not (self._pace.inline and step.dispatches):
                return
            # Inline an instance is free again at once; those of one step are one after the other.
            for dispatch in step.dispatches[:-1]:
                self._carry_out(self._scheduler.free(dispatch.instance, round(self._now)))
            step = self._scheduler.free(step.dispatches[-1].instance, round(self._now))

    def _begin(self, dispatch: Dispatch) -> None:
        now, tickets, pace, seen = round(self._now), dispatch.tickets, self._pace, self.seen
        rows = 0
        waited = now * len(tickets)
        for ticket in tickets:
            rows += ticket.rows
            waited -= ticket.arrived_ns
        number = len(seen.batches)
        seen.batches.append((now, dispatch))
        seen.queue_ns.append(waited)
        takes = pace.alone[rows] + self._varying[rows] * (next(pace.multipliers) - 1)
        if pace.inline:
            seen.took_ns.append(takes)
            self._now += pace.batch_ns + takes
            seen.busy += takes
            self._respond(tickets)
            return
        self._compute(self._now)
        seen.took_ns.append(0.0)
        heappush(self._computing, (self._shared + takes, number, dispatch))

    def _respond(self, tickets: Sequence[Ticket]) -> None:
        respond_ns, sent, seen = self._pace.respond_ns, self._sent, self.seen
        ended, latency, closed = seen.ended_ns, seen.latency_ns, self._gaps is None
        for ticket in tickets:
            self._now += respond_ns
            now = round(self._now)
            ended.append(now)
            latency.append(now - sent[ticket.id])
            if closed:
                self._coming.append(now + self._outside)

    def _again(self) -> None:
        """Have a client of a closed loop send its next request."""
        if self._gaps is None:
            self._coming.append(round(self._now) + self._outside)
