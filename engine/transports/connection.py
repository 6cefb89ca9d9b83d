"""HTTP/1.1 on a socket: bytes to requests, answers to bytes, in order. It knows no protocol above.

Owns keep-alive, pipelining (answers leave in the order of their requests), chunked bodies,
``Expect: 100-continue``, HEAD, back-pressure, what is not HTTP, draining and closing. What a
request means is the application's; it may answer at once or later. Neither a task nor a future
is made for a request, and what a turn of the loop produced for a connection is written at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from engine.errors import InvalidArgument
from engine.transports.exchange import Application, Chunk, Exchange, wire
from engine.v2.binary import WORTH_A_VIEW
from engine.v2.http import HEADER_LENGTH, HttpReply, render_error

#: A head (request line and headers) beyond this is not read to its end, bytes.
LARGEST_HEAD = 64 << 10
#: Triton's bound on the chunks of a chunked body.
MOST_CHUNKS = 65536
#: With so many requests unanswered on one connection nothing more is read from it.
MOST_WAITING = 128
#: How long a client that was refused in mid-body may go on sending, so that it can read why.
LINGER_S = 2.0
#: A stop waits for the rest of a request as long as some of it comes in such a time.
STALLED_S = 1.0
#: Bodies up to this size are judged when they are complete, bytes.
WORTH_JUDGING = 1 << 20

_KEPT = {
    name.encode(): name
    for name in (
        HEADER_LENGTH, "content-length", "content-encoding", "accept-encoding", "connection",
        "expect",
    )
}  # fmt: skip
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: What the vector code of a runtime may ask of a tensor's address.
_ALIGNMENT = 16
_PADDING = bytes(_ALIGNMENT)


class Peers(Protocol):
    """The connections of a listener."""

    def add(self, connection: Connection) -> None:
        """Count a connection that was made."""
        ...

    def discard(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        ...


class _Refused(Exception):
    """Ends the parsing of a request that is answered before it is complete."""

    def __init__(self, reply: HttpReply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class _Known:
    """A request's head that was parsed before, and what it said; ``size`` includes the body."""

    head: bytes
    size: int
    method: str
    target: str
    headers: dict[str, str]


