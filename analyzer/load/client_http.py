"""The HTTP client: one connection a slot, prebuilt bytes out, length and status in.

Owns its sockets and waits for them itself (epoll): no event loop, no task, no future and no object
for a request, so that the load client's own cost stays small beside the server's.

Rules:

1. An answer whose head is, byte for byte, one that was read before has its length and status.
   Only a head that is new is parsed.
2. A connection that the server closed is opened anew for the slot's next request, whose wait for
   it counts. That nothing listens any more is the end of the run.
3. Connections for slots not used yet are opened ahead, a few more than are in use.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from analyzer.errors import LoadError
from analyzer.load.answer import Answer, NotHttp
from analyzer.load.client import COARSE_NS, Audience, Message
from analyzer.load.secure import SecureSocket
from analyzer.load.sockets import Place, begin_connecting

if TYPE_CHECKING:
    import ssl

#: so many connections are kept beyond those that are in use
SPARE = 16
#: so many are opened at once: more than a server's backlog would be held up for a second
AT_ONCE = 64
CONNECT_SECONDS = 20.0
BUFFER_BYTES = 1 << 18
#: heads that are known by heart; a server that puts a time into each has no more of them than this
KNOWN = 64
DROPPED = "the server closed the connection before it answered"
MORE = "the server sent more than its Content-Length"
_now = time.monotonic_ns
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_NEVER = 1 << 62


class HttpClient:
    """Sends messages, each a whole HTTP/1.1 request.

    With ``prompt``, ``wait`` ends within microseconds of its time, which costs a system call.
    ``context`` None is plain text.
    """

    def __init__(
        self,
        place: Place,
        slots: int,
        audience: Audience,
        *,
        prompt: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._context = context
        self._place = place
        self._audience = audience
        self._prompt = prompt
        self._epoll = select.epoll()
        self._slots: list[_Connection | None] = [None] * slots
        self._opened = 0
        self._by_fd: dict[int, _Connection] = {}
        self._watched: dict[int, Callable[[], None]] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._heads: dict[int, bytes] = {}
        self._latest: tuple[bytes, int] = (b"", 0)

    @property
    def opened(self) -> int:
        """How many slots have been given a connection so far."""
        return self._opened

    def open(self, ahead: int) -> None:
        """Connect the first ``ahead`` slots.

        Raises:
            LoadError: nothing listens there.
        """
        deadline = _now() + int(CONNECT_SECONDS * 1e9)
        ahead = min(ahead, len(self._slots))
        while self._opened < ahead:
            batch = range(self._opened, min(ahead, self._opened + AT_ONCE))
            self._opened = batch.stop
            connections = [self._connect(slot) for slot in batch]
            while not all(connection.connected for connection in connections):
                if _now() > deadline:
                    raise LoadError(
                        f"no connection to {self._place.name} within {CONNECT_SECONDS:.0f} s"
                    )
                for fd, _ in self._epoll.poll(0.1):
                    if fd in self._by_fd:
                        self._connecting(self._by_fd[fd], raising=True)

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        """Send one request; connect first if there is no connection."""
        connection = self._slots[slot]
        if connection is None:
            connection = self._connect_or_break(slot)
            if connection is None:
                return
        if slot + SPARE >= self._opened and self._opened < len(self._slots):
            self._opened += 1
            if self._slots[self._opened - 1] is None:
                self._connect_or_break(self._opened - 1)
        connection.planned = planned_ns
        connection.first = 0
        connection.busy = True
        connection.began = _now()
        if not connection.connected:
            # That a server is slow to accept is not the client's being late.
            connection.waiting = message
            return
        self._push(connection, message)

    def wait(self, until_ns: int) -> None:
        """Tell of what has come, or wait for it until then."""
        remaining = until_ns - _now()
        if remaining <= 0:
            events = self._epoll.poll(0)
        elif self._prompt or remaining < COARSE_NS:
            # epoll's own timeout has milliseconds.
            select.select((self._epoll,), (), (), remaining / 1e9)
            events = self._epoll.poll(0)
        else:
            events = self._epoll.poll(remaining / 1e9)
        by_fd, buffer, heads = self._by_fd, self._buffer, self._heads
        for fd, mask in events:
            connection = by_fd.get(fd)
            if connection is None:
                self._other(fd)
                continue
            if mask != _IN or not connection.connected:
                self._odd(connection, mask)
                continue
            try:
                count = connection.receive(buffer)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lost(connection, error)
                continue
            head = heads.get(count)
            if head is not None and connection.fresh and buffer.startswith(head):
                now = _now()
                connection.busy = False
                self._audience.finished(
                    connection.slot, connection.planned, connection.began, connection.sent, now, now
                )
            else:
                self._received(connection, count)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever there is something to read."""
        self._watched[descriptor] = ready
        self._epoll.register(descriptor, _IN)

    def close(self) -> None:
        """Disconnect."""
        for connection in self._by_fd.values():
            connection.sock.close()
        self._by_fd.clear()
        self._slots = [None] * len(self._slots)
        self._epoll.close()

    def _other(self, fd: int) -> None:
        """Serve a descriptor that is no connection, or no more."""
        if fd in self._watched:
            self._watched[fd]()

    def _connect_or_break(self, slot: int) -> _Connection | None:
        try:
            return self._connect(slot)
        except LoadError as error:
            self._audience.broken(error.message)
            return None

    def _connect(self, slot: int) -> _Connection:
        """Begin to connect.

        Raises:
            LoadError: it cannot be, and that is known at once.
        """
        try:
            sock = begin_connecting(self._place)
        except OSError as error:
            raise self._refused(error) from error
        connection = _Connection(slot, sock)
        self._slots[slot] = connection
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, _IN | _OUT)
        return connection

    def _connecting(self, connection: _Connection, *, raising: bool = False) -> None:
        """Take note that a connection is there, or will not be."""
        code = 0
        if connection.secure is None:
            code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        try:
            if code:
                raise self._refused(OSError(code, errno.errorcode.get(code, "")))
            if self._context is not None and not self._shake_hands(connection, self._context):
                return
        except LoadError as error:
            self._drop(connection)
            if raising:
                raise
            if connection.busy:
                self._audience.broken(error.message)
            return
        connection.connected = True
        self._epoll.modify(connection.fd, _IN)
        if connection.busy:
            message, connection.waiting = connection.waiting, None
            self._push(connection, message)

    def _shake_hands(self, connection: _Connection, context: ssl.SSLContext) -> bool:
        """Go on with speaking TLS; return whether that is agreed on.

        Raises:
            LoadError: it cannot be.
        """
        try:
            writes = connection.shake_hands(context, self._place.host)
        except OSError as error:
            raise self._refused(error) from error
        if writes is not None:
            self._epoll.modify(connection.fd, _OUT if writes else _IN)
        return writes is None

    def _push(self, connection: _Connection, message: Message) -> None:
        try:
            count = connection.push(message)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lost(connection, error)
            return
        connection.sent = _now()
        if count < len(message):
            connection.rest = memoryview(message)[count:]
            connection.sent = _NEVER
            self._epoll.modify(connection.fd, _IN | _OUT)

    def _odd(self, connection: _Connection, mask: int) -> None:
        """Serve whatever is not simply an answer that comes on an open connection."""
        if not connection.connected:
            self._connecting(connection)
            return
        if mask & _OUT and connection.rest is not None:
            self._push_rest(connection)
        if mask & ~_OUT and connection.fd in self._by_fd:
            try:
                self._received(connection, connection.receive(self._buffer))
            except BlockingIOError:
                return
            except OSError as error:
                self._lost(connection, error)

    def _push_rest(self, connection: _Connection) -> None:
        assert connection.rest is not None
        try:
            count = connection.push(connection.rest)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, error)
            return
        connection.rest = connection.rest[count:]
        if not connection.rest:
            connection.rest = None
            connection.sent = _now()
            self._epoll.modify(connection.fd, _IN)

    def _received(self, connection: _Connection, count: int) -> None:
        """Take in ``count`` bytes of the buffer that are no whole, well-known answer."""
        now = _now()
        if not count:
            self._lost(connection, None)
            return
        connection.first = connection.first or now
        if connection.left:
            connection.left -= count
            if connection.left < 0:
                self._fail(connection, now, MORE)
            elif not connection.left:
                self._whole(connection, now)
            return
        head, total = self._latest
        known = connection.fresh and len(head) <= count < total
        if known and self._buffer.startswith(head):
            connection.left = total - count
            connection.fresh = False
            return
        self._parse(connection, count, now)

    def _parse(self, connection: _Connection, count: int, now: int) -> None:
        answer = connection.answer
        if answer is None:
            answer = connection.answer = self._answer()
            connection.fresh = False
        try:
            answer.feed(bytes(memoryview(self._buffer)[:count]))
        except NotHttp as error:
            self._fail(connection, now, f"the answer is not HTTP: {error}")
            return
        if not answer.complete:
            return
        if answer.ok and answer.head:
            self._learn(answer.head, answer.total)
        if answer.closes:
            self._drop(connection)
        self._whole(connection, now, self._judged(connection.slot, answer))

    def _answer(self) -> Answer:
        """Make what reads an answer."""
        return Answer()

    def _judged(self, slot: int, answer: Answer) -> str | None:
        """Say what is wrong with an answer that came on a slot; None: nothing."""
        del slot
        return answer.error()

    def _learn(self, head: bytes, total: int) -> None:
        if len(self._heads) >= KNOWN:
            self._heads.clear()
        self._heads[total] = head
        self._latest = head, total

    def _whole(self, connection: _Connection, now: int, error: str | None = None) -> None:
        """Tell of an answer that came in pieces, or with a head that was new."""
        connection.answer = None
        connection.left = 0
        connection.fresh = True
        if connection.busy:
            connection.busy = False
            self._tell(connection, now, error)

    def _fail(self, connection: _Connection, now: int, error: str) -> None:
        self._drop(connection)
        if connection.busy:
            connection.busy = False
            self._tell(connection, now, error)

    def _lost(self, connection: _Connection, error: OSError | None) -> None:
        self._fail(connection, _now(), f"{DROPPED}: {error}" if error else DROPPED)

    def _tell(self, connection: _Connection, now: int, error: str | None) -> None:
        first = connection.first or now
        sent = min(connection.sent, first)
        self._audience.finished(
            connection.slot, connection.planned, connection.began, sent, first, now, error
        )

    def _drop(self, connection: _Connection) -> None:
        """Let go of a connection that is of no more use."""
        if self._by_fd.pop(connection.fd, None) is None:
            return
        with contextlib.suppress(OSError):
            self._epoll.unregister(connection.fd)
        connection.sock.close()
        if self._slots[connection.slot] is connection:
            self._slots[connection.slot] = None

    def _refused(self, error: OSError) -> LoadError:
        return LoadError(f"cannot connect to {self._place.name}: {error}")


