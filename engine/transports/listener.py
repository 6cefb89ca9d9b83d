"""A listening socket and the connections it brought: accepting, draining, closing.

Owns the port and the set of connections. Does not own what happens on a connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.transports.connection import Connection
from engine.transports.ports import refused

if TYPE_CHECKING:
    from engine.transports.exchange import Application

BACKLOG = 1024
#: How long a stop goes on answering: a request that was sent before it may not be read yet.
LAST_CALL_S = 0.1


class Open:
    """The connections that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, connection: Connection) -> None:
        """Count a connection that was made."""
        self._open.add(connection)
        self._none.clear()

    def discard(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        self._open.discard(connection)
        if not self._open:
            self._none.set()

    def all(self) -> tuple[Connection, ...]:
        """List them."""
        return tuple(self._open)

    async def gone(self, timeout_s: float) -> None:
        """Wait until there are none, at most ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._none.wait()
        except TimeoutError:
            return


class Listener:
    """A port that is listened on."""

    def __init__(self, server: asyncio.Server, application: Application, peers: Open) -> None:
        self._server = server
        self._application = application
        self._peers = peers
        self.port: int = server.sockets[0].getsockname()[1]

    def stop_accepting(self) -> None:
        """Take no new connection; the others end with the answer to the next request."""
        self._server.close()
        for connection in self._peers.all():
            connection.drain()

    async def drain(self, timeout_s: float) -> None:
        """Wait until what is in flight has been answered and every connection is closed.

        After the last call idle connections are closed, and new requests refused.
        """
        await asyncio.sleep(min(LAST_CALL_S, timeout_s))
        self._application.exit()
        for connection in self._peers.all():
            connection.close_if_idle()
        await self._peers.gone(max(0.0, timeout_s - LAST_CALL_S))

    def close(self) -> None:
        """Close every connection, whatever is in flight."""
        self._server.close()
        for connection in self._peers.all():
            connection.abort()


async def listen(
    application: Application, what: str, *, address: str, port: int, reuse_port: bool = False
) -> Listener:
    """Listen for an application; ``what`` is the word of its flags: http or metrics.

    Raises:
        EngineError: the port cannot be had.
    """
    loop = asyncio.get_running_loop()
    peers = Open()
    try:
        server = await loop.create_server(
            lambda: Connection(application, loop, peers),
            address or None,
            port,
            reuse_port=reuse_port or None,
            backlog=BACKLOG,
        )
    except OSError as error:
        raise refused(what, address, port, error) from error
    return Listener(server, application, peers)
