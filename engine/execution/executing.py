"""One loaded copy of a model that sees requests, and the thread that works for it.

Owns the way between an ``Executor`` and the event loop: what each request is answered, that it
is answered exactly once, and when. Does not own what comes before a request or after its answer
(the pump), nor the thread itself (``instance.Hand``). Rules:

1. ``execute`` always runs on the thread: code that sees requests may wait for anything;
2. a model that is not decoupled answers each request once, before ``execute`` returns; one that
   it left out, or answered twice, gets an error that names the model;
3. a decoupled model's answers go to the loop one by one, in the order in which they were sent.
   The instance is free when ``execute`` returns; a request lives until its final answer;
4. what ``execute`` raises is the final answer to all that have none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

from engine.backend import Executor, Replies, Work
from engine.clock import Clock
from engine.errors import EngineError, Internal
from engine.execution.batch import Layout, present, view
from engine.execution.instance import Hand, Mailbox, Outcome, say
from engine.telemetry.stats import Timings
from engine.types import InferRequest, InferResponse, Parameter, Tensor

Answer = InferResponse | EngineError
#: how long a thread rests that answers faster than the loop hands answers on
_PAUSE_S = 0.0005
_NONE: Mapping[str, Parameter] = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a decoupled model, of the request at ``place`` of its batch.

    ``timings`` are the request's up to now. ``index`` counts its answers from 0, and
    ``took_ns`` has passed since the one before it, or since the batch began.
    """

    place: int
    answer: Answer
    final: bool
    index: int
    took_ns: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class Course:
    """Whom a decoupled batch tells, on the loop: of every answer, and that the instance is free."""

    replied: Callable[[Reply], None]
    released: Callable[[Timings], None]


@dataclass(frozen=True, slots=True)
class _Model:
    """What every reply of a model needs to know."""

    layout: Layout
    clock: Clock
    mailbox: Mailbox


@dataclass(slots=True)
class _Start:
    """When a batch began to be computed, and how long its inputs took, ns."""

    started_ns: int = 0
    input_ns: int = 0


def _closed(model: str) -> Internal:
    return Internal(
        f"model '{model}' answered a request after its final response: Unable to send response."
        " Response sender has been closed."
    )


class _Once:
    """The way out of a request whose model is not decoupled: keeps the one answer."""

    __slots__ = ("_answer", "_final", "_lock", "_model", "_request", "cancelled")

    def __init__(self, model: _Model, request: InferRequest) -> None:
        self._model = model
        self._request = request
        self._answer: Answer | None = None
        self._final = False
        self._lock = Lock()
        self.cancelled = False

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Keep the answer."""
        name = self._model.layout.model
        answer = _answer(outputs, self._request, self._model.layout, parameters)
        with self._lock:
            if self._final:
                raise _closed(name)
            self._final = final
            if answer is not None and self._answer is not None:
                answer = Internal(
                    f"model '{name}' sent several responses to one request, and is not decoupled:"
                    " set model_transaction_policy { decoupled: true } in its configuration"
                )
            self._answer = answer or self._answer

    def settle(self, fault: EngineError | None) -> Answer:
        """Give the answer; there will be no other (rules 2 and 4)."""
        with self._lock:
            self._final = True
            return (
                self._answer
                or fault
                or Internal(
                    f"model '{self._model.layout.model}' gave no response to a request before"
                    " execute returned; one that is not decoupled must"
                )
            )


class _Many:
    """The way out of a request whose model is decoupled: every answer goes to the loop."""

    __slots__ = (
        "_course", "_index", "_last_ns", "_lock", "_model", "_over", "_place", "_request",
        "_start", "cancelled",
    )  # fmt: skip

    def __init__(
        self, model: _Model, request: InferRequest, place: int, start: _Start, course: Course
    ) -> None:
        self._model = model
        self._request = request
        self._place = place
        self._start = start
        self._course = course
        self._index = 0
        self._last_ns = 0
        self._over = False
        self._lock = Lock()
        self.cancelled = False

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Post the answer to the loop."""
        layout = self._model.layout
        answer = _answer(outputs, self._request, layout, parameters)
        if answer is None:
            if not final:
                return
            answer = _end(self._request, layout)
        with self._lock:
            if self._over:
                raise _closed(layout.model)
            self._over = final
            self._post(answer, final=final)
        if self._model.mailbox.crowded:
            time.sleep(_PAUSE_S)

    def _post(self, answer: Answer, *, final: bool) -> None:
        start, now_ns = self._start, self._model.clock.now_ns()
        spent_ns = now_ns - start.started_ns - start.input_ns
        reply = Reply(
            place=self._place,
            answer=answer,
            final=final,
            index=self._index,
            took_ns=now_ns - (self._last_ns or start.started_ns),
            timings=Timings(start.started_ns, start.input_ns, spent_ns, 0),
        )
        self._index += 1
        self._last_ns = now_ns
        self._model.mailbox.post(partial(self._course.replied, reply))

    def fail(self, fault: EngineError) -> None:
        """Answer with an error, for good, if that is still to be answered."""
        with self._lock:
            if not self._over:
                self._over = True
                self._post(fault, final=True)


