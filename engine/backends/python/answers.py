"""The answers to a request of a Python model's own, as they come.

Part of the module that models import as ``triton_python_backend_utils`` (see ``api``). Owns the
waiting for them: of a thread (``exec``) or of a task (``async_exec``). They come by any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

_Response = TypeVar("_Response")


class Responses(Generic[_Response]):
    """What a decoupled model answers, one by one; ``for`` and ``async for`` both do.

    The last one may be empty: it only says that there are no more.
    """

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._waiting: deque[_Response] = deque()
        self._final = False
        self._tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._cancel: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Take the request back: what was under way still comes, the last of it an error."""
        if self._cancel is not None:
            self._cancel()

    def begun(self, cancel: Callable[[], None]) -> None:
        """Learn what takes the request back (for the engine; not Triton's)."""
        self._cancel = cancel

    def came(self, response: _Response, final: bool) -> None:  # noqa: FBT001 - engine.calling.Told
        """Take a response (for the engine; not Triton's)."""
        with self._came:
            self._waiting.append(response)
            self._final = final
            self._came.notify_all()
            tasks, self._tasks = self._tasks, []
        for loop, task in tasks:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_wake, task)

    def __iter__(self) -> Responses[_Response]:
        return self

    def __next__(self) -> _Response:
        with self._came:
            self._came.wait_for(lambda: self._waiting or self._final)
            if not self._waiting:
                raise StopIteration
            return self._waiting.popleft()

    def __aiter__(self) -> Responses[_Response]:
        return self

    async def __anext__(self) -> _Response:
        loop = asyncio.get_running_loop()
        while True:
            with self._came:
                if self._waiting:
                    return self._waiting.popleft()
                if self._final:
                    raise StopAsyncIteration
                woken = loop.create_future()
                self._tasks.append((loop, woken))
            try:
                await woken
            except asyncio.CancelledError:
                self.cancel()
                raise


def _wake(task: asyncio.Future[None]) -> None:
    if not task.done():
        task.set_result(None)
