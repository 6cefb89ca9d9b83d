"""The server's end of an HTTP/2 connection, frame by frame, without a socket."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.load.http2 import frames
from analyzer.load.http2.connection import Connection, Stream
from analyzer.load.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS
from analyzer.load.http2.grpc import PREFIX, call_headers
from analyzer.load.http2.hpack import Spelled

HEADERS_OF_CALLS = call_headers("/package.Service/Method", "somewhere:8001")
BEGINNING = Spelled.of([(":status", "200"), ("content-type", "application/grpc")]).plain
GOOD_END = Spelled.of([("grpc-status", "0")]).plain


@dataclass(frozen=True)
class Frame:
    """A frame that the client sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Peer:
    """A server that answers a client's connection as it is told to."""

    def __init__(self, window: int = frames.GREATEST_WINDOW, **settings: int) -> None:
        self.client = Connection(HEADERS_OF_CALLS, window)
        self.now = 0
        first = self.sent()
        assert [frame.kind for frame in first] == [frames.SETTINGS, frames.WINDOW_UPDATE]
        self.announced = frames.read_settings(first[0].payload)
        self.say(
            frames.settings({getattr(frames, name): value for name, value in settings.items()})
        )
        assert Frame(frames.SETTINGS, frames.ACK, 0, b"") in self.sent()

    def say(self, data: bytes) -> list[Stream]:
        """Have the client receive it."""
        self.now += 1
        return self.client.receive(data, self.now)

    def sent(self) -> list[Frame]:
        """Return what the client has sent since the last look."""
        data = bytes(self.client.out)
        self.client.out.clear()
        data = data.removeprefix(frames.PREFACE)
        found = []
        while data:
            high, low, kind, flags, stream = frames.HEAD.unpack_from(data)
            end = frames.HEAD_BYTES + (high << 8 | low)
            found.append(Frame(kind, flags, stream, data[frames.HEAD_BYTES : end]))
            data = data[end:]
        return found

    def bodies(self) -> dict[int, bytes]:
        """Return the data that the client has sent since the last look, by stream."""
        found: dict[int, bytes] = {}
        for frame in self.sent():
            if frame.kind == DATA:
                found[frame.stream] = found.get(frame.stream, b"") + frame.payload
        return found


def begin(stream: int) -> bytes:
    """Begin an answer."""
    return frames.frame(HEADERS, END_HEADERS, stream, BEGINNING)


def data(stream: int, *messages: bytes) -> bytes:
    """Send messages."""
    payload = b"".join(PREFIX.pack(0, len(one)) + one for one in messages)
    return frames.frame(DATA, 0, stream, payload)


def end(stream: int, block: bytes = GOOD_END) -> bytes:
    """End an answer."""
    return frames.frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def answer(stream: int, *messages: bytes) -> bytes:
    """Answer a call."""
    return begin(stream) + data(stream, *messages) + end(stream)
