"""Models whose ``execute`` is ``async``: an event loop for each instance, in a thread of its own.

Owns the loop's life, and that a coroutine which fails answers its requests. Does not own what an
answer is (``executor``). A model that is not decoupled is waited for; one that is goes on while
the next batch begins, so its batches interleave.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class Coroutines:
    """A running event loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"{name} asyncio", daemon=True
        )
        self._thread.start()

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - the model's
        """Run a coroutine to its end; gives what it returns, raises what it raises."""
        result, fault = asyncio.run_coroutine_threadsafe(_guarded(work), self._loop).result()
        if fault is not None:
            raise fault
        return result

    def begin(
        self, work: Coroutine[Any, Any, Any], ended: Callable[[BaseException | None], None]
    ) -> None:
        """Have a coroutine run; ``ended`` is called on the loop's thread with what it raised."""

        async def run() -> None:
            _, fault = await _guarded(work)
            ended(fault)

        asyncio.run_coroutine_threadsafe(run(), self._loop)

    def close(self) -> None:
        """Take back what still runs, and end the loop."""

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.wait_for(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _guarded(work: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Run a coroutine; what it raises must not end the loop, as ``exit()`` would."""
    try:
        return await work, None
    except (Exception, SystemExit) as fault:  # noqa: BLE001 - a model may raise anything
        return None, fault
