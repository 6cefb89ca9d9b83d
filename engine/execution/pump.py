"""The only place where clock, scheduler and instances meet.

Owns the requests from submission to their callback: it gathers what one turn of the event loop
brought, offers it to the scheduler, and carries out what the scheduler decides. Does not own any
decision, nor the tensors. Everything here happens on the event loop's thread. Rules:

1. ``done`` is called exactly once for a request, on the loop, never before ``submit`` returned;
2. an instance that finished gets its next batch before the responses of the last one are
   delivered, so that it computes while the loop writes; inline, the other way round;
3. it never recurses: an inline outcome queues the next step; and after ``_TURN_NS`` of inline
   work the loop gets its turn, to read and write, before the rest;
4. whoever is refused learns why: Triton's text behind ``[request id: <id>]``;
5. the answers of a decoupled model come through ``emit``, in the order in which the model gave
   them, the last one through ``done``. Its requests outlive the batch they were executed in: the
   pump is drained when the last of them has its final answer;
6. a request that is cancelled while it runs is answered when the model is done with it;
7. instances may come and go while requests run: one that goes does what it was given first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from engine.clock import Clock
from engine.errors import Cancelled, Code, EngineError, InvalidArgument, Unavailable
from engine.execution.instance import Outcome
from engine.execution.ordering import Done, Emit
from engine.execution.replies import Course, Reply
from engine.inside import Charge
from engine.scheduler import Dispatch, Limitable, Refusal, Reject, Scheduler, Step, Ticket
from engine.telemetry.stats import FailureReason, Ledger, ResponseKind, Timings
from engine.types import InferRequest, InferResponse

_TURN_NS = 1_000_000
_ERRORS: Mapping[Refusal, type[EngineError]] = {
    Refusal.CANCELLED: Cancelled,
    Refusal.UNSTARTED: InvalidArgument,
}

Admit = Callable[[InferRequest, int, int], Ticket]


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> object:
        """Do not make it."""
        ...


class PumpLoop(Protocol):
    """What the pump uses of an asyncio event loop."""

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> object:  # noqa: ANN401 - asyncio's
        """Call back in the next turn."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:  # noqa: ANN401 - asyncio's
        """Call back after ``delay`` seconds."""
        ...

    def call_exception_handler(self, context: dict[str, Any], /) -> None:
        """Report a fault in a callback."""
        ...


class Worker(Protocol):
    """What the pump uses of an instance."""

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),
    ) -> Outcome | None:
        """Run a batch at once and give its outcome, or later and call ``finished`` on the loop.

        ``slots`` are the requests' sequence slots; () where the model keeps no sequences.
        """
        ...

    def cancel(self, place: int) -> None:
        """Learn that the request at this place of the running batch is not wanted any more."""
        ...

    def close(self, closed: Callable[[], None]) -> None:
        """Free the model; then call back on the loop."""
        ...


@runtime_checkable
class OpenWorker(Worker, Protocol):
    """An instance of a decoupled model (``executing.DecoupledInstance``)."""

    def begin(
        self, requests: Sequence[InferRequest], course: Course, slots: tuple[int, ...] = ()
    ) -> Callable[[int], None]:
        """Execute a batch, later; tells ``course``. Returns what cancels one of its requests."""
        ...


@runtime_checkable
class SequenceWorker(Worker, Protocol):
    """An instance that keeps something of its sequences (``execution.sequences``)."""

    def forget(self, slot: int) -> None:
        """Learn that the sequence in a slot is over."""
        ...


class _Entry:
    """One request under way."""

    __slots__ = ("charge", "done", "emit", "request", "ticket")

    def __init__(
        self,
        request: InferRequest,
        done: Done,
        ticket: Ticket,
        emit: Emit | None,
        charge: Charge | None,
    ) -> None:
        self.request = request
        self.done = done
        self.ticket = ticket
        self.emit = emit
        self.charge = charge


