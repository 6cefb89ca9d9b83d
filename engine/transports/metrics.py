"""The metrics page over HTTP, on a port of its own.

As Triton's does, it answers every GET: the metrics where they are asked for, nothing (and
200) elsewhere. Does not own what the page says (``engine.telemetry.page``); a thread writes it,
so that the requests of the event loop do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from engine.telemetry.exposition import CONTENT_TYPE
from engine.transports.exchange import fault
from engine.transports.listener import listen
from engine.v2.http import HttpReply, render_error
from engine.v2.routes import MethodNotAllowed

if TYPE_CHECKING:
    from engine.transports.exchange import Exchange
    from engine.transports.listener import Listener

Freeze = Callable[[], Callable[[], str]]

_PATHS = frozenset({"/metrics", "/metrics/"})


class Page:
    """The application that shows the metrics; ``freeze`` takes them, what it gives writes them."""

    def __init__(self, freeze: Freeze, loop: asyncio.AbstractEventLoop) -> None:
        self._freeze = freeze
        self._loop = loop

    def begin(self, exchange: Exchange) -> None:
        """Answer a request."""
        if exchange.method != "GET":
            exchange.reply(render_error(MethodNotAllowed()))
            return
        if exchange.target.partition("?")[0] not in _PATHS:
            exchange.reply(HttpReply(200))
            return
        try:
            written = self._loop.run_in_executor(None, self._freeze())
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others
            exchange.reply(fault(exchange, error))
            return
        written.add_done_callback(partial(self._answer, exchange))

    def _answer(self, exchange: Exchange, written: asyncio.Future[str]) -> None:
        if exchange.abandoned or written.cancelled():
            return
        error = written.exception()
        if isinstance(error, Exception):
            exchange.reply(fault(exchange, error))
            return
        page = written.result().encode()
        exchange.reply(HttpReply(200, (("Content-Type", CONTENT_TYPE),), (page,)))

    def judge(self, exchange: Exchange, size: int) -> HttpReply | None:
        """Refuse nothing early: bodies are not read here."""
        del exchange, size
        return None

    def exit(self) -> None:
        """Go on until the connections are closed: the last figures are worth reading."""


async def serve_metrics(freeze: Freeze, *, address: str, port: int) -> Listener:
    """Serve the metrics page on the running loop; port 0 lets the system choose one.

    Raises:
        EngineError: the port cannot be had.
    """
    page = Page(freeze, asyncio.get_running_loop())
    return await listen(page, "metrics", address=address, port=port)
