"""Answers an ensemble's requests by calling the models of its steps.

Owns the calls of a request, their errors, and the ensemble's own figures. Does not own what runs
when (``engine.pipeline``), nor the models, which it holds until it stops. For the event loop's
thread. Rules:

1. Tensors go from step to step as the arrays they are: not copied, not encoded.
2. Id, priority, timeout and parameters of a request are those of its steps' requests; so is its
   sequence, unless a step's response chooses another (``membership``).
3. A request ends when all calls of its steps have ended, also if one failed or it was taken back.
4. It is counted as one execution. Its compute times are the sums of its steps'; those of branches
   that ran side by side may be more than it took. The steps' models count for themselves. One that
   fails is counted as a failure and nothing else, for the reason OTHER, as in Triton: the reason
   proper is with the model of the step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from engine.clock import Clock
from engine.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.execution.membership import Carried, Membership, answered, inherited, membership, told
from engine.execution.ordering import Done, Emit
from engine.inside import Callee, Charge, Took
from engine.pipeline import Course, Pipeline, Progress, Start
from engine.scheduler import Refusal
from engine.telemetry.stats import FailureReason, Ledger, ResponseKind, Timings
from engine.types import InferRequest, InferResponse, RequestedOutput, Tensor
from engine.v2.binary import tag
from engine.waits import Waits

_Answer = InferResponse | EngineError
_ERRORS: Mapping[Code, type[EngineError]] = {
    one.code: one
    for one in (
        AlreadyExists,
        Cancelled,
        Internal,
        InvalidArgument,
        NotFound,
        Unavailable,
        Unsupported,
    )
}


class _Asked:
    """A request under way: its course, the calls of its steps, and what they took."""

    __slots__ = (
        "arrived_ns", "calls", "cancelled", "charge", "course", "done", "emit", "error", "index",
        "last_ns", "own", "reason", "request", "rows", "spent",
    )  # fmt: skip

    def __init__(
        self, request: InferRequest, done: Done, emit: Emit | None, course: Course, now_ns: int
    ) -> None:
        self.request = request
        self.own = membership(request)
        self.done = done
        self.emit = emit
        self.course = course
        self.charge: Charge | None = None
        self.arrived_ns = self.last_ns = now_ns
        self.rows = 1
        self.calls: dict[int, tuple[Callee, int]] = {}
        self.cancelled = False
        self.error: EngineError | None = None
        self.reason = FailureReason.OTHER
        self.index = 0
        self.spent = [0, 0, 0]

    def belongs(self, start: Start) -> Membership:
        """Say to which sequence a call of a step belongs."""
        return inherited((one for _, one in start.inputs), self.own)

    def spend(self, timings: Took) -> None:
        """Add what a step's run took."""
        self.spent[0] += timings.input_ns
        self.spent[1] += timings.infer_ns
        self.spent[2] += timings.output_ns


