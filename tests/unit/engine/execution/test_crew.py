"""Instances come and go while a model serves: nobody is lost, nobody's instance is closed early."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conditions import within
from support.fake_backend import FakeBackend, FakeWorker, config
from support.fake_loop import FakeLoop

from engine.backend import Placement
from engine.clock import ManualClock, SystemClock
from engine.errors import EngineError, Internal, Unavailable
from engine.execution.admission import Admission
from engine.execution.crew import Crew, Recruits
from engine.execution.host import Host
from engine.execution.model import ServedModel, load
from engine.execution.plan import Planned
from engine.execution.pump import Pump
from engine.modelconfig.schema import DynamicBatching, InstanceGroup, InstanceKind, ModelConfig
from engine.ratelimit import needs
from engine.schedulers import make
from engine.telemetry.stats import Ledger
from engine.types import Array, DType, InferRequest, InferResponse, Tensor

CPU = InstanceKind.KIND_CPU
HOST = Host(cores=8)


def grouped(*counts: int, passive: bool = False, batching: bool = False) -> ModelConfig:
    groups = tuple(InstanceGroup(kind=CPU, count=count, passive=passive) for count in counts)
    return config(groups=groups, batching=DynamicBatching() if batching else None)


def plus_one(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"Y": inputs["X"] + np.float32(1)}


class Threads(FakeBackend):
    """A backend that cares for threads."""

    threaded = True

    def __init__(self) -> None:
        super().__init__(plus_one)


def scene(model: ModelConfig, backend: FakeBackend, play: Any, host: Host = HOST) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        where = ("model", 3, Path("3"))
        served = await asyncio.to_thread(
            lambda: load(*where, model, backend, clock=SystemClock(), loop=loop, host=host)
        )
        await play(served)
        drained = asyncio.Event()
        served.stop(drained.set)
        await drained.wait()
        # One that was dismissed before is closed in its own time.
        assert await asyncio.to_thread(within, lambda: all(one.closed for one in backend.loaded))
        assert all(one.closed == 1 for one in backend.loaded)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


async def change(served: ServedModel, model: ModelConfig) -> None:
    recruits = await asyncio.to_thread(served.recruit, model, HOST)
    assert recruits is not None
    served.change(recruits)


async def ask(served: ServedModel, times: int) -> list[InferResponse | EngineError]:
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[InferResponse | EngineError]] = []
    for _ in range(times):
        answers.append(loop.create_future())
        tensor = Tensor("X", DType.FP32, np.zeros((1, 2), np.float32))
        served.submit(InferRequest(inputs=(tensor,)), answers[-1].set_result)
    return await asyncio.gather(*answers)


@pytest.mark.triton("2b.9")
@pytest.mark.parametrize("batching", [True, False])
def test_more_and_fewer_instances_leave_the_others_loaded_and_what_was_counted(
    *, batching: bool
) -> None:
    backend = FakeBackend(plus_one)

    async def play(served: ServedModel) -> None:
        for counts, loaded in (((1,), 1), ((3,), 3), ((1, 1), 3), ((4,), 5), ((1,), 5)):
            await change(served, grouped(*counts, batching=batching))
            asked = len([one for one in await ask(served, 40) if isinstance(one, InferResponse)])
            assert asked == 40
            assert len(backend.loaded) == loaded
            assert served.config.instance_group == grouped(*counts).instance_group
            assert served.statistics().instances == sum(counts)
            assert served.runtime["instances"] == str(sum(counts))
        assert served.statistics().success.count == 200

    scene(grouped(1, batching=batching), backend, play)


@pytest.mark.triton("2b.9")
def test_an_instance_with_another_share_of_threads_is_another_one_where_threads_matter() -> None:
    backend = Threads()

    async def play(served: ServedModel) -> None:
        await change(served, grouped(2))
        assert [one.placement.threads for one in backend.loaded] == [8, 4, 4]
        await ask(served, 8)
        assert not backend.loaded[0].batches
        assert sum(len(one.batches) for one in backend.loaded[1:]) == 8

    scene(grouped(1), backend, play)


def test_a_recruit_that_does_not_load_changes_nothing() -> None:
    backend = FakeBackend(plus_one, fail_at=3)

    async def play(served: ServedModel) -> None:
        with pytest.raises(Internal, match="no memory"):
            await change(served, grouped(5))
        assert len(await ask(served, 3)) == 3
        assert served.config.instance_group == grouped(2).instance_group
        backend.fail_at = None
        recruits = await asyncio.to_thread(served.recruit, grouped(3), HOST)
        assert recruits is not None
        recruits.dismiss()
        assert len(await ask(served, 3)) == 3

    scene(grouped(2), backend, play)


def test_what_changes_more_than_its_instances_is_loaded_anew() -> None:
    async def play(served: ServedModel) -> None:
        assert served.recruit(replace(grouped(2), max_batch_size=2), HOST) is None

    scene(grouped(1), FakeBackend(plus_one), play)


def test_a_passive_instance_comes_and_goes_without_requests() -> None:
    backend = FakeBackend(plus_one)
    both = replace(
        grouped(1),
        instance_group=(
            InstanceGroup(kind=CPU, count=1),
            InstanceGroup(kind=CPU, count=1, passive=True),
        ),
    )

    async def play(served: ServedModel) -> None:
        await change(served, both)
        await ask(served, 5)
        await change(served, grouped(1))
        await ask(served, 5)
        assert [len(one.batches) for one in backend.loaded] == [10, 0]

    scene(grouped(1), backend, play)


def planned(number: int) -> Planned:
    return Planned(str(number), Placement(), needs(None, None), "cpu")


@given(st.data())
@settings(max_examples=60)
def test_whoever_comes_and_goes_everybody_is_answered_once_and_every_instance_closed_once(
    pick: st.DataObject,
) -> None:
    clock = ManualClock(now_ns=1000)
    loop = FakeLoop(clock)
    # Batches that are so long that the pump lets the loop have its turn between them, or not.
    how: dict[str, Any] = {
        "inline": pick.draw(st.booleans()),
        "service_ns": pick.draw(st.sampled_from((900, 600_000))),
    }
    workers = [FakeWorker(loop, **how) for _ in range(2)]
    model = pick.draw(st.sampled_from((grouped(1), grouped(1, batching=True))))
    scheduler = make(model, 2)
    admit = Admission(model).ticket
    ledger = Ledger("model", 1)
    pump = Pump(scheduler, workers, ledger, admit=admit, clock=clock, loop=loop)

    def enlist(coming: Any, changed: ModelConfig) -> list[FakeWorker]:
        assert changed is model
        more = [FakeWorker(loop, **how) for _ in coming]
        workers.extend(more)
        return more

    backend = FakeBackend(plus_one)
    crew = Crew([planned(0), planned(1)], pump, scheduler, backend, enlist)
    answers: dict[str, list[InferResponse | EngineError]] = {}

    def come(name: str) -> None:
        tensor = Tensor("X", DType.FP32, np.zeros((1, 2), np.float32))
        done = answers.setdefault(name, []).append
        pump.submit(InferRequest(inputs=(tensor,), id=name), done)

    def regroup(count: int) -> None:
        recruits: Recruits = crew.recruit(model, tuple(map(planned, range(count))))
        ledger.place(crew.change(recruits))

    def crowd(name: str, count: int) -> None:
        """Change the instances while the pump is in the middle of what a turn brought."""
        for place in range(8):
            come(f"{name}.{place}")
        loop.call_soon(lambda: loop.call_soon(regroup, count))

    times = st.integers(0, 20)
    for place, when in enumerate(pick.draw(st.lists(times, max_size=30))):
        loop.at(1000 + when * 300, lambda n=place: come(str(n)))  # type: ignore[misc]
    changes = pick.draw(st.lists(st.tuples(times, st.integers(1, 4), st.booleans()), max_size=6))
    for place, (when, count, crowded) in enumerate(changes):
        if crowded:
            loop.at(1100 + when * 300, lambda p=place, n=count: crowd(f"c{p}", n))  # type: ignore[misc]
        else:
            loop.at(1100 + when * 300, lambda n=count: regroup(n))  # type: ignore[misc]
    drained: list[int] = []
    loop.at(
        pick.draw(st.sampled_from((8000, 1 << 30))), lambda: pump.stop(lambda: drained.append(1))
    )
    loop.run()
    assert all(len(one) == 1 for one in answers.values())
    # After a stop newcomers are refused; nobody else is.
    refused = [one for (one,) in answers.values() if not isinstance(one, InferResponse)]
    assert all(isinstance(one, Unavailable) for one in refused)
    assert drained == [1]
    assert [worker.closed for worker in workers] == [1] * len(workers)
    assert not loop.faults
