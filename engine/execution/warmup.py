"""Running a model's warm-up: every instance that gets requests runs every sample, before READY.

Owns the order, and what a failure says. Does not own what a sample holds (``samples``). The
batches go through a pump of their own that hands them to one instance, past the model's
scheduler; they are run, answered and counted like any others. Rules, from Triton:

1. an instance runs one sample after the other, and the same one as often as it says;
2. the first sample that is answered with an error ends the load, with all that its requests
   were answered;
3. under the rate limiter an instance warms up in its turn, holding its resources.

``warm_up`` blocks, and belongs on the thread that loads; instances run on theirs, and are told
so on the loop's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.clock import Clock
from engine.errors import EngineError, Unavailable
from engine.execution.pump import Admit, Pump, Worker
from engine.execution.samples import Sample, failed
from engine.ratelimit import Seat
from engine.scheduler import Dispatch, Step, Ticket
from engine.telemetry.stats import Ledger
from engine.types import InferResponse

# How often whoever waits looks whether the server still is there.
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What samples run through: a model's instances, and what its pump is made of.

    ``workers`` run a request as it is, ``sequenced`` are the same behind the inputs that a
    sequence batcher fills; they are equal where there is none.
    """

    workers: Sequence[Worker]
    sequenced: Sequence[Worker]
    ledger: Ledger
    admit: Admit
    clock: Clock
    loop: asyncio.AbstractEventLoop

    def pump(self, sample: Sample, instance: int) -> Pump:
        """Make the pump that brings a sample to one instance."""
        through = self.workers if sample.filled else self.sequenced
        scheduler = _ToOne(instance, slots=through is not self.workers)
        return Pump(
            scheduler,
            through,
            self.ledger,
            admit=self.admit,
            clock=self.clock,
            loop=self.loop,
        )


def warm_up(
    samples: Sequence[Sample], stage: Stage, instances: int, seat: Seat | None = None
) -> None:
    """Run every sample on the first ``instances``, in turns if they have a ``seat``; blocks.

    Raises:
        InvalidArgument: a sample was answered with an error.
        Unavailable: the server has stopped in between.
    """

    def run(instance: int) -> None:
        for sample in samples:
            pump = stage.pump(sample, instance)
            for _ in range(sample.times):
                _run(sample, pump, stage.loop)

    if not samples:
        return
    if seat is not None:
        _in_turns(seat, run, stage.loop)
    else:
        for instance in range(instances):
            run(instance)


def _in_turns(seat: Seat, run: Callable[[int], None], loop: asyncio.AbstractEventLoop) -> None:
    """Run on each instance once, as the limiter grants them."""
    granted = threading.Event()
    seat.listen(granted.set)
    seat.want()
    try:
        for _ in seat.members:
            while (instance := seat.take()) is None:
                _wait(granted, loop)
                granted.clear()
            try:
                run(instance)
            finally:
                seat.decline(instance)  # so that it is not granted again
    finally:
        seat.rest()


def _run(sample: Sample, pump: Pump, loop: asyncio.AbstractEventLoop) -> None:
    """Run a sample once, and wait for all that it is answered."""
    ended = threading.Event()
    errors: list[str] = []
    answered: list[None] = []

    def emit(answer: InferResponse | EngineError) -> None:
        if isinstance(answer, EngineError):
            errors.append(answer.message)

    def done(answer: InferResponse | EngineError) -> None:
        emit(answer)
        answered.append(None)
        if len(answered) == len(sample.requests):
            ended.set()

    def begin() -> None:
        for request in sample.requests:
            pump.submit(request, done, emit)

    loop.call_soon_threadsafe(begin)
    _wait(ended, loop)
    if errors:
        raise failed(sample.name, *errors)


def _wait(event: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
    while not event.wait(_LOOK_S):
        if loop.is_closed():
            raise Unavailable("the server stopped while the model warmed up")


class _ToOne:
    """A scheduler that has all that comes at once run at once, together, on one instance."""

    def __init__(self, instance: int, *, slots: bool) -> None:
        self._instance = instance
        self._slots = slots

    def offer(self, tickets: Sequence[Ticket], now_ns: int) -> Step:
        """Run them; the one before has ended."""
        del now_ns
        slots = tuple(range(len(tickets))) if self._slots else ()
        return Step((Dispatch(self._instance, tuple(tickets), slots),))

    def free(self, instance: int, now_ns: int) -> Step:
        """Wait for the next."""
        del instance, now_ns
        return Step()

    def cancel(self, ticket_id: int, now_ns: int) -> Step:
        """Let it run: nobody takes a sample back."""
        del ticket_id, now_ns
        return Step()

    def tick(self, now_ns: int) -> Step:
        """Wait for the next."""
        del now_ns
        return Step()

    def stop(self, now_ns: int) -> Step:
        """Wait for what runs."""
        del now_ns
        return Step()
