"""A server that answers each connection's requests with given bytes, in given pieces."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

#: what one request is answered with: pieces that are sent one by one, None closes
Script = Callable[[int, bytes], Sequence[bytes | None]]


def answer(body: bytes, status: str = "200 OK", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Scripted:
    def __init__(self, script: Script) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self._script = script
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: set[socket.socket] = set()
        self._count = iter(range(1, 1 << 30))
        self._threads[0].start()

    def end(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._threads[0].join(10)
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                self._open.add(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as arrived:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (body := _request(arrived)) is not None:
                for piece in self._script(next(self._count), body):
                    if piece is None:
                        return
                    connection.sendall(piece)


def _request(arrived: BinaryIO) -> bytes | None:
    """Read one request's body; None at the end."""
    length = None
    while (line := arrived.readline()) != b"\r\n":
        if not line:
            return None
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return arrived.read(length or 0)


@contextmanager
def scripted(script: Script) -> Iterator[int]:
    """Serve on a port; ``script`` is told which request it is, from 1 on, and its body."""
    server = _Scripted(script)
    try:
        yield server.listening.getsockname()[1]
    finally:
        server.end()
