"""The ways out of a model that sees requests: what each request is answered, exactly once.

Owns what a model may send, and what becomes of it: checked, reshaped, counted by its index. Does
not own the thread that executes (``executing``). A model's threads send; the rest is for the
thread of the instance. Rules:

1. a request of a model that is not decoupled (``Once``) has one answer, which is kept until
   ``execute`` has returned; one that was left out, or answered twice, gets an error that names the
   model;
2. a decoupled model's answers (``Many``) go to the event loop one by one, in the order in which
   they were sent;
3. nothing is sent behind the final answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock

from engine.clock import Clock
from engine.errors import EngineError, Internal
from engine.execution.batch import Layout, present
from engine.execution.instance import Mailbox
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
class Ground:
    """What every way out of a model needs to know."""

    layout: Layout
    clock: Clock
    mailbox: Mailbox


@dataclass(slots=True)
class Start:
    """When a batch began to be computed, and how long its inputs took, ns."""

    started_ns: int = 0
    input_ns: int = 0


def _closed(model: str) -> Internal:
    return Internal(
        f"model '{model}' answered a request after its final response: Unable to send response."
        " Response sender has been closed."
    )


class _Taken:
    """That a request may be taken back, and who wants to know."""

    __slots__ = ("_watching", "cancelled")

    def __init__(self) -> None:
        self.cancelled = False
        self._watching: Callable[[], None] | None = None

    def watch(self, callback: Callable[[], None]) -> None:
        """Have something called when the request is taken back."""
        # Set before it is looked: whoever takes it back writes first and then looks.
        self._watching = callback
        if self.cancelled:
            callback()

    def cancel(self) -> None:
        """Learn that nobody wants the answer any more."""
        self.cancelled = True
        if self._watching is not None:
            self._watching()


class Once(_Taken):
    """The way out of a request whose model is not decoupled: keeps the one answer."""

    __slots__ = ("_answer", "_final", "_ground", "_lock", "_request")

    def __init__(self, ground: Ground, request: InferRequest) -> None:
        super().__init__()
        self._ground = ground
        self._request = request
        self._answer: Answer | None = None
        self._final = False
        self._lock = Lock()

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Keep the answer."""
        name = self._ground.layout.model
        answer = _answer(outputs, self._request, self._ground.layout, parameters)
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
        """Give the answer; there will be no other (rule 1)."""
        with self._lock:
            self._final = True
            return (
                self._answer
                or fault
                or Internal(
                    f"model '{self._ground.layout.model}' gave no response to a request before"
                    " execute returned; one that is not decoupled must"
                )
            )


class Many(_Taken):
    """The way out of a request whose model is decoupled: every answer goes to the loop."""

    __slots__ = (
        "_course",
        "_ground",
        "_index",
        "_last_ns",
        "_lock",
        "_over",
        "_place",
        "_request",
        "_start",
    )  # fmt: skip

    def __init__(
        self, ground: Ground, request: InferRequest, place: int, start: Start, course: Course
    ) -> None:
        super().__init__()
        self._ground = ground
        self._request = request
        self._place = place
        self._start = start
        self._course = course
        self._index = 0
        self._last_ns = 0
        self._over = False
        self._lock = Lock()

    def send(
        self,
        outputs: tuple[Tensor, ...] | EngineError | None,
        *,
        final: bool,
        parameters: Mapping[str, Parameter] = _NONE,
    ) -> None:
        """Post the answer to the loop."""
        layout = self._ground.layout
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
        if (
            not final and self._ground.mailbox.crowded
        ):  # the final one may come from the loop itself
            time.sleep(_PAUSE_S)

    def _post(self, answer: Answer, *, final: bool) -> None:
        start, now_ns = self._start, self._ground.clock.now_ns()
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
        self._ground.mailbox.post(partial(self._course.replied, reply))

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
