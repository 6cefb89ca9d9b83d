"""An instance runs batches on its thread, or inline, and survives whatever a runtime does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from support.fake_backend import FakeRunnable, Function, config

from engine.backend import Placement
from engine.clock import SystemClock
from engine.errors import Cancelled, EngineError, Internal, InvalidArgument
from engine.execution.batch import layout
from engine.execution.instance import Batch, Instance, Mailbox, Outcome
from engine.execution.residence import PROBATION
from engine.types import Array, DType, InferRequest, InferResponse, Tensor

_PATIENCE_S = 10


class ThreadLoop:
    """Takes what other threads post, and runs it when the test asks for it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.posts = 0

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> None:
        self._queue.put(lambda: callback(*args))

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> None:
        self.posts += 1
        self.call_soon(callback, *args)

    def run_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._queue.get(timeout=_PATIENCE_S)()


class Rig:
    """One instance on a real thread."""

    def __init__(self, function: Function, runnable: FakeRunnable | None = None) -> None:
        self.loop = ThreadLoop()
        self.runnable = runnable or FakeRunnable(function, Placement())
        batch = Batch("model_0", self.runnable, layout("model", 1, config()), SystemClock())
        self.instance = Instance("model_0", batch, Mailbox(self.loop))
        self.outcomes: list[Outcome] = []

    def run(self, *rows: int) -> Outcome:
        outcome = self.instance.run([request(count) for count in rows], self.outcomes.append)
        if outcome is None:
            before = len(self.outcomes)
            self.loop.run_until(lambda: len(self.outcomes) > before)
            return self.outcomes[-1]
        return outcome

    def close(self) -> None:
        closed: list[int] = []
        self.instance.close(lambda: closed.append(1))
        self.loop.run_until(lambda: bool(closed))


def request(rows: int) -> InferRequest:
    return InferRequest(inputs=(Tensor("X", DType.FP32, np.ones((rows, 2), np.float32)),))


def double(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"Y": inputs["X"] * 2}


@pytest.fixture
def rig() -> Iterator[Callable[[Function], Rig]]:
    made: list[Rig] = []

    def make(function: Function) -> Rig:
        made.append(Rig(function))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert one.runnable.closed == 1


def _responses(outcome: Outcome) -> list[InferResponse]:
    assert not isinstance(outcome.result, EngineError), outcome.result
    responses = [one for one in outcome.result if isinstance(one, InferResponse)]
    assert len(responses) == len(outcome.result), outcome.result
    return responses