def _answer(
    outputs: tuple[Tensor, ...] | EngineError | None,
    request: InferRequest,
    layout: Layout,
    parameters: Mapping[str, Parameter],
) -> Answer | None:
    if outputs is None or isinstance(outputs, EngineError):
        return outputs
    try:
        return present(outputs, request, layout, parameters)
    except EngineError as error:
        return error


def _end(request: InferRequest, layout: Layout) -> InferResponse:
    return InferResponse(
        model=layout.model, version=layout.version, outputs=(), id=request.id, empty=True
    )


class ExecutorInstance:
    """An executor of a model that gives one answer to a request, with a thread of its own."""

    def __init__(
        self, name: str, executor: Executor, layout: Layout, mailbox: Mailbox, clock: Clock
    ) -> None:
        self.name = name
        self._executor = executor
        self._layout = layout
        self._model = _Model(layout, clock, mailbox)
        self._now_ns = clock.now_ns
        self._mailbox = mailbox
        self._hand = Hand(name)
        self._running: Sequence[_Once] = ()

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),  # noqa: ARG002 - a request here is on its own in any slot
    ) -> Outcome | None:
        """Have a batch of a model that is not decoupled executed; tells ``finished``."""
        ways = self._running = [_Once(self._model, request) for request in requests]
        self._hand.give(partial(self._run_here, requests, ways, finished))
        return None

    def cancel(self, place: int) -> None:
        """Let the model see that a request of the running batch is not wanted any more."""
        self._running[place].cancelled = True

    def close(self, closed: Callable[[], None]) -> None:
        """End the thread when it has done what it was given; then call back on the loop."""
        self._hand.give(partial(self._close_here, closed))
        self._hand.end()

    def _run_here(
        self,
        requests: Sequence[InferRequest],
        ways: Sequence[_Once],
        finished: Callable[[Outcome], None],
    ) -> None:
        start = _Start()
        fault = self._execute(requests, ways, start)
        ran_ns = self._now_ns()
        answers = [way.settle(fault) for way in ways]
        timings = Timings(
            start.started_ns,
            start.input_ns,
            ran_ns - start.started_ns - start.input_ns,
            self._now_ns() - ran_ns,
        )
        outcome = Outcome(answers, timings, apart=True)
        self._mailbox.post(partial(finished, outcome))

    def _execute(
        self,
        requests: Sequence[InferRequest],
        ways: Sequence[Replies],
        start: _Start,
    ) -> EngineError | None:
        """Execute a batch, and give what it raised."""
        start.started_ns = self._now_ns()
        try:
            batch = [
                Work(view(request, self._layout), way)
                for request, way in zip(requests, ways, strict=True)
            ]
            start.input_ns = self._now_ns() - start.started_ns
            self._executor.execute(batch)
        except EngineError as error:
            return error
        except Exception as fault:  # noqa: BLE001 - a model may raise anything; the engine goes on
            return Internal(f"model instance '{self.name}' failed: {say(fault)}")
        return None

    def _close_here(self, closed: Callable[[], None]) -> None:
        try:
            self._executor.close()
        finally:
            self._mailbox.post(closed)


class DecoupledInstance(ExecutorInstance):
    """An executor of a decoupled model, with a thread of its own.

    Its requests may outlive it for the pump: it closes when the last of them is over.
    """

    _open = 0
    _closed: Callable[[], None] | None = None

    def close(self, closed: Callable[[], None]) -> None:
        """End the thread when it has done what it was given; then call back on the loop."""
        if self._open:
            self._closed = closed
        else:
            super().close(closed)

    def _replied(self, course: Course, reply: Reply) -> None:
        course.replied(reply)
        if reply.final:
            self._open -= 1
            if not self._open and self._closed is not None:
                super().close(self._closed)

    def begin(
        self,
        requests: Sequence[InferRequest],
        course: Course,
        slots: tuple[int, ...] = (),  # noqa: ARG002 - as above
    ) -> Callable[[int], None]:
        """Have a batch of a decoupled model executed; returns what cancels one of its requests."""
        start = _Start()
        course = Course(partial(self._replied, course), course.released)
        self._open += len(requests)
        ways = [
            _Many(self._model, request, place, start, course)
            for place, request in enumerate(requests)
        ]
        self._hand.give(partial(self._begin_here, requests, ways, start, course))

        def cancel(place: int) -> None:
            ways[place].cancelled = True

        return cancel

    def _begin_here(
        self,
        requests: Sequence[InferRequest],
        ways: Sequence[_Many],
        start: _Start,
        course: Course,
    ) -> None:
        fault = self._execute(requests, ways, start)
        ran_ns = self._now_ns() - start.started_ns - start.input_ns
        if fault is not None:
            for way in ways:
                way.fail(fault)
        timings = Timings(start.started_ns, start.input_ns, ran_ns, 0)
        self._mailbox.post(partial(course.released, timings))
