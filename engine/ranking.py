"""The waiting line where not everybody is equal: priority levels, and who is put off.

Owns the ranks of requests, and a queue by rank. Does not own when a request's time is up
(``engine.queueing``), batches, instances or time. Rules, from Triton's ``ModelQueuePolicy`` and
``PriorityQueue``:

1. level 1 is the highest; a request that asks for level 0, or for one below the lowest, has the
   default level; a level without a policy of its own has the default policy;
2. a level is served before all below it, and within a level first those that are not put off, in
   order of arrival, then those that are, in the order in which their deadlines came;
3. when a request's time is up, action REJECT refuses it, and action DELAY puts it off, for good;
4. ``max_queue_size`` bounds the requests of one level that wait, put off or not; 0 is no bound.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TypeVar

from engine.modelconfig.schema import DynamicBatching, QueuePolicy, TimeoutAction
from engine.scheduler import Ticket

# So many places that are left may lie about before they are swept out.
_SLACK = 64


@dataclass(frozen=True, slots=True)
class LevelRules:
    """What holds for one level. ``most`` may wait in it, 0 is no bound.

    ``puts_off`` says what becomes of who expires: put off (DELAY), or refused (REJECT).
    """

    most: int = 0
    puts_off: bool = False


@dataclass(frozen=True, slots=True)
class RankRules:
    """What a ``Ranked`` queue keeps to: rules of levels that have their own, and of the others."""

    default: LevelRules = LevelRules()
    levels: Mapping[int, LevelRules] = field(default_factory=dict)


def rank_rules(batching: DynamicBatching) -> RankRules | None:
    """Say by which rules requests are ranked; None if first come, first served is all there is.

    Without ``priority_levels`` there is one level, and ``priority_queue_policy`` means nothing.
    """
    default = _level_rules(batching.default_queue_policy)
    if batching.priority_levels:
        levels = batching.priority_queue_policy
        return RankRules(default, {level: _level_rules(levels[level]) for level in levels})
    return RankRules(default) if default.puts_off else None


def level_of(batching: DynamicBatching, priority: int) -> int:
    """Which level a request that asks for ``priority`` has; 0 where there are no levels."""
    if 1 <= priority <= batching.priority_levels:
        return priority
    return batching.default_priority_level if batching.priority_levels else 0


def _level_rules(policy: QueuePolicy | None) -> LevelRules:
    if policy is None:
        return LevelRules()
    puts_off = policy.timeout_action is TimeoutAction.DELAY
    return LevelRules(policy.max_queue_size, puts_off)


#: level, whether put off, number in the order of joining or putting off, the ticket; the number
#: is unique, so tickets are never compared
_Place = tuple[int, bool, int, Ticket]


class Ranked:
    """Tickets by level; joining and leaving cost O(log n), expiring the same a ticket.

    ``rows`` is the sum of all who wait. ``_heap`` may hold places that are left; the place of a
    ticket is the one in ``_waiting``.
    """

    __slots__ = (
        "_arrivals",
        "_counts",
        "_deadlines",
        "_heap",
        "_last",
        "_number",
        "_rules",
        "_shapes",
        "_waiting",
        "rows",
    )

    def __init__(self, rules: RankRules) -> None:
        self._rules = rules
        self._heap: list[_Place] = []
        self._waiting: dict[int, _Place] = {}
        self._arrivals: deque[Ticket] = deque()
        self._counts: Counter[int] = Counter()
        self._shapes: Counter[Hashable] = Counter()
        self.rows = 0
        self._deadlines: list[tuple[int, int]] = []
        self._number = 0
        # The last place that was pulled and not put back.
        self._last: _Place | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def full(self, ticket: Ticket) -> bool:
        """Whether this ticket may not join, for as many of its level wait as may."""
        return 0 < self._of(ticket).most <= self._counts[ticket.priority]

    def join(self, ticket: Ticket) -> bool:
        """Put a ticket at the end of its level; True if one behind it has been pulled already."""
        place = self._take_place(ticket, put_off=False)
        self._arrivals.append(ticket)
        self._counts[ticket.priority] += 1
        self._shapes[ticket.shape] += 1
        self.rows += ticket.rows
        if ticket.deadline_ns is not None:
            heappush(self._deadlines, (ticket.deadline_ns, ticket.id))
        return self._last is not None and place < self._last

    def oldest(self) -> Ticket | None:
        """Look at the ticket that joined before all others, whatever its rank."""
        arrivals, waiting = self._arrivals, self._waiting
        while arrivals and arrivals[0].id not in waiting:
            arrivals.popleft()
        return arrivals[0] if arrivals else None

    def mixed(self) -> bool:
        """Whether not all who wait are of one shape."""
        return len(self._shapes) > 1

    def first(self) -> Ticket | None:
        """Look at the ticket whose turn it is."""
        heap, waiting = self._heap, self._waiting
        while heap:
            place = heap[0]
            if waiting.get(place[3].id) is place:
                return place[3]
            heappop(heap)
        return None

    def pull(self) -> Ticket | None:
        """Move the first ticket out of the line; it goes on waiting until ``leave``."""
        ticket = self.first()
        if ticket is not None:
            self._last = heappop(self._heap)
        return ticket

    def push_back(self, tickets: Sequence[Ticket]) -> None:
        """Put pulled tickets back to where they stood; those that are gone stay away."""
        self._last = None
        for ticket in tickets:
            place = self._waiting.get(ticket.id)
            if place is not None:
                heappush(self._heap, place)

    def leave(self, tickets: Sequence[Ticket]) -> None:
        """Let pulled tickets go: they run now."""
        self._last = None
        for ticket in tickets:
            self._give_up_place(ticket.id)
        self._sweep()

    def remove(self, ticket_id: int) -> Ticket | None:
        """Take one ticket out, wherever it stands; None if it does not wait."""
        ticket = self._give_up_place(ticket_id)
        if ticket is not None:
            self._sweep()
        return ticket

    def expired(self, now_ns: int) -> list[Ticket]:
        """Take out every ticket whose deadline has come and is to be refused; put the others off.

        Nobody may be pulled meanwhile.
        """
        late: list[Ticket] = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_ns:
            place = self._waiting.get(heappop(deadlines)[1])
            if place is None:
                continue
            ticket = place[3]
            if self._of(ticket).puts_off:
                self._take_place(ticket, put_off=True)
            else:
                self._give_up_place(ticket.id)
                late.append(ticket)
        self._sweep()
        return late

    def next_deadline_ns(self) -> int | None:
        """When the next ticket expires; None if none ever does."""
        deadlines, waiting = self._deadlines, self._waiting
        while deadlines and deadlines[0][1] not in waiting:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _of(self, ticket: Ticket) -> LevelRules:
        return self._rules.levels.get(ticket.priority, self._rules.default)

    def _take_place(self, ticket: Ticket, *, put_off: bool) -> _Place:
        self._number += 1
        place = (ticket.priority, put_off, self._number, ticket)
        self._waiting[ticket.id] = place
        heappush(self._heap, place)
        return place

    def _give_up_place(self, ticket_id: int) -> Ticket | None:
        place = self._waiting.pop(ticket_id, None)
        if place is None:
            return None
        ticket = place[3]
        _less(self._counts, ticket.priority)
        _less(self._shapes, ticket.shape)
        self.rows -= ticket.rows
        return ticket

    def _sweep(self) -> None:
        """Forget the places and deadlines that are left, once they are more than the others."""
        waiting, most = self._waiting, 2 * len(self._waiting) + _SLACK
        if len(self._heap) > most:
            self._heap = [place for place in self._heap if waiting.get(place[3].id) is place]
            heapify(self._heap)
        if len(self._arrivals) > most:
            self._arrivals = deque(one for one in self._arrivals if one.id in waiting)
        if len(self._deadlines) > most:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in waiting]
            heapify(self._deadlines)


_Counted = TypeVar("_Counted", bound=Hashable)


def _less(counter: Counter[_Counted], key: _Counted) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
