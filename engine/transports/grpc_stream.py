"""One ModelStreamInfer: requests are read while answers are written, on ``grpc.aio``.

Owns reading, writing, back-pressure and the end of a stream. Does not own what messages say nor
their order (``v2.grpc_stream``). Rules:

1. a request begins as soon as it is read; when the client has sent its last one, the stream ends,
   with OK, behind the last answer;
2. a client that goes away takes all its requests back;
3. while ``MOST_UNSENT`` messages wait for a client that does not read, nothing is read from it. A
   decoupled model that it has asked already is not stopped by that: what it answers waits here;
4. with the header ``triton_grpc_error: true`` the first error ends the stream with its status, and
   takes the other requests back;
5. when the server stops, a stream goes on until all is answered that is under way (what comes
   meanwhile is the service's to refuse), and ends with UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, Internal, Unavailable
from engine.v2.call import Infer
from engine.v2.grpc import parse_request
from engine.v2.grpc_stream import Answers, Leaving, Order, check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.service import Running, Service
    from engine.types import InferResponse

Message = Any
Context = Any

logger = logging.getLogger(__name__)

MOST_UNSENT = 64
STOPPING = "GRPC server is shutting down and has stopped accepting new requests."
_ERROR_HEADER = ("triton_grpc_error", "true")


class Stream:
    """One stream, from its first message to its end."""

    def __init__(self, service: Service, context: Context) -> None:
        self._service = service
        self._context = context
        self._order = Order(self._leave)
        self._unsent: deque[Message] = deque()
        self._running: dict[int, Running | None] = {}
        self._count = 0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._read_all = False
        self._refusal: EngineError | None = None
        self._broken = False
        self._stopping = False
        self._reader: asyncio.Task[None] | None = None
        metadata = context.invocation_metadata() or ()
        self._errors_end = _ERROR_HEADER in {(one[0], one[1]) for one in metadata}

    async def run(self, messages: AsyncIterator[Message]) -> EngineError | None:
        """Serve the stream to its end; returns the error that it ends with."""
        self._reader = asyncio.ensure_future(self._read(messages))
        self._reader.add_done_callback(_look_at)
        try:
            while (message := await self._next()) is not None:
                await self._context.write(message)
            return self._refusal
        finally:
            self._reader.cancel()
            for running in tuple(self._running.values()):
                if running is not None:
                    running.cancel()

    def stop(self) -> None:
        """End when nothing is under way any more (rule 5)."""
        self._stopping = True
        self._more.set()

    async def _read(self, messages: AsyncIterator[Message]) -> None:
        try:
            async for message in messages:
                self._begin(message)
                await self._room.wait()
        finally:
            self._read_all = True
            self._more.set()

    def _begin(self, message: Message) -> None:
        answers = Answers(self._order, message)
        self._count += 1
        number = self._count
        self._running[number] = None

        def done(answer: InferResponse | EngineError) -> None:
            del self._running[number]
            answers.done(answer)
            self._more.set()

        try:
            check(message)
            call = parse_request(message)
            assert isinstance(call, Infer)
            running = self._service.infer(call, done, answers.emit)
        except EngineError as error:
            done(error)
        except Exception as error:  # one request's fault must not end the others
            logger.exception("message=%s: a fault", type(message).__name__)
            done(Internal(f"internal error: {type(error).__name__}: {error}"))
        else:
            if running.model.config.decoupled:
                answers.interleave()
            self._running[number] = running

    def _leave(self, leaving: Leaving) -> None:
        if self._errors_end and leaving.error is not None and not self._broken:
            self._broken = True
            self._refusal = leaving.error
        if not self._broken:
            self._unsent.append(leaving.message)
        self._more.set()
        if len(self._unsent) >= MOST_UNSENT:
            self._room.clear()

    async def _next(self) -> Message | None:
        """Wait for the next message; None is the end."""
        while not self._unsent:
            if self._broken or (self._read_all and not self._running):
                return None
            if self._stopping and not self._running:
                self._refusal = Unavailable(STOPPING)
                return None
            self._more.clear()
            await self._more.wait()
        message = self._unsent.popleft()
        if len(self._unsent) < MOST_UNSENT:
            self._room.set()
        return message


def _look_at(reader: asyncio.Task[None]) -> None:
    """See how the reading ended: a client that went away is no fault to report."""
    if not reader.cancelled() and (fault := reader.exception()) is not None:
        logger.debug("a stream could not be read to its end: %s", fault)
