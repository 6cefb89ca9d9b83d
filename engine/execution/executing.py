"""One loaded copy of a model that sees requests, and the thread that works for it.

Owns when an ``Executor`` is called, and when its instance is free. Does not own what a request is
answered (``replies``), what comes before it or after its answer (the pump), nor the thread itself
(``instance.Hand``). Rules:

1. ``execute`` always runs on the thread: code that sees requests may wait for anything;
2. a model that is not decoupled has answered each request when ``execute`` returns; the answers
   are one outcome then;
3. a decoupled model's instance is free when ``execute`` returns; a request lives until its final
   answer;
4. what ``execute`` raises is the final answer to all that have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from engine.backend import Executor, Replies, Work
from engine.clock import Clock
from engine.errors import EngineError, Internal
from engine.execution.batch import Layout, view
from engine.execution.instance import Hand, Mailbox, Outcome, say
from engine.execution.replies import Course, Ground, Many, Once, Reply, Start
from engine.telemetry.stats import Timings
from engine.types import InferRequest


class ExecutorInstance:
    """An executor of a model that gives one answer to a request, with a thread of its own."""

    def __init__(
        self, name: str, executor: Executor, layout: Layout, mailbox: Mailbox, clock: Clock
    ) -> None:
        self.name = name
        self._executor = executor
        self._layout = layout
        self._ground = Ground(layout, clock, mailbox)
        self._now_ns = clock.now_ns
        self._mailbox = mailbox
        self._hand = Hand(name)
        self._running: Sequence[Once] = ()

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),  # noqa: ARG002 - a request here is on its own in any slot
    ) -> Outcome | None:
        """Have a batch of a model that is not decoupled executed; tells ``finished``."""
        ways = self._running = [Once(self._ground, request) for request in requests]
        self._hand.give(partial(self._run_here, requests, ways, finished))
        return None

    def cancel(self, place: int) -> None:
        """Let the model see that a request of the running batch is not wanted any more."""
        self._running[place].cancel()

    def close(self, closed: Callable[[], None]) -> None:
        """End the thread when it has done what it was given; then call back on the loop."""
        self._hand.give(partial(self._close_here, closed))
        self._hand.end()

    def _run_here(
        self,
        requests: Sequence[InferRequest],
        ways: Sequence[Once],
        finished: Callable[[Outcome], None],
    ) -> None:
        start = Start()
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
        start: Start,
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
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - a model may raise anything, or call exit(); the engine goes on
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
        start = Start()
        course = Course(partial(self._replied, course), course.released)
        self._open += len(requests)
        ways = [
            Many(self._ground, request, place, start, course)
            for place, request in enumerate(requests)
        ]
        self._hand.give(partial(self._begin_here, requests, ways, start, course))

        def cancel(place: int) -> None:
            ways[place].cancel()

        return cancel

    def _begin_here(
        self,
        requests: Sequence[InferRequest],
        ways: Sequence[Many],
        start: Start,
        course: Course,
    ) -> None:
        fault = self._execute(requests, ways, start)
        ran_ns = self._now_ns() - start.started_ns - start.input_ns
        if fault is not None:
            for way in ways:
                way.fail(fault)
        timings = Timings(start.started_ns, start.input_ns, ran_ns, 0)
        self._mailbox.post(partial(course.released, timings))
