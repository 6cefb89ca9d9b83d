"""One HTTP/2 connection of a gRPC client: bytes in, answers and bytes out. Pure.

Owns streams, flow control both ways, and what the server may say of the connection as a whole. Does
not own the socket, nor what the messages mean.

Rules:

1. Nothing is asked before the server's settings are there: they say how many streams it takes.
2. What the server may send is not bounded: windows are as wide as they can be, and are opened anew
   when they are half used.
3. What does not fit the server's windows waits, stream by stream in the order of their requests.
4. Blocks of headers that were read once are known by heart (``hpack``, rule 1).
5. Of an answer to a call nothing is kept but its end, if nothing else is asked for.
"""

from __future__ import annotations

import struct
from collections import deque

from analyzer.load.http2 import frames
from analyzer.load.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    NUMBER,
)
from analyzer.load.http2.grpc import Messages, outcome, refusal, reset_text
from analyzer.load.http2.hpack import Spelled, decode, resized

#: we take frames of this size: large answers in few of them, and no long wait for a whole one
FRAME_BYTES = 1 << 18
#: blocks of headers known by heart; a server that puts a time into each has no more than this
KNOWN = 256
#: so long a block of headers is nobody's
LONGEST_BLOCK = 1 << 20
#: a client has only so many streams in a connection's life
LAST_STREAM = (1 << 31) - 1
CLOSING = "gRPC UNAVAILABLE: the server is closing the connection"
CUT = "gRPC INTERNAL: the answer ended without a status"


class NotHttp2(Exception):
    """What the server sent is not HTTP/2, or not as it has to be: the connection is of no use."""


class Stream:
    """A request and its answer. ``tag`` is the caller's.

    ``first`` is when the first of the answer came, ns, 0 before; ``sent`` says that all of the
    request is in the connection's ``out``. When it has ``ended``, ``error`` is None of a success.
    ``messages`` are what came since its owner last looked, of one whose messages are kept.
    """

    __slots__ = (
        "eaten", "ended", "error", "first", "last_word", "messages", "number", "parser", "pending",
        "refusal", "sent", "tag", "window",
    )  # fmt: skip

    def __init__(self, number: int, tag: int, window: int, parser: Messages | None) -> None:
        self.number = number
        self.tag = tag
        self.window = window
        self.parser = parser
        self.messages: list[bytes] = []
        self.pending: deque[memoryview] = deque()
        self.last_word = False
        self.sent = True
        self.first = 0
        self.eaten = 0
        self.ended = False
        self.refusal = ""
        self.error: str | None = None


