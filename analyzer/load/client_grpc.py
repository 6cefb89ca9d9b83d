"""The gRPC client: serialized messages over grpc.aio.

Nothing is parsed on the way back but the status. The library hides when bytes leave and
come, so only the whole time of a call is seen. Slots share a few channels: one connection
carries many calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import uvloop

from analyzer.errors import LoadError
from analyzer.load.client import Audience, Message

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
    """Sends messages, each a serialized ModelInferRequest, to ``address`` (host:port).

    ``judge`` says what is wrong with the serialized answer to a message, None: nothing.
    """

    sees_bytes = False

    def __init__(
        self,
        address: str,
        slots: int,
        audience: Audience,
        *,
        judge: Callable[[Message, bytes], str | None] | None = None,
    ) -> None:
        self._judge = judge
        self._address = address
        self._slots = slots
        self._audience = audience
        self._loop = uvloop.new_event_loop()
        self._channels: list[Any] = []
        self._calls: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, ahead: int) -> None:
        """Connect, with as many connections as ``ahead`` slots take; more slots share them.

        Raises:
            LoadError: nothing listens there.
        """
        self._loop.run_until_complete(self._open(max(1, -(-ahead // SLOTS_A_CHANNEL))))

    def send(self, slot: int, message: Message, planned_ns: int) -> None:
        """Send one request."""
        task = self._loop.create_task(self._exchange(slot, message, planned_ns))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def wait(self, until_ns: int) -> None:
        """Let the calls go on until then; the loop's timers have milliseconds."""
        seconds = (until_ns - _now()) / 1e9
        if seconds > 0:
            self._loop.call_later(seconds, self._loop.stop)
        else:
            self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever there is something to read, and end the wait."""

        def come() -> None:
            ready()
            self._loop.stop()

        self._loop.add_reader(descriptor, come)

    def close(self) -> None:
        """Disconnect. Requests in flight are heard of no more."""
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(self._close())

    async def _open(self, count: int) -> None:
        self._channels = [
            grpc.aio.insecure_channel(self._address, options=OPTIONS) for _ in range(count)
        ]
        self._calls = [channel.unary_unary(METHOD) for channel in self._channels]
        for channel in self._channels:
            await self._connect(channel)

    async def _close(self) -> None:
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

    async def _exchange(self, slot: int, message: Message, planned_ns: int) -> None:
        call = self._calls[slot // SLOTS_A_CHANNEL % len(self._calls)]
        began = _now()
        error = None
        try:
            # grpc takes nothing but plain bytes.
            answer = await call(message if self._judge is None else bytes(message))
        except grpc.aio.AioRpcError as failure:
            error = f"gRPC {failure.code().name}: {failure.details()}"
        last = _now()
        if error is not None and await self._is_gone(slot):
            self._audience.broken(f"cannot connect to {self._address}: {error}")
            return
        if error is None and self._judge is not None:
            error = self._judge(message, answer)
        self._audience.finished(slot, planned_ns, began, began, last, last, error)

    async def _is_gone(self, slot: int) -> bool:
        """Whether nothing listens there any more: a call failed, and so does a connection."""
        channel = self._channels[slot // SLOTS_A_CHANNEL % len(self._channels)]
        if channel.get_state() is grpc.ChannelConnectivity.READY:
            return False
        try:
            await self._connect(channel)
        except LoadError:
            return True
        return False
