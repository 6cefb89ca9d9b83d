"""Requests whose answers are known: the message, and what has to come of it.

A sender that has such messages reads answers in whole, and an answer that differs is a failure.
Owns how an answer's bytes become tensors again; what counts as different ``inputs.answers`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from analyzer.load.http2.grpc import PREFIX, prefixed
from engine.errors import EngineError
from engine.types import InferRequest, InferResponse, Tensor
from engine.v2 import http
from engine.v2.call import Infer

if TYPE_CHECKING:
    from typing import Self


class CheckedMessage(bytes):
    """A message as it is sent, ``expected`` in answer; ``place`` is where that was written."""

    expected: tuple[Tensor, ...]
    place: str

    @classmethod
    def of(cls, message: bytes, expected: tuple[Tensor, ...], place: str) -> Self:
        """Put them together."""
        made = cls(message)
        made.expected = expected
        made.place = place
        return made

    def wrong_http(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Say what is wrong with an HTTP answer; names of ``headers`` are in lower case."""
        try:
            reply = http.parse_reply(_CALL, 200, headers, body)
        except EngineError as error:
            return f"{self.place}: {error.message}"
        return self._wrong(reply)

    def wrong_grpc(self, message: bytes) -> str | None:
        """Say what is wrong with a serialized ModelInferResponse."""
        # HTTP does without: grpc takes a tenth of a second to import.
        from tritonclient.grpc import service_pb2  # noqa: PLC0415 - as said above

        from engine.v2 import grpc  # noqa: PLC0415 - likewise

        try:
            reply = grpc.parse_reply(service_pb2.ModelInferResponse.FromString(message))
        except EngineError as error:
            return f"{self.place}: {error.message}"
        return self._wrong(reply)

    def _wrong(self, reply: object) -> str | None:
        # Only a run whose answers are known needs numpy here.
        from analyzer.load.inputs.answers import wrong  # noqa: PLC0415 - as said above

        assert isinstance(reply, InferResponse)
        told = wrong(self.expected, reply)
        return f"{self.place}: {told}" if told else None


def sealed(
    message: bytes, expected: tuple[Tensor, ...], place: str, compression: str = "none"
) -> bytes:
    """Finish a message: gRPC's is compressed if that is wanted, and its answer may be known."""
    if compression != "none":
        message = prefixed(message[PREFIX.size :], compression)
    return CheckedMessage.of(message, expected, place) if expected else message


def judged_grpc(message: object, answer: bytes) -> str | None:
    """Say what is wrong with the answer to a message, if that is known."""
    return message.wrong_grpc(answer) if isinstance(message, CheckedMessage) else None


_CALL = Infer("", "", InferRequest(inputs=(), binary_default=True))
