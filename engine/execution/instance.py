"""One loaded copy of a model, and the thread that works for it.

Owns the running of one batch (join, run, split, each timed), the thread, and the way of results
back to the event loop: a turn of the loop collects whatever all threads have finished, through
one wake-up. Does not own which requests are in a batch, nor when an instance is free. All
methods are for the event loop's thread.

Whether a batch runs on the thread or inline is ``Residence``'s decision. Whatever a runtime
raises becomes the outcome of that batch alone. When every request of a batch that runs has been
cancelled, a runtime that can be interrupted is; the others of a batch are never touched.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol

from engine.backend import Binding, Interruptible, Runnable
from engine.clock import Clock
from engine.errors import Cancelled, EngineError, Internal
from engine.execution.batch import Layout, answer, join, wanted
from engine.execution.residence import Residence
from engine.scheduler import Refusal
from engine.telemetry.stats import Timings
from engine.types import Array, InferRequest, InferResponse, place_of

#: so many things that the loop has not got round to are a crowd
_CROWD = 64


class Loop(Protocol):
    """What is used of an asyncio event loop."""

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> object:  # noqa: ANN401 - asyncio's
        """Call back in the next turn."""
        ...

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> object:  # noqa: ANN401 - asyncio's
        """Call back in the next turn; any thread may ask."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one batch: an answer for each request, or the error they all get.

    ``apart`` says that the batch failed, and its requests were then run one by one, so that
    some of the answers may be errors. ``rows`` is how many rows the model ran, where these are not
    the requests' own; else 0.
    """

    result: list[InferResponse] | list[InferResponse | EngineError] | EngineError
    timings: Timings
    apart: bool = False
    rows: int = 0


class Mailbox:
    """Brings what threads have finished to the event loop, many at a time."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._items: deque[Callable[[], None]] = deque()
        self._called = False

    def post(self, item: Callable[[], None]) -> None:
        """Have ``item`` called on the loop, soon; any thread may call this."""
        self._items.append(item)
        # A thread that finds the flag up has put its item in before the loop takes it down,
        # and the loop takes it down before it looks: nothing is left behind.
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
                self._loop.call_soon_threadsafe(self._empty)

    @property
    def crowded(self) -> bool:
        """Whether the loop does not keep up with what is posted."""
        return len(self._items) >= _CROWD

    def _empty(self) -> None:
        self._called = False
        # No more than there are now: a model that answers all the time must leave the loop its
        # turns, to write the answers, and to read that the client has gone.
        for _ in range(len(self._items)):
            self._items.popleft()()


class Hand:
    """A thread that does one job after the other."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.give = self._jobs.put
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End when all has been done that was given before."""
        self._jobs.put(None)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()
            del job  # or its arrays would stay alive until the next one comes


