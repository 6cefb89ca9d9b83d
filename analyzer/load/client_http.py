"""The HTTP client: one connection a slot, prebuilt bytes out, length and status in.

No task and no future for a request, and no look at a body but an error's, so that the load
client's own cost stays small beside the server's. A connection that the server closed is
opened anew for the slot's next request; that nothing listens any more is the end of the run.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

import httptools

from analyzer.errors import LoadError
from analyzer.load.client import Audience, Exchange
from analyzer.v2client import split
from engine.v2.http import error_text

OK = 200
#: so much of an answer is kept, for an error's text; more is only counted by the parser
KEPT_CHUNKS = 64
DROPPED = "the server closed the connection before it answered"
_now = time.monotonic_ns


class HttpClient:
    """Sends ``request``, a whole HTTP/1.1 message, to ``address`` (host:port)."""

    sees_bytes = True

    def __init__(self, address: str, request: bytes, slots: int, audience: Audience) -> None:
        self._host, self._port = split(address)
        self._request = request
        self._audience = audience
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[_Connection | None] = [None] * slots

    async def open(self) -> None:
        """Connect every slot.

        Raises:
            LoadError: nothing listens there.
        """
        try:
            for slot in range(len(self._open)):
                await self._connect(slot)
        except OSError as error:
            raise LoadError(self._refused(error)) from error

    def send(self, slot: int, planned_ns: int) -> None:
        """Send one request; connect first if the server hung up."""
        connection = self._open[slot]
        if connection is not None:
            connection.send(self._request, planned_ns)
            return
        task = asyncio.get_running_loop().create_task(self._reopen(slot, planned_ns))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Disconnect. Requests in flight are heard of no more."""
        for task in self._tasks:
            task.cancel()
        for connection in self._open:
            if connection is not None:
                connection.hang_up()

    def finished(self, exchange: Exchange) -> None:
        """Pass on what a connection measured."""
        self._audience.finished(exchange)

    def left(self, slot: int, connection: _Connection) -> None:
        """Take note that a connection is of no more use."""
        if self._open[slot] is connection:
            self._open[slot] = None

    async def _connect(self, slot: int) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(slot, self), self._host, self._port
        )
        self._open[slot] = connection
        return connection

    async def _reopen(self, slot: int, planned_ns: int) -> None:
        try:
            connection = await self._connect(slot)
        except OSError as error:
            self._audience.broken(self._refused(error))
        else:
            connection.send(self._request, planned_ns)

    def _refused(self, error: OSError) -> str:
        return f"cannot connect to {self._host}:{self._port}: {error}"


class _Connection(asyncio.Protocol):
    """One connection of a slot, and the request in flight on it. It is never opened again."""

    def __init__(self, slot: int, client: HttpClient) -> None:
        self._slot = slot
        self._client = client
        self._busy = False
        self._planned = self._began = self._sent = self._first = 0
        self._received: list[bytes] = []

    def send(self, request: bytes, planned_ns: int) -> None:
        """Put the request in flight."""
        self._planned = planned_ns
        self._first = 0
        self._busy = True
        self._began = _now()
        self._transport.write(request)
        self._sent = _now()

    def hang_up(self) -> None:
        """Close without waiting for anything; nothing is heard of this connection any more."""
        self._busy = False
        self._client.left(self._slot, self)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # With a low mark of 0 the loop says when the last byte of a large request is out.
        self._transport.set_write_buffer_limits(high=1 << 16, low=0)
        self._parser = httptools.HttpResponseParser(self)

    def resume_writing(self) -> None:
        self._sent = _now()

    def data_received(self, data: bytes) -> None:
        if not self._first:
            self._first = _now()
        if len(self._received) < KEPT_CHUNKS:
            self._received.append(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._busy:
                self.hang_up()
                self._finish(_now(), f"the answer is not HTTP: {error}")

    def on_message_complete(self) -> None:
        last = _now()
        status = self._parser.get_status_code()
        error = None
        if status != OK:
            error = f"HTTP {status}: {error_text(_body(self._received))}"
        self._received.clear()
        if not self._parser.should_keep_alive():
            self.hang_up()
        self._finish(last, error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.left(self._slot, self)
        if self._busy:
            self._finish(_now(), f"{DROPPED}: {exc}" if exc else DROPPED)

    def _finish(self, last: int, error: str | None) -> None:
        self._busy = False
        first = self._first or last
        sent = min(self._sent, first)
        exchange = Exchange(self._slot, self._planned, self._began, sent, first, last, error)
        self._client.finished(exchange)


def _body(received: list[bytes]) -> bytes:
    """Take the body out of a whole response, chunked or not."""
    reader = _BodyReader()
    httptools.HttpResponseParser(reader).feed_data(b"".join(received))
    return b"".join(reader.parts)


class _BodyReader:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)
