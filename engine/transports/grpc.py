"""The V2 protocol over gRPC: messages to the service, replies back, on ``grpc.aio``.

Owns the table of RPCs (all twenty of Triton's, and gRPC's own health check) and the way between
a message and the service. Kept thin: what messages say is ``engine.v2.grpc``'s, what calls mean
is ``engine.service``'s.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2

from engine.errors import EngineError, Internal, Unavailable, Unsupported
from engine.transports.grpc_stream import STOPPING, Stream
from engine.transports.listener import LAST_CALL_S
from engine.transports.ports import refused
from engine.v2.call import Health, Infer, ServerReady, not_served
from engine.v2.grpc import SERVICE, STATUS, error_text, parse_request, render_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from engine.service import Service
    from engine.types import InferResponse

Message = Any
Context = Any

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = (1 << 31) - 1
HEALTH = "grpc.health.v1.Health"
# HealthCheckResponse has one field, an enum: 1 is SERVING, 2 is NOT_SERVING.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"

_SERVED = (
    "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig",
    "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
    "SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister",
)  # fmt: skip
_LATER = {
    "TraceSetting": not_served("The trace extension").message,
    "LogSettings": not_served("The logging extension").message,
}


class Rpcs:
    """The RPCs, each a coroutine that grpc.aio calls."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopping = False
        self._under_way = 0
        self._none: asyncio.Event | None = None
        self._streams: set[Stream] = set()

    def stop(self) -> None:
        """Refuse what comes from now on."""
        self._stopping = True
        self._service.exit()
        for stream in tuple(self._streams):
            stream.stop()

    async def call(self, message: Message, context: Context) -> Message:
        """Answer any call but an inference."""
        try:
            self._refuse_when_stopping()
            call = parse_request(message)
            if self._service.takes_time(call):
                return render_reply(call, await self._service.carry_out(call))
            return render_reply(call, self._service.answer(call))
        except EngineError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - one request's fault must not end the others
            refusal = _fault(message, error)
        return await _abort(context, refusal)

    async def infer(self, message: Message, context: Context) -> Message:
        """Run a model; a client that goes away takes its request back."""
        try:
            self._refuse_when_stopping()
            call = parse_request(message)
            assert isinstance(call, Infer)
            return render_reply(call, await self._result(call))
        except EngineError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - as above
            refusal = _fault(message, error)
        return await _abort(context, refusal)

    async def answered(self, timeout_s: float) -> None:
        """Wait until no inference and no stream is under way, at most ``timeout_s``."""
        self._none = asyncio.Event()
        if self._under_way:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._none.wait()

    async def _result(self, call: Infer) -> InferResponse:
        outcome: asyncio.Future[InferResponse | EngineError]
        outcome = asyncio.get_running_loop().create_future()

        def done(result: InferResponse | EngineError) -> None:
            if not outcome.done():
                outcome.set_result(result)

        running = self._service.infer(call, done)
        self._under_way += 1
        try:
            result = await outcome
        except asyncio.CancelledError:
            running.cancel()
            raise
        finally:
            self._ended()
        if isinstance(result, EngineError):
            raise result
        return result

    def _ended(self) -> None:
        self._under_way -= 1
        if self._none is not None and not self._under_way:
            self._none.set()

    async def stream(self, messages: AsyncIterator[Message], context: Context) -> None:
        """Answer a stream of inferences."""
        if self._stopping:
            await _abort(context, Unavailable(STOPPING))
        stream = Stream(self._service, context)
        self._streams.add(stream)
        self._under_way += 1
        try:
            refusal = await stream.run(messages)
        finally:
            self._streams.discard(stream)
            self._ended()
        if refusal is not None:
            await _abort(context, refusal)

    async def check_health(self, message: bytes, context: Context) -> bytes:
        """Answer gRPC's own health check: serving if the server is ready."""
        del message, context
        try:
            reply = self._service.answer(ServerReady())
        except EngineError:
            return _NOT_SERVING
        return _SERVING if isinstance(reply, Health) and reply.ok else _NOT_SERVING

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise Unavailable(STOPPING)

    def table(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """List the RPCs of the inference service."""
        table = {name: _unary(name, self.call) for name in _SERVED}
        table["ModelInfer"] = _unary("ModelInfer", self.infer)
        for name, text in _LATER.items():
            table[name] = _unary(name, _refusal(Unsupported(text)))
        table["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self.stream,
            service_pb2.ModelInferRequest.FromString,
            service_pb2.ModelStreamInferResponse.SerializeToString,
        )
        return table


def _unary(
    name: str, behavior: Callable[[Message, Context], Awaitable[Message]]
) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(
        behavior,
        getattr(service_pb2, f"{name}Request").FromString,
        getattr(service_pb2, f"{name}Response").SerializeToString,
    )


def _refusal(error: EngineError) -> Callable[[Message, Context], Awaitable[Message]]:
    async def refuse(message: Message, context: Context) -> Message:
        del message
        return await _abort(context, error)

    return refuse


async def _abort(context: Context, error: EngineError) -> Message:
    await context.abort(grpc.StatusCode[STATUS[error.code]], error_text(error))


def _fault(message: Message, error: Exception) -> EngineError:
    logger.error("message=%s: a fault", type(message).__name__, exc_info=error)
    return Internal(f"internal error: {type(error).__name__}: {error}")


class GrpcListener:
    """A gRPC server on a port."""

    def __init__(self, server: grpc.aio.Server, rpcs: Rpcs, port: int) -> None:
        self._server = server
        self._rpcs = rpcs
        self._closing: asyncio.Task[None] | None = None
        self.port = port

    def stop_accepting(self) -> None:
        """Do nothing yet: grpc would cancel what it has received and not handed over."""

    async def drain(self, timeout_s: float) -> None:
        """Wait until what is in flight has been answered, then cancel the rest and stop.

        Until the last call requests are answered, then refused in words as long as others are
        being answered, and then grpc stops.
        """
        now_s = asyncio.get_running_loop().time
        deadline_s, pause_s = now_s() + timeout_s, min(LAST_CALL_S, timeout_s / 2)
        await asyncio.sleep(pause_s)
        self._rpcs.stop()
        await asyncio.sleep(pause_s)
        await self._rpcs.answered(deadline_s - now_s())
        await self._server.stop(max(0.0, deadline_s - now_s()))

    def close(self) -> None:
        """Cancel whatever is in flight, and stop."""
        self._closing = asyncio.ensure_future(self._server.stop(0))


async def serve_grpc(
    service: Service, *, address: str, port: int, reuse_port: bool = False
) -> GrpcListener:
    """Serve V2 over gRPC on the running loop; port 0 lets the system choose one.

    Raises:
        EngineError: the port cannot be had.
    """
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
            ("grpc.so_reuseport", int(reuse_port)),
        )
    )
    rpcs = Rpcs(service)
    health = {"Check": grpc.unary_unary_rpc_method_handler(rpcs.check_health)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, rpcs.table()),
            grpc.method_handlers_generic_handler(HEALTH, health),
        )
    )
    host = f"[{address}]" if ":" in address else address
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        # grpc says that it failed, not why; a port in use is what it is almost always.
        raise refused("grpc", address, port, OSError(errno.EADDRINUSE, str(error))) from error
    await server.start()
    return GrpcListener(server, rpcs, bound)