class Batch:
    """What turns requests into responses: a runnable and the layout of its tensors.

    ``again`` says that a batch that failed may be run again request by request.
    """

    __slots__ = (
        "_again", "_binding", "_interruptible", "_layout", "_name", "_now_ns", "_runnable",
        "interrupted",
    )  # fmt: skip

    def __init__(
        self, name: str, runnable: Runnable, layout: Layout, clock: Clock, *, again: bool = True
    ) -> None:
        self._name = name
        self._runnable = runnable
        self._interruptible = runnable if isinstance(runnable, Interruptible) else None
        self._binding = runnable if isinstance(runnable, Binding) else None
        self._layout = layout
        self._now_ns = clock.now_ns
        self._again = again
        self.interrupted = False

    def run(self, requests: Sequence[InferRequest]) -> Outcome:
        """Compute the responses; a fault of any kind becomes the outcome.

        A runtime that fails with several requests may have failed for what one of them holds
        (a text that is none, an index out of bounds). Then each runs again by itself: nobody
        is answered with the fault of a stranger who happened to be in the same batch.
        """
        now_ns, layout = self._now_ns, self._layout
        joined: int | None = None
        ran: int | None = None
        apart = False
        result: list[InferResponse] | list[InferResponse | EngineError] | EngineError
        started = now_ns()
        try:
            arrays = join(requests, layout)
            joined = now_ns()
            computed = self._compute(requests, arrays)
            ran = now_ns()
            result = answer(requests, computed, layout)
        except EngineError as error:
            result = error
        except Exception as fault:  # noqa: BLE001 - a runtime may raise anything; the engine goes on
            result = Internal(f"model instance '{self._name}' failed: {say(fault)}")
        if self.interrupted and ran is None:
            gone: list[InferResponse | EngineError] = [cancelled(request) for request in requests]
            apart, result = True, gone
        elif self._again and joined is not None and ran is None and len(requests) > 1:
            apart, result = True, [self._alone(request) for request in requests]
        ended = now_ns()
        joined = ended if joined is None else joined
        ran = ended if ran is None else ran
        timings = Timings(started, joined - started, ran - joined, ended - ran)
        return Outcome(result, timings, apart)

    def _compute(
        self, requests: Sequence[InferRequest], arrays: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Run a batch; one request's tensors on the GPU stay there, several have been joined."""
        names = wanted(requests, self._layout)
        if self._binding is not None and len(requests) == 1:
            places = {one.name: one.place for one in requests[0].outputs if one.place is not None}
            if places or any(map(place_of, arrays.values())):
                return self._binding.run_bound(arrays, {name: places.get(name) for name in names})
        return self._runnable.run(arrays, names)

    def _alone(self, request: InferRequest) -> InferResponse | EngineError:
        result = self.run((request,)).result
        return result if isinstance(result, EngineError) else result[0]

    def interrupt(self, *, on: bool) -> None:
        """Have the runtime stop what it runs, if it can; or let it run again."""
        if self._interruptible is not None:
            self.interrupted = on
            self._interruptible.interrupt(on=on)

    def close(self) -> None:
        """Free the runnable."""
        self._runnable.close()


class Instance:
    """A batch runner with a thread of its own; if it ``stays`` there, nothing runs inline."""

    def __init__(self, name: str, batch: Batch, mailbox: Mailbox, *, stays: bool = False) -> None:
        self.name = name
        self._batch = batch
        self._mailbox = mailbox
        self._residence = Residence(stays=stays)
        self._hand = Hand(name)
        self._running = 0
        self._unwanted: set[int] = set()

    @property
    def inline(self) -> bool:
        """Whether the next batch runs on the event loop."""
        return self._residence.inline

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),  # noqa: ARG002 - execution.sequences has seen to them
    ) -> Outcome | None:
        """Run a batch: at once, and give its outcome; or on the thread, and tell ``finished``."""
        if self._residence.inline:
            outcome = self._batch.run(requests)
            self._residence.ran_inline(outcome.timings.total_ns)
            return outcome
        self._running = len(requests)
        self._hand.give(lambda: self._run_here(requests, finished))
        return None

    def cancel(self, place: int) -> None:
        """Learn that nobody wants what the request at this place of the running batch gets."""
        self._unwanted.add(place)
        if len(self._unwanted) == self._running:
            self._batch.interrupt(on=True)

    def close(self, closed: Callable[[], None]) -> None:
        """End the thread when it has done what it was given; then call back on the loop."""
        self._hand.give(lambda: self._close_here(closed))
        self._hand.end()

    def _run_here(
        self, requests: Sequence[InferRequest], finished: Callable[[Outcome], None]
    ) -> None:
        cpu_ns = time.thread_time_ns()
        outcome = self._batch.run(requests)
        cpu_ns = time.thread_time_ns() - cpu_ns
        self._mailbox.post(lambda: self._tell(outcome, cpu_ns, finished))

    def _tell(self, outcome: Outcome, cpu_ns: int, finished: Callable[[Outcome], None]) -> None:
        self._residence.ran_on_thread(outcome.timings.total_ns, cpu_ns)
        if self._unwanted:
            # Only now: the thread may have ended the run before it could be interrupted.
            self._unwanted.clear()
            self._batch.interrupt(on=False)
        finished(outcome)

    def _close_here(self, closed: Callable[[], None]) -> None:
        try:
            self._batch.close()
        finally:
            self._mailbox.post(closed)


def cancelled(request: InferRequest) -> Cancelled:
    """Say that a request was taken back, in Triton's words."""
    return Cancelled(f"[request id: {request.id or '<id_unknown>'}] {Refusal.CANCELLED.value}")


def say(fault: BaseException) -> str:
    """Name an exception and what it says."""
    text = str(fault)
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__
