"""The metrics page over HTTP, on a port of its own.

As Triton's does, it answers every GET: the metrics where they are asked for, nothing (and
200) elsewhere. Does not own what the page says (``engine.telemetry.page``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.telemetry.exposition import CONTENT_TYPE
from engine.transports.exchange import fault
from engine.transports.listener import listen
from engine.v2.http import HttpReply, render_error
from engine.v2.routes import MethodNotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.transports.exchange import Exchange
    from engine.transports.listener import Listener

_PATHS = frozenset({"/metrics", "/metrics/"})


class Page:
    """The application that shows the metrics; ``write`` gives them as they are now."""

    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def begin(self, exchange: Exchange) -> None:
        """Answer a request."""
        if exchange.method != "GET":
            exchange.reply(render_error(MethodNotAllowed()))
            return
        if exchange.target.partition("?")[0] not in _PATHS:
            exchange.reply(HttpReply(200))
            return
        try:
            page = self._write().encode()
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others
            exchange.reply(fault(exchange, error))
            return
        exchange.reply(HttpReply(200, (("Content-Type", CONTENT_TYPE),), (page,)))

    def judge(self, exchange: Exchange, size: int) -> HttpReply | None:
        """Refuse nothing early: bodies are not read here."""
        del exchange, size
        return None

    def exit(self) -> None:
        """Go on until the connections are closed: the last figures are worth reading."""


async def serve_metrics(write: Callable[[], str], *, address: str, port: int) -> Listener:
    """Serve the metrics page on the running loop; port 0 lets the system choose one.

    Raises:
        EngineError: the port cannot be had.
    """
    return await listen(Page(write), "metrics", address=address, port=port)
