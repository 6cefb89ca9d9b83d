"""The scheduler's interface: events in, effects out.

A scheduler never waits, sleeps, locks or reads a clock. Every event carries the time at
which it happened, and every answer says what to do now and when to ask again; a pump, a
simulator and a test can therefore drive the same object. Tensors never enter: a scheduler
sees an id, a number of rows, a shape key, a priority and a deadline.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Refusal(Enum):
    """Why a request leaves the queue without having run; the value is Triton's text.

    ``{model}`` and ``{sequence}`` in a text stand for the model's name and the request's
    correlation id.
    """

    EXPIRED = "Request timeout expired"
    FULL = "Exceeds maximum queue size"
    STOPPING = (
        "Server is stopping, scheduler for model has stopped accepting new inference requests"
    )
    CANCELLED = "Request cancelled"
    UNSTARTED = (
        "inference request for sequence {sequence} to model '{model}' must specify the START flag"
        " on the first request of the sequence"
    )
    SEQUENCE_EXPIRED = "timeout of the corresponding sequence has been expired"


@dataclass(frozen=True, slots=True)
class SequenceMark:
    """Which sequence a request belongs to, and whether it is the first or the last of it.

    ``id`` is a number above 0 or a text that is not empty.
    """

    id: int | str
    start: bool = False
    end: bool = False


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a scheduler needs to know of a request, and no more.

    ``rows`` is the request's batch size (at least 1). ``shape`` is equal for requests that may
    share a batch. ``priority`` is its level: 1 is the highest, and 0 where there are none.
    ``sequence`` is None where the model keeps no sequences.
    """

    id: int
    rows: int
    arrived_ns: int
    deadline_ns: int | None = None
    shape: Hashable = None
    priority: int = 0
    sequence: SequenceMark | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Run these tickets, together, on that instance.

    ``slots`` are the tickets' sequence slots, none of them twice; () where the
    model keeps no sequences.
    """

    instance: int
    tickets: tuple[Ticket, ...]
    slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer this ticket with that refusal."""

    ticket: Ticket
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Step:
    """The effects of one event, for the caller to carry out.

    ``wake_ns`` is when to call ``tick`` if nothing else happens before; None means that only
    another event can change anything. ``ended`` are the instances and slots that sequences have
    left; it is carried out before the dispatches.
    """

    dispatches: tuple[Dispatch, ...] = ()
    rejects: tuple[Reject, ...] = ()
    wake_ns: int | None = None
    ended: tuple[tuple[int, int], ...] = ()


class Scheduler(Protocol):
    """Decides which requests run together, where and when."""

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Take the requests that arrived in one turn of the event loop."""
        ...

    def free(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran."""
        ...

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Take a queued request back; one that runs already, or is unknown, is left alone."""
        ...

    def tick(self, now_ns: int) -> Step:
        """Do what is due at this time."""
        ...

    def stop(self, now_ns: int) -> Step:
        """Refuse all that comes from now on, and let what is queued leave at once."""
        ...


class Limitable(Scheduler, Protocol):
    """A scheduler whose idle instances can be taken away again; the rate limiter needs that."""

    def hold(self, instance: int, now_ns: int) -> None:
        """Take back an instance that is idle, until ``free`` gives it again."""
        ...

    def rest(self, instance: int, now_ns: int) -> Step:
        """Learn that an instance has finished what it ran; it is held until ``free`` gives it."""
        ...
