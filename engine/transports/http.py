"""The V2 protocol over HTTP: requests to the service, replies back.

Owns only the way between them. Does not own HTTP on a socket (``connection``), what messages
say (``engine.v2.http``) nor what calls mean (``engine.service``).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.transports.exchange import fault
from engine.transports.listener import listen
from engine.v2.call import Call, Infer, InferRaw
from engine.v2.http import parse_request, refuse_early, render_error, render_reply

if TYPE_CHECKING:
    from engine.service import Service
    from engine.transports.exchange import Exchange
    from engine.transports.listener import Listener
    from engine.types import InferResponse
    from engine.v2.http import HttpReply


class V2:
    """The application that speaks V2."""

    def __init__(self, service: Service, max_input_size: int) -> None:
        self._service = service
        self._limit = max_input_size
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, exchange: Exchange) -> None:
        """Answer a request."""
        try:
            call = parse_request(
                exchange.method,
                exchange.target,
                exchange.headers,
                exchange.body,
                limit=self._limit,
            )
            if isinstance(call, InferRaw):
                call = self._service.with_head(call)
            if isinstance(call, Infer):
                done = partial(self._finish, exchange, call)
                exchange.running = self._service.infer(call, done)
            elif self._service.takes_time(call):
                task = asyncio.ensure_future(self._carry_out(exchange, call))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                exchange.reply(render_reply(call, self._service.answer(call)))
        except EngineError as error:
            exchange.reply(render_error(error))
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others
            exchange.reply(fault(exchange, error))

    def _finish(
        self, exchange: Exchange, call: Infer, outcome: InferResponse | EngineError
    ) -> None:
        if exchange.abandoned:
            return
        try:
            if isinstance(outcome, EngineError):
                reply = render_error(outcome)
            else:
                reply = render_reply(call, outcome, exchange.headers.get("accept-encoding"))
        except EngineError as error:
            reply = render_error(error)
        except Exception as error:  # noqa: BLE001 - as above
            reply = fault(exchange, error)
        exchange.reply(reply)

    async def _carry_out(self, exchange: Exchange, call: Call) -> None:
        try:
            reply = render_reply(call, await self._service.carry_out(call))
        except EngineError as error:
            reply = render_error(error)
        except Exception as error:  # noqa: BLE001 - as above
            reply = fault(exchange, error)
        exchange.reply(reply)

    def judge(self, exchange: Exchange, size: int) -> HttpReply | None:
        """Refuse a text that is too large before it has been received."""
        refusal = refuse_early(exchange.headers, size, self._limit)
        return None if refusal is None else render_error(refusal)

    def exit(self) -> None:
        """Let the service refuse what comes from now on."""
        self._service.exit()


async def serve_http(
    service: Service,
    *,
    address: str,
    port: int,
    max_input_size: int,
    reuse_port: bool = False,
) -> Listener:
    """Serve V2 over HTTP on the running loop; port 0 lets the system choose one.

    Raises:
        EngineError: the port cannot be had.
    """
    application = V2(service, max_input_size)
    return await listen(application, "http", address=address, port=port, reuse_port=reuse_port)
