"""Decoupled models, in virtual time: whatever they answer, and whoever goes, each ends once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_backend import FakeWorker, config
from support.fake_loop import FakeLoop

from engine.clock import ManualClock
from engine.errors import Cancelled, EngineError, Internal
from engine.execution.admission import Admission
from engine.execution.ordering import Ordering
from engine.execution.pump import Pump
from engine.execution.replies import Course, Reply
from engine.modelconfig.schema import DynamicBatching
from engine.schedulers import make
from engine.telemetry.stats import FailureReason, Ledger, Timings
from engine.types import DType, InferRequest, InferResponse, Tensor

ARRAY = np.zeros((1, 2), np.float32)
Answer = InferResponse | EngineError


@dataclass
class Plan:
    """What a request will be answered: after so long each; the last one ends it."""

    pauses_ns: list[int]
    ends: str
    comes_ns: int
    goes_ns: int | None
    answers: list[Answer] = field(default_factory=list)
    over: list[Answer] = field(default_factory=list)


class OpenWorker(FakeWorker):
    """An instance of a decoupled model on virtual time, which answers as planned."""

    def __init__(self, loop: FakeLoop, plans: Sequence[Plan], service_ns: int) -> None:
        super().__init__(loop, service_ns=service_ns)
        self.plans = plans

    def begin(
        self, requests: Sequence[InferRequest], course: Course, slots: tuple[int, ...] = ()
    ) -> Callable[[int], None]:
        assert not self.busy, "an instance executes one batch at a time"
        self.busy = True
        self.slots.append(slots)
        self.batches.append([request.id for request in requests])
        begun_ns = self.loop.clock.now_ns()
        gone: set[int] = set()

        def release() -> None:
            self.busy = False
            course.released(Timings(begun_ns, 1, self.service_ns - 1, 0))

        self.loop.at(begun_ns + self.service_ns, release)
        for place, request in enumerate(requests):
            at_ns, plan = begun_ns, self.plans[int(request.id)]
            for index, pause_ns in enumerate(plan.pauses_ns):
                at_ns += pause_ns
                final = index + 1 == len(plan.pauses_ns)
                reply = partial(self._reply, request, place, index, begun_ns, final, gone)
                self.loop.at(at_ns, partial(self._send, course, reply))
        return gone.add

    def _send(self, course: Course, reply: Callable[[], Reply]) -> None:
        course.replied(reply())

    def _reply(
        self,
        request: InferRequest,
        place: int,
        index: int,
        begun_ns: int,
        final: bool,  # noqa: FBT001 - as above
        gone: set[int],
    ) -> Reply:
        answer: Answer = InferResponse(model="m", version="1", outputs=(), id=str(index))
        ends = self.plans[int(request.id)].ends
        if final and place in gone:
            answer = Cancelled("gone")
        elif final and ends == "error":
            answer = Internal("no more")
        elif final and ends == "empty":
            answer = InferResponse(model="m", version="1", outputs=(), id=str(index), empty=True)
        spent_ns = self.loop.clock.now_ns() - begun_ns - 1
        timings = Timings(begun_ns, 1, max(0, spent_ns), 0)
        return Reply(place, answer, final, index, 1, timings)


PLANS = st.lists(
    st.builds(
        Plan,
        pauses_ns=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
        ends=st.sampled_from(("answer", "error", "empty")),
        comes_ns=st.integers(1000, 9000),
        goes_ns=st.none() | st.integers(1000, 30_000),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(
    plans=PLANS,
    workers=st.integers(1, 3),
    service_ns=st.sampled_from((10, 900)),
    batching=st.none() | st.builds(DynamicBatching, preferred_batch_size=st.just((4,))),
    in_order=st.booleans(),
    stop_ns=st.sampled_from((4000, 1_000_000)),
)
def test_each_request_ends_once_behind_its_answers_and_a_stop_waits_for_all(
    plans: list[Plan],
    workers: int,
    service_ns: int,
    batching: DynamicBatching | None,
    in_order: bool,  # noqa: FBT001 - a case
    stop_ns: int,
) -> None:
    clock = ManualClock(now_ns=1000)
    loop, model, ledger = FakeLoop(clock), config(batching=batching), Ledger("m", 1)
    instances = [OpenWorker(loop, plans, service_ns) for _ in range(workers)]
    admit = Admission(model).ticket
    pump = Pump(make(model, workers), instances, ledger, admit=admit, clock=clock, loop=loop)
    ordering = Ordering()
    left: list[int] = []
    tickets: dict[int, int] = {}

    def come(number: int, plan: Plan) -> None:
        def done(answer: Answer) -> None:
            plan.over.append(answer)
            left.append(number)

        def emit(answer: Answer) -> None:
            assert not plan.over, "an answer behind the last one"
            plan.answers.append(answer)

        asked = InferRequest(inputs=(Tensor("X", DType.FP32, ARRAY),), id=str(number))
        told, between = ordering.wrap(done, emit) if in_order else (done, emit)
        tickets[number] = pump.submit(asked, told, between)

    def go(number: int) -> None:
        if number in tickets:
            pump.cancel(tickets[number])

    for number, plan in enumerate(plans):
        loop.at(plan.comes_ns, partial(come, number, plan))
        if plan.goes_ns is not None:
            loop.at(plan.goes_ns, partial(go, number))
    drained: list[bool] = []

    def stopped() -> None:
        drained.append(all(len(plan.over) == 1 for plan in plans if plan.comes_ns < stop_ns))

    loop.at(stop_ns, lambda: pump.stop(stopped))
    loop.run()

    assert loop.faults == []
    assert drained == [True]
    executed = {int(name) for worker in instances for batch in worker.batches for name in batch}
    for number, plan in enumerate(plans):
        assert len(plan.over) == 1
        wanted = len(plan.pauses_ns) - 1 if number in executed else 0
        assert [answer.id for answer in plan.answers if isinstance(answer, InferResponse)] == [
            str(index) for index in range(wanted)
        ]
    succeeded = [one for one in left if isinstance(plans[one].over[0], InferResponse)]
    arrived = sorted(tickets, key=lambda number: tickets[number])
    assert not in_order or succeeded == [one for one in arrived if one in succeeded]
    _check(ledger, plans, sum(len(worker.batches) for worker in instances))


def _check(ledger: Ledger, plans: Sequence[Plan], batches: int) -> None:
    seen = ledger.picture()
    ended = [plan.over[0] for plan in plans]
    assert seen.execution_count == batches
    assert seen.success.count == sum(isinstance(one, InferResponse) for one in ended)
    assert seen.fail.count == sum(isinstance(one, EngineError) for one in ended)
    assert seen.failures[FailureReason.CANCELED] == sum(isinstance(one, Cancelled) for one in ended)
    assert seen.queue.count == seen.compute_infer.count == seen.success.count
    assert seen.success.ns >= seen.queue.ns + seen.compute_input.ns + seen.compute_infer.ns
