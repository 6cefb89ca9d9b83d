"""Whether an instance is ready is asked of it, beside its work, and never waited for too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from engine.execution.probing import Probe, all_ready


@dataclass
class Instance:
    """Says what a test says, and counts how often it was asked."""

    answer: Callable[[], bool]
    asked: int = 0

    def is_ready(self) -> bool:
        self.asked += 1
        return self.answer()


def fail() -> bool:
    raise ValueError("it does not know")


def test_all_instances_must_be_ready_and_one_that_raises_is_not() -> None:
    async def ask(*answers: Callable[[], bool]) -> bool:
        return await all_ready([Probe("m", Instance(answer)) for answer in answers])

    assert asyncio.run(ask())
    assert asyncio.run(ask(lambda: True, lambda: True))
    assert not asyncio.run(ask(lambda: True, lambda: False))
    assert not asyncio.run(ask(lambda: True, fail))


def test_an_instance_that_hangs_is_not_ready_is_asked_once_and_recovers() -> None:
    let_go = threading.Event()
    instance = Instance(let_go.wait)

    async def main() -> None:
        probe = Probe("m", instance, patience_s=0.05)
        assert await asyncio.gather(probe.ask(), probe.ask()) == [False, False]
        assert not await probe.ask()
        assert instance.asked == 1
        let_go.set()
        patient = Probe("m", instance)
        assert await patient.ask()
        assert await patient.ask()
        assert instance.asked == 3

    asyncio.run(main())
