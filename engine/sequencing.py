"""Which sequences there are, what slot each of them has, and which of their requests wait.

Owns the life of a sequence, for both strategies of the sequence batcher. Does not own batches or
instances (``engine.schedulers``), nor time: every call that depends on it is told it. Rules, from
Triton's ``sequence_batch_scheduler``:

1. a request without START belongs to a sequence that is open, or is refused (``UNSTARTED``);
2. a new sequence takes the free slot with the lowest number, of any instance, and keeps it for
   life; if none is free it waits in the backlog, first come, first served, with all that follows;
3. END closes a sequence: its id is free for another at once, its slot when its last request ended;
4. START for an open sequence goes on in its place as a new sequence, behind what was there;
5. a sequence of which nothing waits or runs for the idle time is closed. (Triton counts from the
   last arrival; counting from the last answer, a slow model does not cut its sequences off);
6. the earliest deadline among a backlogged sequence's requests ends the whole of it; a sequence
   that has a slot knows no deadline;
7. a request that is taken back takes with it what waits behind it of its sequence, and closes it:
   without that request the rest means nothing. What comes before it runs;
8. once stopped, nothing starts any more. Open sequences go on, but a silent one gives its slot to
   whoever waits for one: its next request may never come, since the model is on its way out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heapify, heappop, heappush
from itertools import count

from engine.scheduler import Refusal, Reject, Ticket


class Live:
    """A sequence (with rule 4, several of one id in a row); ``line`` is what waits of it.

    ``slot`` and ``instance`` are -1 in the backlog. ``running`` says that a request of it is out.
    """

    __slots__ = ("deadline_ns", "id", "instance", "line", "open", "running", "slot")

    def __init__(self, name: int | str) -> None:
        self.id = name
        self.line: deque[Ticket] = deque()
        self.open = True
        self.running = False
        self.slot = -1
        self.instance = -1
        self.deadline_ns: int | None = None


class Roster:
    """The sequences of one model: ``slots`` for each of its ``instances``."""

    def __init__(self, instances: int, slots: int, idle_ns: int) -> None:
        self._idle_ns = idle_ns
        self._instances = instances
        self._places = instances * slots
        # Places that were left, and how many were ever taken: a candidate costs nothing unused.
        self._vacant: list[tuple[int, int]] = []
        self._taken = 0
        self._open: dict[int | str, Live] = {}
        self._waiting: dict[int, Live] = {}
        self._backlog: OrderedDict[Live, None] = OrderedDict()
        # Since the idle time is the same for all, who fell silent first is over first.
        self._silent: OrderedDict[Live, int] = OrderedDict()
        self._deadlines: list[tuple[int, int, Live]] = []
        self._number = count()
        self._ready: list[Live] = []
        self._ended: list[tuple[int, int]] = []
        self._stopping = False

    @property
    def waiting(self) -> int:
        """How many requests wait, with a slot or without."""
        return len(self._waiting)

    @property
    def backlogged(self) -> int:
        """How many requests wait for a slot."""
        return sum(len(live.line) for live in self._backlog)

    def admit(self, ticket: Ticket) -> Reject | None:
        """Put a request behind the others of its sequence, or refuse it."""
        mark = ticket.sequence
        assert mark is not None, "a model that keeps sequences marks every ticket"
        if mark.start and self._stopping:
            return Reject(ticket, Refusal.STOPPING)
        live = self._open.get(mark.id)
        if live is None:
            if not mark.start:
                return Reject(ticket, Refusal.UNSTARTED)
            live = self._begin(mark.id)
        live.line.append(ticket)
        self._waiting[ticket.id] = live
        if mark.end:
            self._close(live)
        if live in self._backlog:
            self._bound(live)
        else:
            self._silent.pop(live, None)
            if len(live.line) == 1 and not live.running:
                self._ready.append(live)
        return None

    def ready(self) -> list[Live]:
        """Tell which sequences came to have a next request that may run; each is told once."""
        ready, self._ready = self._ready, []
        return [live for live in ready if live.line]

    def ended(self) -> tuple[tuple[int, int], ...]:
        """Tell which instances and slots sequences have left; each is told once."""
        ended, self._ended = self._ended, []
        return tuple(ended)

    def take(self, live: Live) -> Ticket:
        """Let a ready sequence's next request go; the one after it waits for ``finish``."""
        ticket = live.line.popleft()
        del self._waiting[ticket.id]
        live.running = True
        return ticket

    def finish(self, live: Live, now_ns: int) -> None:
        """Learn that the request that was out has ended."""
        live.running = False
        if live.line:
            self._ready.append(live)
        elif live.open and not (self._stopping and self._backlog):
            self._silent[live] = now_ns + self._idle_ns
        else:
            self._close(live)
            self._vacate(live)

    def cancel(self, ticket_id: int) -> tuple[Reject, ...]:
        """Take a waiting request back, by rule 7."""
        live = self._waiting.get(ticket_id)
        if live is None:
            return ()
        at = next(place for place, one in enumerate(live.line) if one.id == ticket_id)
        rejects = self._cut(live, at, at + 1)
        if not live.line:
            if self._backlog.pop(live, _ABSENT) is _ABSENT and not live.running:
                self._vacate(live)
        elif live in self._backlog:
            self._bound(live)
        return rejects

    def lose(self, live: Live, now_ns: int) -> tuple[Reject, ...]:
        """Learn that the request that was out will not run: what follows goes, by rule 7."""
        rejects = self._cut(live, 0, 0)
        self.finish(live, now_ns)
        return rejects

    def expire(self, now_ns: int) -> tuple[Reject, ...]:
        """Close who was silent too long, and refuse what waited too long for a slot."""
        late: list[Ticket] = []
        while (first := self._next_deadline_ns()) is not None and first <= now_ns:
            live = heappop(self._deadlines)[2]
            del self._backlog[live]
            self._close(live)
            late += live.line
            live.line = deque()
        for ticket in late:
            del self._waiting[ticket.id]
        while self._silent:
            live, over_ns = next(iter(self._silent.items()))
            if over_ns > now_ns:
                break
            del self._silent[live]
            self._close(live)
            self._vacate(live)
        return tuple(Reject(ticket, Refusal.SEQUENCE_EXPIRED) for ticket in late)

    def wake_ns(self) -> int | None:
        """When ``expire`` has something to do next; None if only an event can change that."""
        first = self._next_deadline_ns()
        for over_ns in self._silent.values():
            return over_ns if first is None else min(first, over_ns)
        return first

    def stop(self) -> None:
        """Let nothing start any more."""
        self._stopping = True
        while self._silent and self._backlog:
            live = self._silent.popitem(last=False)[0]
            self._close(live)
            self._vacate(live)

    def _begin(self, name: int | str) -> Live:
        live = self._open[name] = Live(name)
        if self._vacant:  # what was left comes before what was never taken
            live.slot, live.instance = heappop(self._vacant)
        elif self._taken < self._places:
            live.slot, live.instance = divmod(self._taken, self._instances)
            self._taken += 1
        else:
            self._backlog[live] = None
        return live

    def _close(self, live: Live) -> None:
        if live.open:
            live.open = False
            del self._open[live.id]

    def _vacate(self, live: Live) -> None:
        """Give a slot to the first of the backlog, or back."""
        self._ended.append((live.instance, live.slot))
        if not self._backlog:
            heappush(self._vacant, (live.slot, live.instance))
            return
        heir = self._backlog.popitem(last=False)[0]
        heir.slot, heir.instance, heir.deadline_ns = live.slot, live.instance, None
        self._ready.append(heir)

    def _cut(self, live: Live, at: int, search: int) -> tuple[Reject, ...]:
        """Take out the requests from ``at`` to the next START, looked for from ``search`` on.

        Without a START the sequence is closed. The slot is the caller's to see to.
        """
        tickets = list(live.line)
        starts = (place for place in range(search, len(tickets)) if _starts(tickets[place]))
        end = next(starts, len(tickets))
        if end == len(tickets):
            self._close(live)
        live.line = deque(tickets[:at] + tickets[end:])
        for ticket in tickets[at:end]:
            del self._waiting[ticket.id]
        return tuple(Reject(ticket, Refusal.CANCELLED) for ticket in tickets[at:end])

    def _bound(self, live: Live) -> None:
        """Find the deadline of a sequence in the backlog anew."""
        deadlines = [one.deadline_ns for one in live.line if one.deadline_ns is not None]
        first = min(deadlines, default=None)
        if first != live.deadline_ns:
            live.deadline_ns = first
            if first is not None:
                heappush(self._deadlines, (first, next(self._number), live))
        if len(self._deadlines) > 2 * len(self._backlog) + _SLACK:
            self._deadlines = [one for one in self._deadlines if self._means(one)]
            heapify(self._deadlines)

    def _next_deadline_ns(self) -> int | None:
        deadlines = self._deadlines
        while deadlines:
            if self._means(deadlines[0]):
                return deadlines[0][0]
            heappop(deadlines)
        return None

    def _means(self, entry: tuple[int, int, Live]) -> bool:
        """Whether a deadline is one still: its sequence waits for a slot, and has no other."""
        return entry[2] in self._backlog and entry[2].deadline_ns == entry[0]


_ABSENT = object()
# So many deadlines that mean nothing any more may lie about before they are swept out.
_SLACK = 64


def _starts(ticket: Ticket) -> bool:
    return ticket.sequence is not None and ticket.sequence.start
