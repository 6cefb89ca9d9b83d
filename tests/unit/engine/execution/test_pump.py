"""The pump carries decisions out: once for everybody, in turns of the loop, without recursion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_backend import FakeWorker, config
from support.fake_loop import FakeLoop

from engine.clock import ManualClock
from engine.errors import Cancelled, EngineError, Internal, InvalidArgument, Unavailable
from engine.execution.admission import Admission
from engine.execution.pump import Pump
from engine.modelconfig.schema import DynamicBatching, ModelConfig, QueuePolicy, TimeoutAction
from engine.schedulers import make
from engine.telemetry.stats import FailureReason, Ledger, ModelStatistics
from engine.types import DType, InferRequest, InferResponse, Tensor


def request(name: str = "", rows: int = 1, timeout_us: int = 0, level: int = 0) -> InferRequest:
    tensor = Tensor("X", DType.FP32, np.zeros((rows, 2), np.float32))
    return InferRequest(inputs=(tensor,), id=name, timeout_us=timeout_us, priority=level)


@dataclass
class Rig:
    """A pump on virtual time."""

    model: ModelConfig
    workers: int = 1
    inline: bool = False
    service_ns: int = 10
    fail_every: int = 0
    answers: dict[str, list[InferResponse | EngineError]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock(now_ns=1000)
        self.loop = FakeLoop(self.clock)
        self.ledger = Ledger("model", 1)
        self.instances = [
            FakeWorker(
                self.loop,
                service_ns=self.service_ns,
                inline=self.inline,
                fail_every=self.fail_every,
            )
            for _ in range(self.workers)
        ]
        self.pump = Pump(
            make(self.model, self.workers),
            self.instances,
            self.ledger,
            admit=Admission(self.model).ticket,
            clock=self.clock,
            loop=self.loop,
        )

    def done(self, name: str) -> Callable[[InferResponse | EngineError], None]:
        return self.answers.setdefault(name, []).append

    def submit(self, name: str, rows: int = 1, timeout_us: int = 0, level: int = 0) -> int:
        number = self.pump.submit(request(name, rows, timeout_us, level), self.done(name))
        assert self.answers[name] == [], "answered before submit returned"
        return number

    def statistics(self) -> ModelStatistics:
        return self.ledger.picture(self.pump.pending)


def batched(
    *,
    delay_us: int = 0,
    max_queue: int = 0,
    timeout_us: int = 0,
    override: bool = False,
    max_batch_size: int = 8,
    levels: int = 0,
    action: TimeoutAction = TimeoutAction.REJECT,
) -> ModelConfig:
    policy = QueuePolicy(
        timeout_action=action,
        max_queue_size=max_queue,
        default_timeout_microseconds=timeout_us,
        allow_timeout_override=override,
    )
    batching = DynamicBatching(
        max_queue_delay_microseconds=delay_us,
        default_queue_policy=policy,
        priority_levels=levels,
        default_priority_level=min(levels, 1),
    )
    return config(max_batch_size=max_batch_size, batching=batching)


def test_what_one_turn_of_the_loop_brings_runs_together() -> None:
    rig = Rig(batched())
    for name in "abcde":
        rig.submit(name)
    assert rig.pump.pending == 5
    rig.loop.turn()
    assert rig.instances[0].batches == [["a", "b", "c", "d", "e"]]
    assert rig.pump.pending == 0
    rig.loop.run()
    assert all(
        isinstance(answer, InferResponse) and answer.id == name
        for name, (answer,) in rig.answers.items()
    )


def test_a_batch_that_waits_leaves_when_its_delay_is_over() -> None:
    rig = Rig(batched(delay_us=50))
    rig.submit("a")
    rig.loop.at(1000 + 20_000, lambda: rig.submit("b"))
    rig.loop.run()
    assert rig.instances[0].batches == [["a", "b"]]
    assert rig.statistics().queue.ns == 50_000 + 30_000


def test_an_instance_gets_its_next_batch_before_the_last_one_is_delivered() -> None:
    rig = Rig(config(max_batch_size=8))
    seen: list[int] = []
    rig.pump.submit(request("a"), lambda _: seen.append(len(rig.instances[0].batches)))
    rig.submit("b")
    rig.loop.run()
    assert seen == [2]


@pytest.mark.parametrize(
    ("name", "shown"), [("seven", "[request id: seven] "), ("", "[request id: <id_unknown>] ")]
)
def test_who_expires_is_told_why(name: str, shown: str) -> None:
    rig = Rig(batched(timeout_us=100, override=True), service_ns=500_000)
    rig.submit("first", rows=8)
    rig.submit(name, timeout_us=40)
    rig.loop.run()
    (answer,) = rig.answers[name]
    assert isinstance(answer, Unavailable)
    assert answer.message == f"{shown}Request timeout expired"
    assert rig.statistics().failures[FailureReason.REJECTED] == 1
    assert rig.statistics().fail.ns == 40_000


def test_who_finds_the_queue_full_is_told_why() -> None:
    rig = Rig(batched(max_queue=1, max_batch_size=1))
    for name in "abc":
        rig.submit(name)
    rig.loop.run()
    (answer,) = rig.answers["c"]
    assert isinstance(answer, Unavailable)
    assert answer.message == "[request id: c] Exceeds maximum queue size"
    assert rig.statistics().failures[FailureReason.REJECTED] == 1
    assert rig.statistics().success.count == 2


@pytest.mark.parametrize("queued", [False, True], ids=["just-arrived", "queued"])
def test_a_waiting_request_can_be_taken_back(queued: bool) -> None:  # noqa: FBT001 - a parameter
    rig = Rig(config())
    rig.submit("a")
    number = rig.submit("b")
    if queued:
        rig.loop.turn()
    rig.pump.cancel(number)
    (answer,) = rig.answers["b"]
    assert isinstance(answer, Cancelled)
    rig.loop.run()
    assert rig.instances[0].batches == [["a"]]
    assert rig.statistics().failures[FailureReason.CANCELED] == 1


def test_a_running_request_is_answered_although_it_is_taken_back() -> None:
    rig = Rig(config())
    number = rig.submit("a")
    rig.loop.turn()
    rig.pump.cancel(number)
    rig.loop.run()
    rig.pump.cancel(number)
    assert isinstance(rig.answers["a"][0], InferResponse)


def test_a_fault_fails_exactly_the_requests_of_its_batch() -> None:
    rig = Rig(batched(max_batch_size=2), fail_every=2)
    for name in "abcdef":
        rig.submit(name)
    rig.loop.run()
    failed = [name for name, (answer,) in rig.answers.items() if isinstance(answer, Internal)]
    assert failed == ["c", "d"]
    assert rig.statistics().failures[FailureReason.BACKEND] == 2
    assert rig.statistics().inference_count == 4
    assert rig.statistics().execution_count == 3


def test_of_a_batch_that_was_run_apart_each_gets_its_own_answer_and_counts_as_such() -> None:
    rig = Rig(batched(delay_us=1))
    for name, rows in (("a", 1), ("bad", 2), ("c", 3)):
        rig.submit(name, rows)
    rig.loop.run()
    assert rig.instances[0].batches == [["a", "bad", "c"]]
    kinds = [type(rig.answers[name][0]) for name in ("a", "bad", "c")]
    assert kinds == [InferResponse, InvalidArgument, InferResponse]
    seen = rig.statistics()
    assert (seen.success.count, seen.fail.count, seen.inference_count) == (2, 1, 4)
    assert seen.queue.count == seen.compute_infer.count == 2
    assert seen.failures[FailureReason.BACKEND] == 1


def test_a_callback_that_fails_harms_no_other() -> None:
    rig = Rig(batched())

    def fail(_: object) -> None:
        raise RuntimeError("the connection is gone")

    rig.pump.submit(request("a"), fail)
    rig.submit("b")
    rig.loop.run()
    assert isinstance(rig.answers["b"][0], InferResponse)
    assert [str(fault["exception"]) for fault in rig.loop.faults] == ["the connection is gone"]


def test_inline_work_neither_recurses_nor_keeps_the_loop_from_its_turn() -> None:
    rig = Rig(config(), inline=True, service_ns=100_000)
    for number in range(5000):
        rig.submit(str(number))
    rig.loop.turn()
    assert len(rig.instances[0].batches) == 10, "a millisecond of inline work, then the loop"
    rig.loop.run()
    assert len(rig.instances[0].batches) == 5000
    assert rig.statistics().success.count == 5000


def test_stopping_answers_what_is_there_refuses_the_rest_and_closes_once() -> None:
    rig = Rig(batched(delay_us=10_000), workers=2)
    drained: list[int] = []
    rig.submit("a")
    rig.loop.turn()
    rig.submit("b")
    rig.pump.stop(lambda: drained.append(1))
    rig.submit("c")
    rig.pump.stop(lambda: drained.append(2))
    assert drained == []
    rig.loop.run()
    assert drained == [1, 2]
    assert isinstance(rig.answers["a"][0], InferResponse)
    assert isinstance(rig.answers["b"][0], InferResponse)
    (answer,) = rig.answers["c"]
    assert isinstance(answer, Unavailable)
    assert answer.message.startswith("[request id: c] Server is stopping")
    rig.submit("d")
    rig.pump.stop(lambda: drained.append(3))
    rig.loop.run()
    assert drained == [1, 2, 3]
    assert isinstance(rig.answers["d"][0], Unavailable)
    assert [worker.closed for worker in rig.instances] == [1, 1]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_everybody_is_answered_once_and_the_figures_add_up(pick: st.DataObject) -> None:
    """Traps 60 to 63: counts agree, and one request's total holds its queue and compute times."""
    queued = batched(
        delay_us=pick.draw(st.sampled_from((0, 1, 5))),
        max_queue=pick.draw(st.sampled_from((0, 3))),
        timeout_us=pick.draw(st.sampled_from((0, 2))),
        levels=pick.draw(st.sampled_from((0, 3))),
        action=pick.draw(st.sampled_from(TimeoutAction)),
    )
    rig = Rig(
        pick.draw(st.sampled_from((config(), queued))),
        workers=pick.draw(st.integers(1, 3)),
        inline=pick.draw(st.booleans()),
        service_ns=pick.draw(st.sampled_from((10, 900, 3000))),
        fail_every=pick.draw(st.sampled_from((0, 3))),
    )
    numbers: list[int] = []
    drained: list[int] = []

    def come(name: str, rows: int) -> None:
        numbers.append(rig.submit(name, rows, level=rows))

    def take_back(place: int) -> None:
        if place < len(numbers):
            rig.pump.cancel(numbers[place])

    arrivals = pick.draw(
        st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.booleans()), max_size=30)
    )
    for place, (when, rows, regretted) in enumerate(arrivals):
        rig.loop.at(1000 + when * 300, lambda n=place, r=rows: come(str(n), r))  # type: ignore[misc]
        if regretted:
            rig.loop.at(1000 + when * 300 + 400, lambda n=place: take_back(n))  # type: ignore[misc]
    stop_ns = pick.draw(st.sampled_from((1500, 4000, 1_000_000_000)))
    rig.loop.at(stop_ns, lambda: rig.pump.stop(lambda: drained.append(1)))
    rig.loop.run()

    assert [len(answers) for answers in rig.answers.values()] == [1] * len(arrivals)
    assert drained == [1]
    assert rig.pump.pending == 0
    seen = rig.statistics()
    answered = [one for (one,) in rig.answers.values() if isinstance(one, InferResponse)]
    assert seen.success.count == len(answered)
    assert seen.inference_count == sum(arrivals[int(one.id)][1] for one in answered)
    assert seen.success.count + seen.fail.count == len(arrivals)
    assert sum(seen.failures.values()) == seen.fail.count
    tallies = (seen.queue, seen.compute_input, seen.compute_infer, seen.compute_output)
    assert {tally.count for tally in tallies} == {seen.success.count}
    assert seen.success.ns >= sum(tally.ns for tally in tallies)
    assert min(tally.ns for tally in tallies) >= 0
    assert sum(size.compute_infer.count for size in seen.batch_stats) == seen.execution_count
    assert rig.loop.faults == []