class Connection:
    """A connection whose calls all have the same headers.

    ``out`` is what is to be written; whoever writes takes it away. ``ready`` says that requests may
    be made; ``closing`` that none may any more, though answers still come. ``window`` is how many
    bytes the server may send ahead, more than 65,535.
    """

    def __init__(self, headers: Spelled, window: int = frames.GREATEST_WINDOW) -> None:
        self.out = bytearray(
            frames.PREFACE
            + frames.settings(
                {
                    frames.HEADER_TABLE_SIZE: 0,
                    frames.ENABLE_PUSH: 0,
                    frames.INITIAL_WINDOW_SIZE: window,
                    frames.MAX_FRAME_SIZE: FRAME_BYTES,
                }
            )
            + frames.window_update(0, window - frames.DEFAULT_WINDOW)
        )
        self._half = window // 2
        self.ready = False
        self.closing = False
        self.streams: dict[int, Stream] = {}
        self._headers = headers
        self._block = b""
        self._next = 1
        self._most = LAST_STREAM
        self._window = frames.DEFAULT_WINDOW
        self._stream_window = frames.DEFAULT_WINDOW
        self._frame = frames.DEFAULT_FRAME
        self._table = frames.DEFAULT_TABLE
        self._taught = False
        self._resized = b""
        self._open = b""
        self._blocked: deque[Stream] = deque()
        self._eaten = 0
        self._now = 0
        self._told: list[Stream] = []
        self._rest = b""
        self._skip = 0
        self._known: dict[bytes, tuple[str, str | None]] = {}
        self._unfinished: tuple[int, int, bytes] | None = None

    @property
    def room(self) -> int:
        """How many more streams may be begun now."""
        if self.closing or not self.ready:
            return 0
        return self._most - len(self.streams)

    def call(self, tag: int, message: bytes, *, keep: bool = False) -> Stream:
        """Send a whole request: ``message`` is one, with its prefix; ``keep`` the answer's."""
        number = self._next
        parser = Messages() if keep else None
        stream = self.streams[number] = Stream(number, tag, self._stream_window, parser)
        stream.last_word = True
        self._next = number + 2
        if number >= LAST_STREAM - 2:
            self.closing = True
        size = len(message)
        if (
            size <= self._frame
            and size <= self._stream_window
            and size <= self._window
            and not self._blocked
            and self._taught
        ):
            self._window -= size
            # The same as below, in one go.
            self.out += b"".join(
                (
                    self._open, NUMBER.pack(number), self._block,
                    HEAD.pack(size >> 8, size & 0xFF, DATA, END_STREAM, number), message,
                )
            )  # fmt: skip
            return stream
        self._begin(stream)
        self.write(stream, message, last=True)
        return stream

    def stream(self, tag: int) -> Stream:
        """Begin a stream of messages, both ways."""
        number = self._next
        stream = self.streams[number] = Stream(number, tag, self._stream_window, Messages())
        self._next = number + 2
        if number >= LAST_STREAM - 2:
            self.closing = True
        self._begin(stream)
        return stream

    def write(self, stream: Stream, message: bytes, *, last: bool = False) -> None:
        """Send a message, with its prefix, on a stream; after the ``last`` nothing more is sent."""
        stream.pending.append(memoryview(message))
        stream.last_word = last
        if stream.sent:
            stream.sent = False
            self._blocked.append(stream)
        self._pump()

    def drop(self, stream: Stream) -> None:
        """Have nothing to do with a stream any more."""
        if self.streams.pop(stream.number, None) is not None:
            stream.pending.clear()
            self.out += frames.reset(stream.number, frames.CANCEL)

    def _begin(self, stream: Stream) -> None:
        """Send a stream's headers."""
        small = self._table < self._headers.size
        later = self._headers.plain if small else self._headers.later
        block = later
        if not self._taught:
            block = self._resized + (self._headers.plain if small else self._headers.first)
            self._taught, self._resized = True, b""
            self._block = later
            self._open = HEAD.pack(len(later) >> 8, len(later) & 0xFF, HEADERS, END_HEADERS, 0)[:5]
        self.out += frames.frame(HEADERS, END_HEADERS, stream.number, block)

    def _pump(self) -> None:
        """Send what the windows allow (rule 3)."""
        waiting = len(self._blocked)
        while waiting and self._window > 0:
            waiting -= 1
            stream = self._blocked.popleft()
            if stream.ended:
                continue
            self._push(stream)
            if stream.pending:
                self._blocked.append(stream)
            else:
                stream.sent = True

    def _push(self, stream: Stream) -> None:
        while stream.pending:
            view = stream.pending[0]
            size = min(len(view), self._frame, self._window, stream.window)
            if size <= 0:
                return
            self._window -= size
            stream.window -= size
            whole = size == len(view)
            if whole:
                stream.pending.popleft()
            else:
                stream.pending[0] = view[size:]
            end = END_STREAM if whole and stream.last_word and not stream.pending else 0
            self.out += HEAD.pack(size >> 8, size & 0xFF, DATA, end, stream.number)
            self.out += view[:size]

    def receive(self, data: bytes, now: int) -> list[Stream]:
        """Take in what came at ``now``; return the streams of which something is new.

        Of a call only the end is told. A stream that is in the list more than once may be looked
        at each time.

        Raises:
            NotHttp2: the connection is of no use any more.
        """
        data = self._joined(data)
        told = self._told = []
        self._now = now
        at, end = 0, len(data)
        unpack = HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, number = unpack(data, at)
            begin = at + HEAD_BYTES
            stop = begin + (high << 8 | low)
            if stop > end and not self._begins(kind, flags, number, stop - end):
                break
            if kind == DATA:
                self._eaten += stop - begin
                stream = self.streams.get(number)
                if stream is not None:
                    stream.first = stream.first or now
                    if flags or stream.parser is not None:
                        self._data(stream, flags, data[begin:stop])
            elif kind == HEADERS and flags & ~END_STREAM == END_HEADERS:
                self._read(number, flags, data[begin:stop])
            else:
                self._seldom(kind, flags, number, data[begin:stop])
            at = stop
        if at < end:
            self._rest = data[at:]
        if self._eaten > self._half:
            self.out += frames.window_update(0, self._eaten)
            self._eaten = 0
        return told

    def _joined(self, data: bytes) -> bytes:
        """Put what came behind what was left over."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            return data[skipped:]
        if self._rest:
            data, self._rest = self._rest + data, b""
        return data

    def _begins(self, kind: int, flags: int, number: int, missing: int) -> bool:
        """Whether a frame of which only the beginning is there can be taken in as it is.

        That is so for data at which nobody looks; the rest of it is skipped.
        """
        if missing > LONGEST_BLOCK and kind != DATA:
            raise NotHttp2(f"a frame of kind {kind}, and {missing} bytes of it are missing")
        stream = self.streams.get(number)
        if kind != DATA or flags & frames.PADDED or (stream is not None and stream.parser):
            return False
        self._skip = missing
        return True

    def _data(self, stream: Stream, flags: int, payload: bytes) -> None:
        """Take in data that is looked at."""
        try:
            content = frames.unpadded(flags & frames.PADDED, payload)
            if stream.parser is not None:
                stream.eaten += len(payload)
                stream.messages += stream.parser.feed(content)
                if stream.messages and not stream.last_word:
                    self._told.append(stream)
        except ValueError as error:
            raise NotHttp2(str(error)) from error
        if flags & END_STREAM:
            self._end(stream, stream.refusal or CUT)
        elif stream.eaten > self._half:
            self.out += frames.window_update(stream.number, stream.eaten)
            stream.eaten = 0

    def _read(self, number: int, flags: int, block: bytes) -> None:
        """Take in a block of headers: the beginning of an answer, or its end."""
        meaning = self._known.get(block)
        if meaning is None:
            try:
                fields = decode(block)
            except ValueError as error:
                raise NotHttp2(str(error)) from error
            if len(self._known) >= KNOWN:
                self._known.clear()
            meaning = self._known[block] = refusal(fields), outcome(fields)
        stream = self.streams.get(number)
        if stream is None:
            return
        stream.first = stream.first or self._now
        if flags & END_STREAM:
            self._end(stream, stream.refusal or meaning[1])
        else:
            stream.refusal = stream.refusal or meaning[0]

    def _end(self, stream: Stream, error: str | None) -> None:
        del self.streams[stream.number]
        stream.ended = True
        stream.error = error
        if not stream.sent:
            # The rest of the request is wanted no more.
            stream.pending.clear()
            self.out += frames.reset(stream.number, frames.CANCEL)
        self._told.append(stream)

    def _seldom(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Take in a frame of a kind that is not in every answer; kinds nobody knows are ignored."""
        try:
            if kind in {frames.SETTINGS, frames.PING} and not flags & frames.ACK:
                self._acknowledge(kind, payload)
            elif kind == frames.WINDOW_UPDATE:
                self._widen(number, payload)
            elif kind == frames.RST_STREAM and number in self.streams:
                (code,) = NUMBER.unpack(payload)
                stream = self.streams[number]
                stream.sent = True
                self._end(stream, reset_text(code))
            elif kind == frames.GOAWAY:
                self._go_away(payload)
            elif kind in {HEADERS, frames.CONTINUATION}:
                self._assemble(kind, flags, number, payload)
            elif kind == frames.PUSH_PROMISE:
                raise NotHttp2("a promise to push, which was forbidden")
        except struct.error as error:
            raise NotHttp2(f"a frame of kind {kind} that is too short") from error

    def _acknowledge(self, kind: int, payload: bytes) -> None:
        if kind == frames.PING:
            self.out += frames.frame(frames.PING, frames.ACK, 0, payload)
            return
        self._settings(frames.read_settings(payload))
        self.out += frames.frame(frames.SETTINGS, frames.ACK, 0)
        self.ready = True
        self._pump()

    def _settings(self, values: dict[int, int]) -> None:
        self._most = values.get(frames.MAX_CONCURRENT_STREAMS, self._most)
        self._frame = values.get(frames.MAX_FRAME_SIZE, self._frame)
        table = min(values.get(frames.HEADER_TABLE_SIZE, self._table), frames.DEFAULT_TABLE)
        if table != self._table:
            # Who resizes the table has to be told that we noticed; what it held may be gone.
            self._resized, self._taught = resized(table), False
        self._table = table
        window = values.get(frames.INITIAL_WINDOW_SIZE, self._stream_window)
        for stream in self.streams.values():
            stream.window += window - self._stream_window
        self._stream_window = window

    def _widen(self, number: int, payload: bytes) -> None:
        (more,) = NUMBER.unpack(payload)
        if not number:
            self._window += more
        else:
            stream = self.streams.get(number)
            if stream is not None:
                stream.window += more
        if self._blocked:
            self._pump()

    def _go_away(self, payload: bytes) -> None:
        self.closing = True
        last = NUMBER.unpack_from(payload)[0] & frames.GREATEST_WINDOW
        for stream in [each for number, each in self.streams.items() if number > last]:
            stream.sent = True
            self._end(stream, CLOSING)

    def _assemble(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Put a block of headers together that is padded, or in several frames."""
        if kind == HEADERS:
            try:
                block = frames.unpadded(flags, payload)
            except ValueError as error:
                raise NotHttp2(str(error)) from error
            first = flags
        elif self._unfinished is None or self._unfinished[0] != number:
            raise NotHttp2("the continuation of no headers")
        else:
            _, first, begun = self._unfinished
            block = begun + payload
            if len(block) > LONGEST_BLOCK:
                raise NotHttp2("headers without an end")
        if flags & END_HEADERS:
            self._unfinished = None
            self._read(number, first, block)
        else:
            self._unfinished = number, first, block
