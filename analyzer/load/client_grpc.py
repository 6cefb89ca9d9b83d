"""The gRPC client: calls and streams over a few HTTP/2 connections that it reads and writes itself.

grpc's own library costs 0.4 ms and more for a call, which is more than the server's; this costs a
tenth. What HTTP/2 means is ``http2.connection``'s; here are sockets, slots and the times.

Rules:

1. So many slots share a connection, one after another; where it takes no more streams, one that
   does is used, and where there is none, one more is opened.
2. A connection that is lost, or that the server closes, is opened anew for the next request. That
   nothing listens any more is the end of the run.
3. What is sent while answers are being read leaves together, once those of one connection are read:
   one system call instead of many.
4. With ``streaming`` each slot has a stream of its own, for as long as it lasts. A response whose
   ``triton_final_response`` is not false ends its request; one that is empty besides is only
   the end, and no response.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.errors import LoadError
from analyzer.load.client import COARSE_NS, Audience, Message
from analyzer.load.http2 import answers
from analyzer.load.http2.connection import Connection, NotHttp2, Stream
from analyzer.load.http2.grpc import call_headers
from analyzer.load.secure import SecureSocket
from analyzer.load.sockets import Place, begin_connecting

if TYPE_CHECKING:
    import ssl

    from analyzer.load.http2.hpack import Spelled

SERVICE = "/inference.GRPCInferenceService"
SLOTS_A_CONNECTION = 16
CONNECT_SECONDS = 20.0
READ_BYTES = 1 << 16
GONE = "gRPC UNAVAILABLE: the server closed the connection before it answered"
_now = time.monotonic_ns
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """How calls are made. ``context`` None is plain text; ``compression`` is that of messages.

    With ``prompt``, ``wait`` ends within microseconds of its time, which costs a system call.
    ``judge`` says what is wrong with the serialized answer to a message, None: nothing.
    """

    streaming: bool = False
    compression: str = "none"
    metadata: tuple[tuple[str, str], ...] = ()
    slots_a_connection: int = SLOTS_A_CONNECTION
    prompt: bool = False
    context: ssl.SSLContext | None = None
    judge: Callable[[Message, bytes], str | None] | None = None

    def headers(self, place: Place) -> Spelled:
        """Spell the headers of every call to a server."""
        return call_headers(
            f"{SERVICE}/{'ModelStreamInfer' if self.streaming else 'ModelInfer'}",
            place.name,
            secure=self.context is not None,
            compression=self.compression,
            metadata=self.metadata,
        )


class GrpcClient:
    """Sends messages: serialized ModelInferRequests with gRPC's prefix (``grpc.prefixed``)."""

    def __init__(
        self, place: Place, slots: int, audience: Audience, settings: GrpcSettings | None = None
    ) -> None:
        self._place = place
        self._audience = audience
        self._settings = settings or GrpcSettings()
        self._headers = self._settings.headers(place)
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._by_fd: dict[int, _Line] = {}
        self._lines: list[_Line] = []
        self._slots = [_Slot(index) for index in range(slots)]
        #: the line whose answers are being read (rule 3)
        self._reading: _Line | None = None
        self._unwritten: list[_Line] = []

    def open(self, ahead: int) -> None:
        """Connect, with as many connections as ``ahead`` slots take; more slots share them.

        Raises:
            LoadError: nothing listens there.
        """
        deadline = _now() + int(CONNECT_SECONDS * 1e9)
        while len(self._lines) * self._settings.slots_a_connection < max(1, ahead):
            self._connect()
        while not all(line.machine.ready for line in self._lines):
            if _now() > deadline:
                raise LoadError(
                    f"no gRPC connection to {self._place.name} within {CONNECT_SECONDS:.0f} s"
                )
            for fd, mask in self._epoll.poll(0.1):
                line = self._by_fd.get(fd)
                if line is not None:
                    self._serve(line, mask)
                    if line.failure:
                        raise LoadError(line.failure)

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        """Send one request; connect first if there is no connection."""
        place = self._slots[slot]
        place.planned = planned_ns
        place.busy = True
        # That a server is slow to accept is not the client's being late.
        place.began = _now()
        if self._settings.judge is not None:
            place.message = message
        stream = place.stream
        if stream is not None:
            line = place.line
            assert line is not None
            line.machine.write(stream, message)
        else:
            line = self._line_for(place)
            if line is None:
                return
            if not line.machine.ready:
                line.waiting.append((place, message))
                return
            stream = self._begin(line, place, message)
        place.sent = 0
        line.unsent.append((place, stream))
        if self._reading is None:
            self._flush(line)
        elif line is not self._reading:
            self._unwritten.append(line)

    def wait(self, until_ns: int) -> None:
        """Tell of what has come, or wait for it until then."""
        remaining = until_ns - _now()
        if remaining <= 0:
            events = self._epoll.poll(0)
        elif self._settings.prompt or remaining < COARSE_NS:
            # epoll's own timeout has milliseconds.
            select.select((self._epoll,), (), (), remaining / 1e9)
            events = self._epoll.poll(0)
        else:
            events = self._epoll.poll(remaining / 1e9)
        for fd, mask in events:
            line = self._by_fd.get(fd)
            if line is not None:
                self._serve(line, mask)
            elif fd in self._watched:
                self._watched[fd]()

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever there is something to read."""
        self._watched[descriptor] = ready
        self._epoll.register(descriptor, _IN)

    def close(self) -> None:
        """Disconnect. Requests in flight are heard of no more."""
        for line in self._by_fd.values():
            line.sock.close()
        self._by_fd.clear()
        self._lines.clear()
        self._epoll.close()

    def _begin(self, line: _Line, place: _Slot, message: Message) -> Stream:
        place.line = line
        if not self._settings.streaming:
            judged = self._settings.judge is not None
            return line.machine.call(place.index, message, keep=judged)
        place.stream = line.machine.stream(place.index)
        line.machine.write(place.stream, message)
        return place.stream

    def _line_for(self, place: _Slot) -> _Line | None:
        """Return a connection with room (rule 1); None, and the end is told, if there is none."""
        lines = self._lines
        if lines:
            line = lines[place.index // self._settings.slots_a_connection % len(lines)]
            if line.machine.room > 0:
                return line
            for line in lines:
                if line.room > 0:
                    return line
        try:
            return self._connect()
        except LoadError as error:
            self._audience.broken(error.message)
            return None

    def _connect(self) -> _Line:
        """Begin to connect.

        Raises:
            LoadError: it cannot be, and that is known at once.
        """
        try:
            sock = begin_connecting(self._place)
        except OSError as error:
            raise self._refused(error) from error
        line = _Line(sock, Connection(self._headers))
        self._lines.append(line)
        self._by_fd[line.fd] = line
        self._epoll.register(line.fd, _IN | _OUT)
        return line

    def _serve(self, line: _Line, mask: int) -> None:
        """Do what a connection is ready for."""
        if not line.connected:
            self._connecting(line)
            return
        if mask & _OUT:
            self._flush(line)
        if mask & ~_OUT and line.fd in self._by_fd:
            self._read(line)

    def _connecting(self, line: _Line) -> None:
        """Go on with connecting: first TCP, then TLS where it is wanted."""
        code = 0
        if line.secure is None:
            code = line.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            error = OSError(code, errno.errorcode.get(code, ""))
            self._lose(line, self._refused(error).message, broken=True)
            return
        try:
            if self._settings.context is not None:
                writes = line.shake_hands(self._settings.context, self._place.host)
                if writes is not None:
                    self._epoll.modify(line.fd, _OUT if writes else _IN)
                    return
        except OSError as error:
            self._lose(line, self._refused(error).message, broken=True)
            return
        line.connected = True
        self._epoll.modify(line.fd, _IN)
        self._flush(line)

    def _read(self, line: _Line) -> None:
        try:
            data = line.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(line, f"{GONE}: {error}")
            return
        if not data:
            self._lose(line, GONE)
            return
        self._reading = line
        try:
            self._take_in(line, data)
        except NotHttp2 as error:
            self._reading = None
            self._lose(line, f"gRPC INTERNAL: the server does not speak HTTP/2: {error}")
            return
        self._reading = None
        if line.machine.closing:
            self._retire(line)
        if line.machine.out:
            self._flush(line)
        while self._unwritten:
            self._flush(self._unwritten.pop())

    def _take_in(self, line: _Line, data: bytes) -> None:
        """Tell of what came on a connection."""
        now = _now()
        for stream in line.machine.receive(data, now):
            # No two answers end at the same moment: a warm-up ends with one of them.
            now += 1
            place = self._slots[stream.tag]
            first, error = stream.first, stream.error
            if stream.parser is not None:
                if self._settings.streaming:
                    self._heard(stream, now)
                    continue
                error = error or self._judged(place, stream)
            self._audience.finished(
                place.index, place.planned, place.began, min(place.sent or first, first),
                first, now, error,
            )  # fmt: skip
        if line.waiting and line.machine.ready:
            self._released(line)

    def _judged(self, place: _Slot, stream: Stream) -> str | None:
        """Say what is wrong with an answer that was read in whole."""
        assert self._settings.judge is not None
        if len(stream.messages) != 1:
            return f"gRPC INTERNAL: {len(stream.messages)} messages in answer to a call"
        return self._settings.judge(place.message, stream.messages[0])

    def _released(self, line: _Line) -> None:
        """Send what waited for the connection."""
        waiting, line.waiting = line.waiting, []
        for place, message in waiting:
            if line.machine.room <= 0:
                self.send(place.index, message, place.planned)
            else:
                line.unsent.append((place, self._begin(line, place, message)))
                place.sent = 0

    def _heard(self, stream: Stream, now: int) -> None:
        """Take in the responses of a stream (rule 4)."""
        place = self._slots[stream.tag]
        messages, stream.messages = stream.messages, []
        for message in messages:
            error, final, empty = answers.read(message)
            if not place.busy:
                continue
            if error:
                place.error = place.error or f"gRPC stream: {error}"
            elif not empty:
                place.times.append(now)
                if self._settings.judge is not None and place.error is None:
                    place.error = self._settings.judge(place.message, answers.inner(message))
                self._audience.responded(place.index)
            if final:
                self._over(place, now)
        if stream.ended and place.stream is stream:
            place.stream = None
            if place.busy:
                place.error = place.error or stream.error or "gRPC UNKNOWN: the stream ended"
                self._over(place, now)

    def _over(self, place: _Slot, now: int) -> None:
        """Tell of a stream's request that has had its last response."""
        times, place.times = place.times, []
        error, place.error = place.error, None
        place.busy = False
        first = times[0] if times else now
        last = times[-1] if times and error is None else now
        self._audience.finished(
            place.index, place.planned, place.began, min(place.sent or first, first), first, last,
            error, len(times), times,
        )  # fmt: skip

    def _flush(self, line: _Line) -> None:
        """Write what there is to write, as far as the kernel takes it."""
        out = line.machine.out
        if not line.connected:
            return
        try:
            while out:
                del out[: line.send(out)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(line, f"{GONE}: {error}")
            return
        clogged = bool(out)
        if clogged is not line.clogged:
            line.clogged = clogged
            self._epoll.modify(line.fd, _IN | _OUT if clogged else _IN)
        if line.unsent and not clogged:
            now = _now()
            for place, stream in line.unsent:
                if stream.sent:
                    place.sent = now
            line.unsent = [each for each in line.unsent if not each[1].sent]

    def _retire(self, line: _Line) -> None:
        """Use a connection for no more requests; it goes when the last is answered."""
        if line in self._lines:
            self._lines.remove(line)
        if not line.machine.streams:
            self._lose(line, GONE)

    def _lose(self, line: _Line, why: str, *, broken: bool = False) -> None:
        """Let go of a connection, and fail what is in flight on it."""
        if self._by_fd.pop(line.fd, None) is None:
            return
        line.failure = why
        with contextlib.suppress(OSError):
            self._epoll.unregister(line.fd)
        line.sock.close()
        if line in self._lines:
            self._lines.remove(line)
        if broken and (line.waiting or line.machine.streams):
            self._audience.broken(why)
            return
        now = _now()
        for stream in tuple(line.machine.streams.values()):
            stream.ended, stream.error = True, why
            line.machine.streams.pop(stream.number)
            place = self._slots[stream.tag]
            if self._settings.streaming:
                self._heard(stream, now)
            else:
                self._audience.finished(
                    place.index, place.planned, place.began, place.sent or now, now, now, why
                )
        for place, _ in line.waiting:
            place.busy = False
            self._audience.finished(place.index, place.planned, place.began, now, now, now, why)

    def _refused(self, error: OSError) -> LoadError:
        return LoadError(f"cannot connect to {self._place.name} by gRPC: {error}")


class _Slot:
    """A slot, and the request in flight on it."""

    __slots__ = (
        "began", "busy", "error", "index", "line", "message", "planned", "sent", "stream", "times",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.planned = self.began = self.sent = 0
        self.busy = False
        self.error: str | None = None
        #: what was sent, where the answer is judged by it
        self.message: Message = b""
        #: of its stream, where there is one: when its request's responses came
        self.times: list[int] = []
        self.stream: Stream | None = None
        self.line: _Line | None = None


class _Line:
    """One connection: its socket, and its machine. It is never opened again."""

    __slots__ = (
        "clogged", "connected", "failure", "fd", "machine", "recv", "secure", "send", "sock",
        "unsent", "waiting",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, machine: Connection) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.machine = machine
        self.send: Callable[[bytearray], int] = sock.send
        self.recv: Callable[[int], bytes] = sock.recv
        self.secure: SecureSocket | None = None
        self.connected = False
        #: the kernel takes no more for now
        self.clogged = False
        self.failure = ""
        #: requests whose last byte has not been handed over, and those that wait for a beginning
        self.unsent: list[tuple[_Slot, Stream]] = []
        self.waiting: list[tuple[_Slot, Message]] = []

    @property
    def room(self) -> int:
        """How many more requests it takes; one that is not ready yet takes some."""
        if self.machine.ready:
            return self.machine.room
        return SLOTS_A_CONNECTION - len(self.waiting)

    def shake_hands(self, context: ssl.SSLContext, host: str) -> bool | None:
        """Begin to speak TLS, or go on; see ``SecureSocket.shake_hands``."""
        if self.secure is None:
            self.secure = SecureSocket(self.sock, context, host)
            self.sock, self.send, self.recv = self.secure.socket, self.secure.send, self.secure.recv
        return self.secure.shake_hands()