def test_a_batch_runs_on_the_thread_and_is_timed(rig: Callable[[Function], Rig]) -> None:
    where: list[str] = []

    def note(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        where.append(threading.current_thread().name)
        return double(inputs)

    one = rig(note)
    before_ns = SystemClock().now_ns()
    outcome = one.run(1, 3)
    assert [response.outputs[0].array.tolist() for response in _responses(outcome)] == [
        [[2.0, 2.0]],
        [[2.0, 2.0]] * 3,
    ]
    assert where == ["model_0"]
    assert one.runnable.batches == [4]
    assert before_ns <= outcome.timings.started_ns
    assert outcome.timings.started_ns + outcome.timings.total_ns <= SystemClock().now_ns()
    assert outcome.timings.infer_ns > 0


def test_a_short_model_moves_inline_and_gives_the_same_answers(
    rig: Callable[[Function], Rig],
) -> None:
    where: list[str] = []

    def note(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        where.append(threading.current_thread().name)
        return double(inputs)

    one = rig(note)
    results = []
    for _ in range(50 * PROBATION):
        results.append(_responses(one.run(1))[0].outputs[0].array.tolist())
        if one.instance.inline:
            break
    assert one.instance.inline
    results.append(_responses(one.run(1))[0].outputs[0].array.tolist())
    assert where[0] == "model_0"
    assert where[-1] == threading.current_thread().name
    assert results == [[[2.0, 2.0]]] * len(results)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (
            ZeroDivisionError("by nought"),
            Internal,
            "'model_0' failed: ZeroDivisionError: by nought",
        ),
        (MemoryError(), Internal, "'model_0' failed: MemoryError"),
        (InvalidArgument("input 'X': no such word"), InvalidArgument, "input 'X': no such word"),
    ],
)
def test_a_fault_is_the_outcome_of_its_batch_and_the_next_one_runs(
    rig: Callable[[Function], Rig], fault: Exception, kind: type[EngineError], said: str
) -> None:
    faults = [fault]

    def fail_once(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if faults:
            raise faults.pop()
        return double(inputs)

    one = rig(fail_once)
    outcome = one.run(1)
    assert isinstance(outcome.result, kind)
    assert said in outcome.result.message
    assert len(_responses(one.run(2))) == 1


def test_a_request_that_the_runtime_refuses_does_not_take_its_batch_along(
    rig: Callable[[Function], Rig],
) -> None:
    def refuse_pairs(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if len(inputs["X"]) in {2, 6}:  # the second request, and the batch that holds it
            raise InvalidArgument("element 1: not UTF-8 text")
        return double(inputs)

    outcome = rig(refuse_pairs).run(1, 2, 3)
    assert not isinstance(outcome.result, EngineError)
    first, second, third = outcome.result
    assert outcome.apart
    assert isinstance(first, InferResponse)
    assert isinstance(second, InvalidArgument)
    assert isinstance(third, InferResponse)
    assert [len(one.outputs[0].array) for one in (first, third)] == [1, 3]


def test_an_output_of_the_wrong_size_is_a_fault_of_the_batch(
    rig: Callable[[Function], Rig],
) -> None:
    outcome = rig(lambda inputs: {"Y": inputs["X"][:1]}).run(1, 1)
    assert isinstance(outcome.result, Internal)
    assert "for a batch of 2" in outcome.result.message


def test_many_results_take_one_wake_up_of_the_loop() -> None:
    loop = ThreadLoop()
    mailbox = Mailbox(loop)
    seen: list[int] = []
    for number in range(100):
        mailbox.post(lambda n=number: seen.append(n))  # type: ignore[misc]
    assert loop.posts == 1
    loop.run_until(lambda: len(seen) == 100)
    assert seen == list(range(100))
    mailbox.post(lambda: seen.append(100))
    loop.run_until(lambda: len(seen) == 101)
    assert loop.posts == 2


def test_posting_from_many_threads_loses_nothing() -> None:
    loop = ThreadLoop()
    mailbox = Mailbox(loop)
    seen: list[tuple[int, int]] = []

    def post(thread: int) -> None:
        for number in range(500):
            mailbox.post(lambda n=number: seen.append((thread, n)))  # type: ignore[misc]

    threads = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    loop.run_until(lambda: len(seen) == 2000)
    for thread in threads:
        thread.join()
    assert [n for thread, n in seen if thread == 2] == list(range(500))


class Patient(FakeRunnable):
    """Runs until it is interrupted, or told to go on."""

    def __init__(self) -> None:
        super().__init__(double, Placement())
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.interrupted = False

    def interrupt(self, *, on: bool) -> None:
        self.interrupted = on
        if on:
            self.go_on.set()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self.running.set()
        assert self.go_on.wait(_PATIENCE_S)
        self.go_on.clear()
        if self.interrupted:
            raise RuntimeError("interrupted")
        return super().run(inputs, outputs)


def test_a_run_nobody_waits_for_is_cut_short_and_one_that_somebody_waits_for_is_not() -> None:
    patient = Patient()
    one = Rig(double, patient)
    finished: list[Outcome] = []

    def start() -> None:
        patient.running.clear()
        one.instance.run([request(1), request(1)], finished.append)
        assert patient.running.wait(_PATIENCE_S)

    start()
    one.instance.cancel(0)
    assert not patient.interrupted
    patient.go_on.set()
    one.loop.run_until(lambda: len(finished) == 1)
    assert len(_responses(finished[0])) == 2

    start()
    one.instance.cancel(0)
    one.instance.cancel(0)
    assert not patient.interrupted
    one.instance.cancel(1)
    one.loop.run_until(lambda: len(finished) == 2)
    assert isinstance(finished[1].result, list)
    assert all(isinstance(answer, Cancelled) for answer in finished[1].result)
    assert patient.batches == [2], "what was cut short is not run again one by one"

    start()
    patient.go_on.set()
    one.loop.run_until(lambda: len(finished) == 3)
    assert len(_responses(finished[2])) == 2
    one.close()


def test_what_is_posted_while_the_loop_takes_what_there_is_waits_for_its_next_turn() -> None:
    loop = ThreadLoop()
    mailbox, posted = Mailbox(loop), []

    def again() -> None:
        posted.append(loop.posts)
        mailbox.post(again)

    mailbox.post(again)
    loop.run_until(lambda: len(posted) == 3)
    assert posted == [1, 2, 3]
    assert not mailbox.crowded
