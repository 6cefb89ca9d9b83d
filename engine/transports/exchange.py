"""A request as an application sees it, and how its answer is spelled on the wire.

Owns what stands between a connection and an application. Does not own sockets, nor meaning.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from engine.errors import Internal
from engine.v2.http import HttpReply, render_error

if TYPE_CHECKING:
    from engine.v2.binary import Content

logger = logging.getLogger(__name__)

Chunk = bytes | memoryview


class Running(Protocol):
    """Something under way that can be taken back."""

    def cancel(self) -> None:
        """Take it back."""
        ...


class Application(Protocol):
    """What answers requests."""

    def begin(self, exchange: Exchange) -> None:
        """Answer a request through ``exchange.reply``, now or later. Raises nothing."""
        ...

    def judge(self, exchange: Exchange, size: int) -> HttpReply | None:
        """Refuse a request of which only the head and ``size`` bytes are known, or let it be."""
        ...

    def exit(self) -> None:
        """Learn that the server is about to stop."""
        ...


class Answered(Protocol):
    """What sends the answers of its exchanges in order."""

    def advance(self) -> None:
        """Send what can be sent: an answer has come."""
        ...


class Exchange:
    """A request, and the answer that is owed to it.

    ``headers`` holds those that somebody here reads, with lower-case names. ``running`` is
    cancelled when the client goes away, after which ``abandoned`` is true.
    """

    __slots__ = (
        "_connection", "abandoned", "answer", "body", "headers", "keep_alive", "method",
        "running", "target",
    )  # fmt: skip

    def __init__(self, connection: Answered, method: str, target: str) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.headers: dict[str, str] = {}
        self.body: Content = b""
        self.keep_alive = True
        self.abandoned = False
        self.running: Running | None = None
        self.answer: HttpReply | None = None

    def reply(self, answer: HttpReply) -> None:
        """Answer, once; it leaves when those before it have left."""
        self.answer = answer
        self._connection.advance()


def wire(exchange: Exchange, answer: HttpReply, *, ends: bool) -> list[Chunk]:
    """Spell an answer."""
    lines = [f"HTTP/1.1 {answer.status} {answer.phrase}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in answer.headers]
    if ends:
        lines.append("Connection: close\r\n")
    elif "connection" in exchange.headers:
        # A client of HTTP/1.0 that asks for it has to be told.
        lines.append("Connection: keep-alive\r\n")
    lines.append(f"Content-Length: {answer.size}\r\n\r\n")
    head = "".join(lines).encode("latin-1")
    return [head] if exchange.method == "HEAD" else [head, *answer.chunks]


def fault(exchange: Exchange, error: Exception) -> HttpReply:
    """Answer for a fault of ours, and leave its trace in the log."""
    logger.error("method=%s target=%s: a fault", exchange.method, exchange.target, exc_info=error)
    return render_error(Internal(f"internal error: {type(error).__name__}: {error}"))