class Conductor:
    """Answers an ensemble's requests by calling its steps' models, which it lets go at its end."""

    def __init__(  # noqa: PLR0913 - what an ensemble is made of, and where it lives
        self,
        pipeline: Pipeline,
        callees: Sequence[Callee],
        ledger: Ledger,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        batched: bool,
        waits: Waits | None = None,
    ) -> None:
        self._waits = waits
        self._pipeline = pipeline
        self._callees = callees
        self._ledger = ledger
        self._clock = clock
        self._loop = loop
        self._decoupled = any(stage.decoupled for stage in pipeline.stages)
        self._batched = batched
        self._next_id = 1
        self._asked: dict[int, _Asked] = {}
        self._drained: Callable[[], None] | None = None
        self._names = {
            (place, outputs): tuple(RequestedOutput(name) for name in outputs)
            for place, stage in enumerate(pipeline.stages)
            if (outputs := tuple(stage.outputs))
        }

    @property
    def pending(self) -> int:
        """How many requests wait: none does here."""
        return 0

    def submit(
        self,
        request: InferRequest,
        done: Done,
        emit: Emit | None = None,
        charge: Charge | None = None,
    ) -> int:
        """Take a checked request; it begins in the next turn of the loop."""
        number = self._next_id
        self._next_id = number + 1
        wanted = frozenset(output.name for output in request.outputs)
        course = Course(self._pipeline, wanted)
        asked = _Asked(request, done, emit, course, self._clock.now_ns())
        asked.charge = charge
        self._asked[number] = asked
        if self._drained is None:
            self._loop.call_soon(self._begin, number, asked)
        else:
            asked.error = Unavailable(tag(request.id) + Refusal.STOPPING.value)
            asked.reason = FailureReason.REJECTED
            self._loop.call_soon(self._end, number, asked)
        return number

    def cancel(self, ticket_id: int) -> None:
        """Take a request back, and with it the calls of its steps."""
        asked = self._asked.get(ticket_id)
        if asked is None or asked.cancelled:
            return
        asked.cancelled = True
        asked.course.stop()
        for callee, ticket in tuple(asked.calls.values()):
            callee.cancel(ticket)

    def stop(self, drained: Callable[[], None]) -> None:
        """Refuse newcomers, answer the others, let the models go; then call back."""
        self._drained = drained
        if not self._asked:
            self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        drained, callees, self._callees = self._drained, self._callees, ()
        for one in callees:
            one.let_go()
        if drained is not None:
            drained()

    def _begin(self, number: int, asked: _Asked) -> None:
        if asked.cancelled:
            self._end(number, asked)
            return
        inputs = asked.request.inputs
        if self._batched and inputs and inputs[0].array.ndim:
            asked.rows = max(1, inputs[0].array.shape[0])
        given = {tensor.name: Carried(tensor) for tensor in inputs}
        self._follow(number, asked, asked.course.begin(given))

    def _follow(self, number: int, asked: _Asked, progress: Progress) -> None:
        """Do what follows: send what is whole, call who is ready, end what is over."""
        responses = progress.responses
        last: InferResponse | None = None
        for place, found in enumerate(responses):
            response = self._response(asked, found)
            if progress.over and place == len(responses) - 1 and not asked.course.fault:
                last = response
            else:
                self._emit(asked, response)
        over = progress.over
        for start in progress.starts:
            over = self._call(number, asked, start) or over
        if over and number in self._asked:
            self._end(number, asked, last)

    def _call(self, number: int, asked: _Asked, start: Start) -> bool:
        """Call a step's model; says whether the request is over by that."""
        course = asked.course
        if course.stopped:
            return course.failed(start.number).over
        callee, request = self._callees[start.place], asked.request
        outputs = self._names.get((start.place, start.outputs))
        if outputs is None:
            outputs = tuple(RequestedOutput(name) for name in start.outputs)
        of = asked.belongs(start)
        step = InferRequest(
            inputs=tuple(
                Tensor(name, one.tensor.dtype, one.tensor.array) for name, one in start.inputs
            ),
            id=request.id,
            outputs=outputs,
            priority=request.priority,
            timeout_us=request.timeout_us,
            sequence_id=of.id,
            sequence_start=of.start,
            sequence_end=of.end,
            parameters=request.parameters,
            call=request.call,
        )
        try:
            callee.check(step)
            emit = None
            if self._pipeline.stages[start.place].decoupled:
                emit = partial(self._answered, number, asked, start, False)
            ticket = callee.submit(
                step, partial(self._answered, number, asked, start, True), emit, asked.spend
            )
        except EngineError as error:
            return self._failed(asked, start, error).over
        asked.calls[start.number] = (callee, ticket)
        if request.call and self._waits is not None and not callee.config.is_ensemble:
            self._waits.arrive(request.call, (callee.name, callee.version))
        return False

    def _answered(
        self,
        number: int,
        asked: _Asked,
        start: Start,
        final: bool,  # noqa: FBT001 - for partial
        answer: _Answer,
    ) -> None:
        """Take an answer of a step's model."""
        if final:
            callee, _ = asked.calls.pop(start.number)
            if asked.request.call and self._waits is not None and not callee.config.is_ensemble:
                self._waits.depart(asked.request.call, (callee.name, callee.version))
        if isinstance(answer, EngineError):
            if final:
                progress = self._failed(asked, start, answer)
            else:
                self._fail(asked, start, answer)
                progress = asked.course.answered(start.number, None, final=False)
        elif answer.empty:
            progress = asked.course.answered(start.number, None, final=final)
        else:
            progress = self._outputs(asked, start, answer, final=final)
        self._follow(number, asked, progress)

    def _outputs(
        self, asked: _Asked, start: Start, answer: InferResponse, *, final: bool
    ) -> Progress:
        try:
            of = answered(answer.parameters, asked.belongs(start))
        except EngineError as error:
            self._fail(asked, start, error)
            return asked.course.answered(start.number, None, final=final)
        outputs = {tensor.name: Carried(tensor, of) for tensor in answer.outputs}
        return asked.course.answered(start.number, outputs, final=final)

    def _failed(self, asked: _Asked, start: Start, error: EngineError) -> Progress:
        self._fail(asked, start, error)
        return asked.course.failed(start.number)

    def _fail(self, asked: _Asked, start: Start, error: EngineError) -> None:
        """Keep the first error, and take the other calls back."""
        if asked.error is None:
            asked.error = self._named(start, error)
        asked.course.stop()
        for number, (callee, ticket) in tuple(asked.calls.items()):
            if number != start.number:
                callee.cancel(ticket)

    def _named(self, start: Start, error: EngineError) -> EngineError:
        """Say in which ensemble and step it happened, and what the step was given."""
        stage = self._pipeline.stages[start.place]
        wires = ", ".join(
            f"input '{name}' is tensor '{stage.inputs[name]}' {list(one.tensor.array.shape)}"
            for name, one in start.inputs
        )
        text = (
            f"in ensemble '{self._pipeline.name}', {error.message} (step {start.place}, model "
            f"'{stage.name}': {wires})"
        )
        return _ERRORS.get(error.code, Internal)(text)

    def _response(self, asked: _Asked, found: Mapping[str, Carried]) -> InferResponse:
        return InferResponse(
            model=self._ledger.model,
            version=self._ledger.version,
            id=asked.request.id,
            outputs=tuple(
                Tensor(name, one.tensor.dtype, one.tensor.array) for name, one in found.items()
            ),
            parameters=told(found.values(), asked.own),
        )

    def _emit(self, asked: _Asked, answer: InferResponse) -> None:
        self._count_response(asked, ResponseKind.SUCCESS)
        if asked.emit is not None:
            asked.emit(answer)

    def _count_response(self, asked: _Asked, kind: ResponseKind) -> None:
        now_ns = self._clock.now_ns()
        self._ledger.responded(asked.index, kind, now_ns - asked.last_ns)
        if asked.index == 0:
            self._ledger.first_responded(now_ns - asked.arrived_ns)
        asked.index += 1
        asked.last_ns = now_ns

    def _end(self, number: int, asked: _Asked, last: InferResponse | None = None) -> None:
        """Give a request its final answer, and count it."""
        del self._asked[number]
        answer = self._final(asked, last)
        ledger, now_ns = self._ledger, self._clock.now_ns()
        if isinstance(answer, EngineError):
            if self._decoupled:
                cancelled = answer.code is Code.CANCELLED
                self._count_response(asked, ResponseKind.CANCEL if cancelled else ResponseKind.FAIL)
            reason = FailureReason.CANCELED if answer.code is Code.CANCELLED else asked.reason
            ledger.failed(reason, now_ns - asked.arrived_ns)
        else:
            if self._decoupled:
                empty = answer.empty
                self._count_response(asked, ResponseKind.EMPTY if empty else ResponseKind.SUCCESS)
            timings = Timings(asked.arrived_ns, *asked.spent)
            ledger.executed(asked.rows, timings, self._clock.wall_ms())
            ledger.succeeded(1, asked.rows, asked.arrived_ns, timings, now_ns)
            if ledger.spread is not None:
                ledger.spread.answered([asked.arrived_ns], timings, now_ns)
            if asked.charge is not None:
                asked.charge(timings)
        try:
            asked.done(answer)
        finally:
            if self._drained is not None and not self._asked:
                self._leave()

    def _final(self, asked: _Asked, last: InferResponse | None) -> _Answer:
        request = asked.request
        if asked.cancelled:
            return Cancelled(tag(request.id) + Refusal.CANCELLED.value)
        if asked.error is not None:
            return asked.error
        if last is not None:
            return last
        if self._decoupled and not asked.course.fault:
            return InferResponse(
                model=self._ledger.model,
                version=self._ledger.version,
                id=request.id,
                outputs=(),
                empty=True,
            )
        return InvalidArgument(
            f"in ensemble '{self._pipeline.name}', {tag(request.id)}unexpected deadlock, at least "
            "one output is not set while no more ensemble steps can be made: "
            f"{asked.course.fault}"
        )