class Pump:
    """Carries a scheduler's decisions out.

    The scheduler numbers the first of ``workers``; more may follow that it does not know
    (passive instances), which are closed with the rest. They are all ``OpenWorker``, or none is.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        workers: Sequence[Worker],
        ledger: Ledger,
        *,
        admit: Admit,
        clock: Clock,
        loop: PumpLoop,
    ) -> None:
        self._scheduler = scheduler
        self._workers = tuple(workers)
        self._decoupled = isinstance(self._workers[0], OpenWorker)
        self._ledger = ledger
        self._admit = admit
        self._clock = clock
        self._now_ns = clock.now_ns
        self._loop = loop
        self._call_soon = loop.call_soon
        self._next_id = 1
        self._arrived: dict[int, Ticket] = {}
        self._waiting: dict[int, _Entry] = {}
        self._running = 0
        # What runs elsewhere: batches by their instance, and requests of decoupled models.
        self._batches: dict[int, list[_Entry]] = {}
        self._open_ended: dict[int, Callable[[], None]] = {}
        self._steps: deque[Step] = deque()
        self._carrying = False
        self._alarm: Timer | None = None
        self._alarm_ns = 0
        self._drained: list[Callable[[], None]] = []
        self._stopping = False
        self._closing = False
        self._open = len(self._workers)
        # Instances that go: those that still run, with who is told to use them no more; the gone.
        self._leaving: dict[int, Limitable] = {}
        self._gone: set[int] = set()

    @property
    def pending(self) -> int:
        """How many requests wait for an instance."""
        return len(self._waiting)

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        """Take a request; ``done`` will be called with its response or error. Returns an id.

        ``emit`` gets what a decoupled model answers before its final answer. ``charge`` learns,
        before ``done``, what a request that succeeded took to compute.
        """
        number = self._next_id
        self._next_id = number + 1
        ticket = self._admit(request, number, self._now_ns())
        self._waiting[number] = _Entry(request, done, ticket, emit, charge)
        if not self._arrived:
            self._call_soon(self._turn)
        self._arrived[number] = ticket
        return number

    def cancel(self, ticket_id: int) -> None:
        """Take a request back: at once if it still waits, else the model may see it and stop."""
        ticket = self._arrived.pop(ticket_id, None)
        if ticket is not None:
            self._refuse(Reject(ticket, Refusal.CANCELLED))
        elif ticket_id in self._waiting:
            self._carry_out(self._scheduler.cancel(ticket_id, self._now_ns()))
        elif ticket_id in self._open_ended:
            self._open_ended[ticket_id]()
        else:
            self._cancel_running(ticket_id)

    def _cancel_running(self, ticket_id: int) -> None:
        for instance, entries in self._batches.items():
            for place, entry in enumerate(entries):
                if entry.ticket.id == ticket_id:
                    self._workers[instance].cancel(place)
                    return

    def nudge(self) -> None:
        """Ask the scheduler again: what it waits for may have come (a turn at the limiter)."""
        self._carry_out(self._scheduler.tick(self._now_ns()))

    def join(self, worker: Worker, *, passive: bool = False) -> int:
        """Take one more instance; returns its number."""
        number = len(self._workers)
        self._workers += (worker,)
        self._open += 1
        if not passive:
            self._carry_out(self._scheduler.free(number, self._now_ns()))
        return number

    def leave(self, number: int, scheduler: Limitable | None) -> None:
        """Close an instance when it has done what it was given; others remain.

        ``scheduler`` is this pump's, None for a passive instance, which it does not know. Not for
        decoupled models.
        """
        if self._steps:  # what is decided already may be for this instance
            self._call_soon(self.leave, number, scheduler)
        elif number in self._batches and scheduler is not None:
            self._leaving[number] = scheduler
        elif not self._closing:
            if scheduler is not None:
                scheduler.hold(number, self._now_ns())
            self._close_one(number)

    def _close_one(self, number: int) -> None:
        self._gone.add(number)
        self._open -= 1
        self._workers[number].close(_nothing)

    def stop(self, drained: Callable[[], None]) -> None:
        """Refuse newcomers, answer the others, close the instances; then call back."""
        if not self._open:
            self._call_soon(drained)
            return
        self._drained.append(drained)
        if self._stopping:
            return
        self._turn()
        self._stopping = True
        self._carry_out(self._scheduler.stop(self._now_ns()))
        self._close_if_drained()

    def _turn(self) -> None:
        if self._arrived:
            tickets, self._arrived = tuple(self._arrived.values()), {}
            self._carry_out(self._scheduler.offer(tickets, self._now_ns()))

    def _carry_out(self, step: Step) -> None:
        self._steps.append(step)
        if not self._carrying:
            self._carrying = True
            self._go_on()

    def _go_on(self) -> None:
        more = False
        try:
            more = self._work_off()
        finally:
            self._carrying = more
        if more:
            self._call_soon(self._go_on)

    def _work_off(self) -> bool:
        """Carry out what is queued; say whether some is left because the loop wants its turn."""
        steps = self._steps
        until_ns: int | None = None
        while steps:
            step = steps.popleft()
            for reject in step.rejects:
                self._refuse(reject)
            for instance, slot in step.ended:
                self._forget(instance, slot)
            for dispatch in step.dispatches:
                started_ns = self._start(dispatch)
                if until_ns is None and started_ns is not None:
                    until_ns = started_ns + _TURN_NS
            if not steps:
                self._set_alarm(step.wake_ns)
            elif until_ns is not None and self._now_ns() >= until_ns:
                return True
        return False

    def _forget(self, instance: int, slot: int) -> None:
        worker = self._workers[instance]
        if isinstance(worker, SequenceWorker):
            worker.forget(slot)

    def _start(self, dispatch: Dispatch) -> int | None:
        """Have a batch run; if it ran inline, answer it and say when it began."""
        entries = [self._waiting.pop(ticket.id) for ticket in dispatch.tickets]
        self._running += len(entries)
        requests = [entry.request for entry in entries]
        if self._decoupled:
            self._begin(dispatch, entries, requests)
            return None
        outcome = self._workers[dispatch.instance].run(
            requests, partial(self._finished, dispatch.instance, entries), dispatch.slots
        )
        if outcome is None:
            self._batches[dispatch.instance] = entries
            return None
        self._resolve(dispatch.instance, entries, outcome)
        self._steps.append(self._scheduler.free(dispatch.instance, self._now_ns()))
        return outcome.timings.started_ns

    def _begin(
        self, dispatch: Dispatch, entries: list[_Entry], requests: Sequence[InferRequest]
    ) -> None:
        """Have a batch of a decoupled model executed."""
        instance = dispatch.instance
        worker = self._workers[instance]
        assert isinstance(worker, OpenWorker)
        course = Course(
            partial(self._replied, instance, entries), partial(self._released, instance, entries)
        )
        self._running += 1  # for the instance, which may be busy when all is answered
        cancel = worker.begin(requests, course, dispatch.slots)
        for place, entry in enumerate(entries):
            self._open_ended[entry.ticket.id] = partial(cancel, place)

    def _released(self, instance: int, entries: list[_Entry], timings: Timings) -> None:
        """Count a batch of a decoupled model, and use its instance for the next."""
        rows = sum(entry.ticket.rows for entry in entries)
        self._ledger.executed(rows, timings, self._clock.wall_ms(), instance)
        self._running -= 1
        self._carry_out(self._scheduler.free(instance, self._now_ns()))
        self._close_if_drained()

    def _replied(self, instance: int, entries: list[_Entry], reply: Reply) -> None:
        """Hand on what a decoupled model answered."""
        ledger, entry, answer = self._ledger, entries[reply.place], reply.answer
        ticket, now_ns = entry.ticket, self._now_ns()
        ledger.responded(reply.index, _kind(answer), reply.took_ns)
        if reply.index == 0:
            ledger.first_responded(now_ns - ticket.arrived_ns)
        if not reply.final:
            if entry.emit is not None:
                self._tell(entry.emit, answer)
            return
        del self._open_ended[entry.ticket.id]
        self._running -= 1
        if isinstance(answer, EngineError):
            self._fail(entry, answer, now_ns)
        else:
            arrived_ns, timings = ticket.arrived_ns, reply.timings
            ledger.succeeded(1, ticket.rows, arrived_ns, timings, now_ns, instance)
            if ledger.spread is not None:
                ledger.spread.answered([arrived_ns], timings, now_ns)
            if entry.charge is not None:
                entry.charge(timings)
            self._tell(entry.done, answer)
        self._close_if_drained()

    def _finished(self, instance: int, entries: list[_Entry], outcome: Outcome) -> None:
        del self._batches[instance]
        if self._leaving and instance in self._leaving:
            self._carry_out(self._leaving.pop(instance).rest(instance, self._now_ns()))
            self._close_one(instance)
        else:
            self._carry_out(self._scheduler.free(instance, self._now_ns()))
        self._resolve(instance, entries, outcome)

    def _resolve(self, instance: int, entries: list[_Entry], outcome: Outcome) -> None:
        """Count a batch and answer its requests."""
        ledger, timings, now_ns = self._ledger, outcome.timings, self._now_ns()
        rows = sum(entry.ticket.rows for entry in entries)
        ledger.executed(outcome.rows or rows, timings, self._clock.wall_ms(), instance)
        result = outcome.result
        self._running -= len(entries)
        if isinstance(result, EngineError):
            for entry in entries:
                self._fail(entry, result, now_ns)
        else:
            answers = list(zip(entries, result, strict=True))
            if outcome.apart:
                for entry, answer in answers:
                    if isinstance(answer, EngineError):
                        self._fail(entry, answer, now_ns)
                answers = [one for one in answers if not isinstance(one[1], EngineError)]
                rows = sum(entry.ticket.rows for entry, _ in answers)
            if answers:
                arrived_ns = [entry.ticket.arrived_ns for entry, _ in answers]
                ledger.succeeded(len(answers), rows, sum(arrived_ns), timings, now_ns, instance)
                if ledger.spread is not None:
                    ledger.spread.answered(arrived_ns, timings, now_ns)
            for entry, answer in answers:
                if entry.charge is not None:
                    entry.charge(timings)
                self._tell(entry.done, answer)
        self._close_if_drained()

    def _fail(self, entry: _Entry, error: EngineError, now_ns: int) -> None:
        reason = FailureReason.CANCELED if error.code is Code.CANCELLED else FailureReason.BACKEND
        self._ledger.failed(reason, now_ns - entry.ticket.arrived_ns)
        self._tell(entry.done, error)

    def _refuse(self, reject: Reject) -> None:
        entry = self._waiting.pop(reject.ticket.id)
        waited_ns = self._now_ns() - entry.ticket.arrived_ns
        request = entry.request
        said = reject.reason.value.format(model=self._ledger.model, sequence=request.sequence_id)
        text = f"[request id: {request.id or '<id_unknown>'}] {said}"
        cancelled = reject.reason is Refusal.CANCELLED
        reason = FailureReason.CANCELED if cancelled else FailureReason.REJECTED
        self._ledger.failed(reason, waited_ns)
        self._tell(entry.done, _ERRORS.get(reject.reason, Unavailable)(text))
        self._close_if_drained()

    def _tell(self, tell: Done, answer: Any) -> None:  # noqa: ANN401 - InferResponse | EngineError
        try:
            tell(answer)
        except Exception as fault:  # noqa: BLE001 - a transport's request; the others of its batch go on
            self._loop.call_exception_handler(
                {"message": "the callback of an inference request failed", "exception": fault}
            )

    def _set_alarm(self, wake_ns: int | None) -> None:
        """Have ``tick`` called at ``wake_ns``. An earlier alarm may stay: a tick does no harm."""
        if wake_ns is None or (self._alarm is not None and self._alarm_ns <= wake_ns):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ns = wake_ns
        self._alarm = self._loop.call_later(max(0, wake_ns - self._now_ns()) / 1e9, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._carry_out(self._scheduler.tick(self._now_ns()))

    def _close_if_drained(self) -> None:
        if not self._stopping or self._closing or self._waiting or self._running:
            return
        self._closing = True
        for number, worker in enumerate(self._workers):
            if number not in self._gone:
                worker.close(self._closed)

    def _closed(self) -> None:
        self._open -= 1
        if not self._open:
            if self._alarm is not None:
                self._alarm.cancel()
            # Who is told may hold what holds this pump: it is let go, so that all of it goes.
            told, self._drained = self._drained, []
            for drained in told:
                drained()


def _nothing() -> None:
    """Nobody waits for the end of an instance that others outlive."""


def _kind(answer: InferResponse | EngineError) -> ResponseKind:
    if isinstance(answer, EngineError):
        return ResponseKind.CANCEL if answer.code is Code.CANCELLED else ResponseKind.FAIL
    return ResponseKind.EMPTY if answer.empty else ResponseKind.SUCCESS
