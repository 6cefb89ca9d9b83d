"""Memory is given back on another thread, once for all that went together."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from support.conditions import within

from engine.repository.memory import Reclaim, trimmer


def test_what_goes_together_is_cleared_up_once_and_off_the_loop() -> None:
    threads: list[int] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as workers:
            reclaim = Reclaim(loop, workers, lambda: threads.append(threading.get_ident()), 0.001)
            for count in (1, 2):
                for _ in range(10):
                    reclaim.soon()
                reached = lambda count=count: len(threads) >= count  # noqa: E731 - a condition
                assert await loop.run_in_executor(None, within, reached)
        reclaim.soon()
        late = loop.create_future()
        loop.call_later(0.01, late.set_result, None)
        await late  # the workers have stopped: nothing happens, and nothing is raised

    asyncio.run(play())
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_the_c_librarys_way_is_found_where_there_is_one() -> None:
    trim = trimmer()
    assert trim is None or trim() in {0, 1}
