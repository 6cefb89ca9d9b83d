"""The gRPC client: one serialized message, sent again and again over grpc.aio.

Nothing is parsed on the way back but the status. The library hides when bytes leave and
come, so only the whole time of a call is seen. Slots share a few channels: one connection
carries many calls.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc

from analyzer.errors import LoadError
from analyzer.load.client import Audience, Exchange

METHOD = "/inference.GRPCInferenceService/ModelInfer"
SLOTS_A_CHANNEL = 16
CONNECT_SECONDS = 20.0
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Without it the channels of one process share one connection.
    ("grpc.use_local_subchannel_pool", 1),
)
_now = time.monotonic_ns


class GrpcClient:
    """Sends ``request``, a serialized ModelInferRequest, to ``address`` (host:port)."""

    sees_bytes = False

    def __init__(self, address: str, request: bytes, slots: int, audience: Audience) -> None:
        self._address = address
        self._request = request
        self._slots = slots
        self._audience = audience
        self._channels: list[Any] = []
        self._calls: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect.

        Raises:
            LoadError: nothing listens there.
        """
        count = -(-self._slots // SLOTS_A_CHANNEL)
        self._channels = [
            grpc.aio.insecure_channel(self._address, options=OPTIONS) for _ in range(count)
        ]
        self._calls = [channel.unary_unary(METHOD) for channel in self._channels]
        for channel in self._channels:
            await self._connect(channel)

    def send(self, slot: int, planned_ns: int) -> None:
        """Send one request."""
        task = asyncio.get_running_loop().create_task(self._exchange(slot, planned_ns))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Disconnect. Requests in flight are heard of no more."""
        for task in self._tasks:
            task.cancel()
        for channel in self._channels:
            await channel.close()

    async def _connect(self, channel: Any) -> None:  # noqa: ANN401 - grpc publishes no types
        """Wait until the channel is ready; that the port refuses is known at once."""
        state = channel.get_state(try_to_connect=True)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        raise LoadError(f"cannot connect to {self._address} by gRPC")
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError as error:
            raise LoadError(
                f"no gRPC connection to {self._address} within {CONNECT_SECONDS:.0f} s"
            ) from error

    async def _exchange(self, slot: int, planned_ns: int) -> None:
        call = self._calls[slot // SLOTS_A_CHANNEL]
        began = _now()
        error = None
        try:
            await call(self._request)
        except grpc.aio.AioRpcError as failure:
            error = f"gRPC {failure.code().name}: {failure.details()}"
        last = _now()
        if error is not None and await self._is_gone(slot):
            self._audience.broken(f"cannot connect to {self._address}: {error}")
            return
        self._audience.finished(Exchange(slot, planned_ns, began, began, last, last, error))

    async def _is_gone(self, slot: int) -> bool:
        """Whether nothing listens there any more: a call failed, and so does a connection."""
        channel = self._channels[slot // SLOTS_A_CHANNEL]
        if channel.get_state() is grpc.ChannelConnectivity.READY:
            return False
        try:
            await self._connect(channel)
        except LoadError:
            return True
        return False
