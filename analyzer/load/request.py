"""The bytes of one inference request, built once and sent many times.

Owns what a sender adds to a message (the request line, Host, Content-Length). Does not own
the spelling of the call: the engine's codecs do.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.types import InferRequest
from engine.v2 import grpc, http
from engine.v2.call import Infer


def http_message(
    address: str,
    model: str,
    request: InferRequest,
    *,
    version: str = "",
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Return a whole HTTP/1.1 message to ``address`` (host:port), with ``headers`` added."""
    message = http.render_request(Infer(model, version, request))
    headers = (
        ("Host", address),
        *message.headers,
        *headers,
        ("Content-Length", str(len(message.body))),
    )
    lines = (
        f"{message.method} {message.target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers),
    )
    return "\r\n".join((*lines, "", "")).encode() + message.body


def grpc_message(model: str, request: InferRequest, *, version: str = "") -> bytes:
    """Return a serialized ModelInferRequest."""
    _, message = grpc.render_request(Infer(model, version, request))
    return bytes(message.SerializeToString())
