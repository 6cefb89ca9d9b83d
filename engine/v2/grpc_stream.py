"""The answers of one ModelStreamInfer: which messages leave, in which order, and what they say.

Pure: answers go in, messages come out through ``leave``. Does not own reading, writing, or when
the stream ends (``transports.grpc_stream``). Rules, from Triton:

1. the answers to models that are not decoupled leave in the order of their requests, errors among
   them; those of decoupled models leave at once;
2. every message says by ``triton_final_response`` whether it is its request's last;
3. the end of a decoupled request that is no answer itself makes a message only if the request asked
   for it (``triton_enable_empty_final_response``);
4. an error is ``error_message``, with the id of its request; the stream goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from engine.errors import EngineError, InvalidArgument
from engine.types import InferResponse
from engine.v2.grpc_infer import render_response

Message = Any  # protobuf's generated code publishes no types

FINAL = "triton_final_response"
EMPTY_FINAL = "triton_enable_empty_final_response"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A message that leaves the stream; ``error`` is the error that it tells."""

    message: Message
    error: EngineError | None = None


class Answers:
    """Where the answers to one request of a stream go. Made when the request has been read."""

    __slots__ = ("_empty_final", "_id", "_order", "_slot")

    def __init__(self, order: Order, request: Message) -> None:
        self._order = order
        self._id = request.id
        self._empty_final = False
        self._slot: _Slot | None = order.take_a_place()
        if request.parameters and EMPTY_FINAL in request.parameters:
            self._empty_final = bool(request.parameters[EMPTY_FINAL].bool_param)

    def interleave(self) -> None:
        """Let the answers leave at once: the model is decoupled. Before the first answer."""
        assert self._slot is not None
        self._order.settle(self._slot, None)
        self._slot = None

    def emit(self, answer: InferResponse | EngineError) -> None:
        """Send an answer that is not the last."""
        self._order.leave(self._tell(answer, final=False))

    def done(self, answer: InferResponse | EngineError) -> None:
        """Send the last answer."""
        leaving: Leaving | None = None
        if isinstance(answer, EngineError) or not answer.empty or self._empty_final:
            leaving = self._tell(answer, final=True)
        if self._slot is not None:
            self._order.settle(self._slot, leaving)
        elif leaving is not None:
            self._order.leave(leaving)

    def _tell(self, answer: InferResponse | EngineError, *, final: bool) -> Leaving:
        if isinstance(answer, EngineError):
            told = service_pb2.ModelInferResponse(id=self._id)
            error, text = answer, answer.message
        else:
            told, error, text = render_response(answer), None, ""
        told.parameters[FINAL].bool_param = final
        message = service_pb2.ModelStreamInferResponse(infer_response=told, error_message=text)
        return Leaving(message, error)


class _Slot:
    """A place in the order; ``leaving`` may go when those before it have gone."""

    __slots__ = ("leaving", "over")

    def __init__(self) -> None:
        self.over = False
        self.leaving: Leaving | None = None


class Order:
    """The requests of one stream that keep to their order."""

    def __init__(self, leave: Callable[[Leaving], None]) -> None:
        self.leave = leave
        self._slots: deque[_Slot] = deque()

    def take_a_place(self) -> _Slot:
        """Be the last in the order."""
        slot = _Slot()
        self._slots.append(slot)
        return slot

    def settle(self, slot: _Slot, leaving: Leaving | None) -> None:
        """Have a message leave in its turn, or give the place up."""
        slot.over, slot.leaving = True, leaving
        while self._slots and self._slots[0].over:
            first = self._slots.popleft()
            if first.leaving is not None:
                self.leave(first.leaving)


def check(request: Message) -> None:
    """Let a request's own parameters of a stream pass.

    Raises:
        InvalidArgument: one is of the wrong type.
    """
    if request.parameters and EMPTY_FINAL in request.parameters:
        kind = request.parameters[EMPTY_FINAL].WhichOneof("parameter_choice")
        if kind != "bool_param":
            raise InvalidArgument(
                f"invalid value type for '{EMPTY_FINAL}' parameter, expected bool_param."
            )
