"""HTTP by bytes on a socket: nothing is added, and nothing is understood on the way."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A status line, headers by lower-case names, a body."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of an error, whose body must have Triton's form."""
        plain = self.json
        assert list(plain) == ["error"]
        assert self.headers["content-type"] == "application/json"
        text: str = plain["error"]
        return text


class Raw:
    """A connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def ask(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a request with a Content-Length, unless the headers say how the body ends."""
        named = dict(headers or {})
        if not {"Content-Length", "Transfer-Encoding"} & set(named):
            named["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.send(f"{method} {target} HTTP/1.1\r\nHost: here\r\n{lines}\r\n".encode() + body)

    def answer(self) -> Answer:
        """Read one answer, or an interim one."""
        head = self._take(self._until(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._unread) < size:
            self._more()
        return Answer(line, headers, self._take(size))

    def _until(self, end: bytes) -> int:
        while (at := self._unread.find(end)) < 0:
            self._more()
        return at + len(end)

    def _more(self) -> None:
        got = self._socket.recv(1 << 16)
        if not got:
            raise EOFError
        self._unread += got

    def _take(self, size: int) -> bytes:
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken


def ask(
    port: int,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask one thing on a connection of its own."""
    with Raw(port) as raw:
        raw.ask(method, target, body, headers)
        return raw.answer()