class _Connection:
    """One connection of a slot, and the request in flight on it. It is never opened again."""

    __slots__ = (
        "answer", "began", "busy", "connected", "fd", "first", "fresh", "left", "planned",
        "push", "receive", "rest", "secure", "sent", "slot", "sock", "waiting",
    )  # fmt: skip

    def __init__(self, slot: int, sock: socket.socket) -> None:
        self.slot = slot
        self.sock = sock
        self.fd = sock.fileno()
        self.push: Callable[[bytes | memoryview], int] = sock.send
        self.receive: Callable[[bytearray], int] = sock.recv_into
        self.secure: SecureSocket | None = None
        self.connected = False
        self.busy = False
        #: nothing of the next answer has come yet
        self.fresh = True
        #: how many bytes of the answer are still to come, where its head was known
        self.left = 0
        self.planned = self.began = self.sent = self.first = 0
        self.answer: Answer | None = None
        self.rest: memoryview | None = None
        self.waiting: Message | None = None

    def shake_hands(self, context: ssl.SSLContext, host: str) -> bool | None:
        """Begin to speak TLS, or go on; see ``SecureSocket.shake_hands``."""
        if self.secure is None:
            self.secure = SecureSocket(self.sock, context, host)
            self.sock, self.push = self.secure.socket, self.secure.send
            self.receive = self.secure.recv_into
        return self.secure.shake_hands()
