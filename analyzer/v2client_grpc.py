"""The same questions as ``v2client``'s, for a server of which only the gRPC address is known.

Owns the channel; one a call, as these calls are rare. It is imported where it is needed: grpc takes
a tenth of a second to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2

from analyzer.errors import LoadError
from engine.errors import EngineError
from engine.v2 import call as calls
from engine.v2 import grpc as words

if TYPE_CHECKING:
    from analyzer.tls import Tls

_OPTIONS = (("grpc.max_receive_message_length", -1),)


class NoAnswer(Exception):
    """Nothing answers there."""


def ask(address: str, call: calls.Call, timeout_s: float, tls: Tls | None = None) -> calls.Reply:
    """Send a call to ``address`` (host:port), and return its reply.

    Raises:
        NoAnswer: nothing listens there, or it did not answer in time.
        EngineError: the server refused; the text is its own.
    """
    rpc, message = words.render_request(call)
    kind: Any = getattr(service_pb2, f"{rpc}Response")
    with _channel(address, tls) as channel:
        method = channel.unary_unary(
            f"/{words.SERVICE}/{rpc}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=kind.FromString,
        )
        try:
            answer = method(message, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _error(error) from error
    return words.parse_reply(answer)


def _channel(address: str, tls: Tls | None) -> Any:  # noqa: ANN401 - grpc publishes no types
    if tls is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    try:
        root, key, chain = (
            Path(file).read_bytes() if file else None
            for file in (tls.ca_file, tls.key_file, tls.cert_file)
        )
    except OSError as error:
        raise LoadError(f"TLS: {error.filename}: {error.strerror}") from error
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def _error(error: Any) -> Exception:  # noqa: ANN401 - grpc publishes no types
    status, text = error.code().name, error.details()
    # A server that refuses for now says UNAVAILABLE, too, in its own words.
    if status == "DEADLINE_EXCEEDED" or text.startswith("failed to connect"):
        return NoAnswer(text)
    found: EngineError = words.error_of(status, text)
    return found