class Connection(asyncio.Protocol):
    """One client's connection.

    Most clients send the same head with every request. When one is complete in what a read
    brought, it is remembered, and a read that begins with the same bytes is not parsed again.
    """

    def __init__(
        self, application: Application, loop: asyncio.AbstractEventLoop, peers: Peers
    ) -> None:
        self._application = application
        self._loop = loop
        self._peers = peers
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._out: list[Chunk] = []
        self._forget_request()
        self._known: _Known | None = None
        self._head_bytes = 0
        self._last: Exchange | None = None
        self._begun = 0
        self._complete = 0
        self._reads = 0
        self._feeding = False
        self._flush_due = False
        self._owes_continue = False
        self._draining = False
        self._deaf = False
        self._ends = False
        self._unread = False
        self._blocked = False
        self._paused = False

    def _forget_request(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._size = 0
        self._chunk_count = 0
        self._in_body = False

    # asyncio's side: what happens to the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports have the methods of asyncio.Transport and another ancestry.
        self._transport = cast("asyncio.Transport", transport)
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what this client asked for is not wanted any more."""
        del exc
        self._peers.discard(self)
        self._transport = self._parser = None
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for exchange in waiting:
            exchange.abandoned = True
            if exchange.running is not None and exchange.answer is None:
                exchange.running.cancel()

    def data_received(self, data: bytes) -> None:
        """Read what came; complete requests begin within this call."""
        known = self._known
        self._feeding = True
        if (
            known is not None
            and len(data) == known.size
            and self._begun == self._complete
            and data.startswith(known.head)
            and not self._deaf
        ):
            self._begin_known(known, data)
        else:
            self._parse(data)
        self._feeding = False
        if self._out:
            self._flush()
        if len(self._waiting) >= MOST_WAITING:
            self._pace()

    def _begin_known(self, known: _Known, data: bytes) -> None:
        exchange = Exchange(self, known.method, known.target)
        exchange.headers = known.headers
        exchange.body = data[len(known.head) :]
        self._waiting.append(exchange)
        self._application.begin(exchange)

    def _parse(self, data: bytes) -> None:
        """Parse what a read brought: a part of a request, one, or several."""
        begun, complete = self._begun, self._complete
        self._reads += 1
        self._last = None
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if self._deaf:
                pass  # what follows a request that ends the connection is nobody's
            elif isinstance(cause, _Refused):
                self._hang_up(cause.reply)
            else:
                what = cause or error
                self._hang_up(render_error(InvalidArgument(f"not an HTTP/1.1 request: {what}")))
        if begun == complete and self._begun == self._complete == complete + 1:
            self._learn(data)
            self._last = None
        elif self._complete == complete and not self._in_body:
            self._bound_head(len(data))

    def _feed(self, data: bytes) -> None:
        """Parse, going on over requests to upgrade to a protocol nobody here speaks."""
        rest = data
        while self._parser is not None and not self._deaf:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                if rest:
                    continue
            return

    def _learn(self, data: bytes) -> None:
        """Remember the head of the one request that ``data`` is, if it is one to come again."""
        exchange = self._last
        if exchange is None or not exchange.keep_alive or "expect" in exchange.headers:
            return
        head_size = data.find(b"\r\n\r\n") + 4
        body_size = len(data) - head_size
        if int(exchange.headers.get("content-length", "0")) == body_size == len(exchange.body):
            self._known = _Known(
                data[:head_size], len(data), exchange.method, exchange.target, exchange.headers
            )

    def _bound_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > LARGEST_HEAD and not self._deaf:
            text = f"the request's head is larger than {LARGEST_HEAD} bytes"
            self._hang_up(render_error(InvalidArgument(text)))

    def eof_received(self) -> None:
        """Take the client's end for its leaving: asyncio closes, and connection_lost cancels."""

    def pause_writing(self) -> None:
        """Learn that the client does not read; then it is not read from either."""
        self._blocked = True
        self._pace()

    def resume_writing(self) -> None:
        """Learn that the client reads again."""
        self._blocked = False
        self._pace()

    def _pace(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        crowded = len(self._waiting) >= (MOST_WAITING // 2 if self._paused else MOST_WAITING)
        wanted = self._blocked or crowded
        if wanted and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not wanted:
            self._transport.resume_reading()
        self._paused = wanted

    # httptools' side: the parts of a request

    def on_message_begin(self) -> None:
        """Count a request that begins."""
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, unless it is a trailer, or one that nobody reads."""
        kept = _KEPT.get(name.lower())
        if kept is not None and not self._in_body:
            self._headers[kept] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Judge the head before the body comes."""
        self._in_body = True
        self._head_bytes = 0
        length = self._headers.get("content-length")
        if length is not None:
            self._judge(int(length))
        if "expect" in self._headers:
            self._expect(self._headers["expect"])

    def _judge(self, size: int) -> None:
        if size <= WORTH_JUDGING:
            return
        exchange = Exchange(self, self._method(), self._url.decode("latin-1"))
        exchange.headers = self._headers
        refusal = self._application.judge(exchange, size)
        if refusal is not None:
            raise _Refused(refusal)

    def _expect(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            return
        if self._waiting:
            self._owes_continue = True
        else:
            self._out.append(_CONTINUE)

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunk_count += 1
        if self._chunk_count > MOST_CHUNKS + 1:  # the last one is empty
            text = (
                f"Chunked request body exceeds maximum of {MOST_CHUNKS} non-empty chunks. Send "
                "fewer or larger HTTP chunks."
            )
            raise _Refused(render_error(InvalidArgument(text)))
        if "content-length" not in self._headers:
            self._judge(self._size)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._chunks.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """Hand the request to the application."""
        assert self._parser is not None
        exchange = Exchange(self, self._method(), self._url.decode("latin-1"))
        exchange.headers = self._headers
        exchange.body = self._body()
        exchange.keep_alive = self._parser.should_keep_alive()
        self._last = exchange
        self._complete += 1
        self._owes_continue = False
        self._forget_request()
        self._waiting.append(exchange)
        if not exchange.keep_alive:
            self._deaf = True
        self._application.begin(exchange)

    def _method(self) -> str:
        assert self._parser is not None
        return self._parser.get_method().decode()

    def _body(self) -> Chunk:
        """Join the body so that what follows a JSON head stands at an aligned address."""
        chunks = self._chunks
        if len(chunks) == 1:
            return chunks[0]
        if not chunks:
            return b""
        head_size = self._headers.get(HEADER_LENGTH, "")
        padding = -int(head_size) % _ALIGNMENT if head_size.isdigit() else 0
        return memoryview(b"".join((_PADDING[:padding], *chunks)))[padding:]

    # the way out

    def _hang_up(self, reply: HttpReply) -> None:
        """Answer what could not be read to its end, and nothing after it."""
        self._deaf = self._unread = True
        exchange = Exchange(self, "", "")
        exchange.keep_alive = False
        self._waiting.append(exchange)
        exchange.reply(reply)

    def advance(self) -> None:
        """Send the answers that are there and have none missing before them."""
        waiting = self._waiting
        while waiting and (answer := waiting[0].answer) is not None:
            exchange = waiting.popleft()
            ends = not exchange.keep_alive or (self._draining and not waiting)
            self._out += wire(exchange, answer, ends=ends)
            if ends:
                self._ends = self._deaf = True
        if self._feeding or self._transport is None or not self._out:
            return
        if not waiting:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self._flush_due = False
        if self._out and self._transport is not None:
            self._flush()

    def _flush(self) -> None:
        assert self._transport is not None
        out, self._out = self._out, []
        if self._owes_continue and not self._waiting:
            self._owes_continue = False
            out.append(_CONTINUE)
        if any(len(chunk) >= WORTH_A_VIEW for chunk in out):
            self._transport.writelines(out)
        else:
            self._transport.write(b"".join(out))
        if self._ends:
            self._close()
        elif self._paused:
            self._pace()

    def _close(self) -> None:
        """Close once all is written; while the client still sends, not in its face."""
        if self._transport is None:
            return
        if self._unread and self._transport.can_write_eof():
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def drain(self) -> None:
        """Close when what is in flight has been answered, or else with the next answer.

        A request may stand in the socket's buffer already: closing now would throw it away.
        """
        self._draining = True

    def close_if_idle(self) -> None:
        """Close at once, unless something is in flight; a request that stalls is not for long."""
        if self._transport is None:
            return
        if not self._is_busy():
            self._transport.close()
        elif not self._waiting:
            self._loop.call_later(STALLED_S, self._close_if_stalled, self._reads)

    def _close_if_stalled(self, reads: int) -> None:
        if self._reads == reads and not self._waiting and self._transport is not None:
            self._transport.close()
        else:
            self.close_if_idle()

    def _is_busy(self) -> bool:
        return bool(self._waiting) or self._begun != self._complete

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
