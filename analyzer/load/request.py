"""The bytes of one inference request, built once and sent many times.

Owns what a sender adds to a message (the request line, Host, Content-Length). Does not own
the spelling of the call: the engine's codecs do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import orjson

from analyzer.errors import LoadError
from analyzer.load.http2.grpc import prefixed
from engine.errors import InvalidArgument
from engine.v2 import coding, grpc, http
from engine.v2.call import Infer
from engine.v2.grpc_stream import EMPTY_FINAL
from engine.v2.message import render_request
from engine.v2.values import write


def http_message(
    address: str,
    call: Infer,
    *,
    headers: Iterable[tuple[str, str]] = (),
    as_json: bool = False,
    compression: str = "none",
) -> bytes:
    """Return a whole HTTP/1.1 message to ``address`` (host:port), with ``headers`` added.

    Inputs are bytes behind the JSON, or with ``as_json`` numbers and texts in it. With a
    ``compression`` the answer may be compressed as well.

    Raises:
        LoadError: JSON cannot carry an input's elements.
    """
    message = _json_message(call) if as_json else http.render_request(call)
    if compression != "none":
        message = _compressed(message, compression)
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


def grpc_message(call: Infer, *, compression: str = "none", streaming: bool = False) -> bytes:
    """Return a serialized ModelInferRequest as gRPC frames it, compressed or not.

    With ``streaming`` it asks a decoupled model to say when it has answered for the last time.
    """
    if streaming:
        parameters = {**call.request.parameters, EMPTY_FINAL: True}
        call = replace(call, request=replace(call.request, parameters=parameters))
    _, message = grpc.render_request(call)
    return prefixed(message.SerializeToString(), compression)


def _compressed(message: http.HttpMessage, compression: str) -> http.HttpMessage:
    coded = (("Content-Encoding", compression), ("Accept-Encoding", compression))
    body = coding.compress((message.body,), compression)
    return replace(message, headers=(*message.headers, *coded), body=body)


def _json_message(call: Infer) -> http.HttpMessage:
    """Write a request whose elements all stand in the JSON."""
    binary = http.render_request(call)
    head, _ = render_request(call)
    plain = orjson.loads(head)
    try:
        for spelled, tensor in zip(plain["inputs"], call.request.inputs, strict=True):
            del spelled["parameters"]
            spelled["data"] = write(tensor)
    except InvalidArgument as error:
        raise LoadError(f"{call.model}: {error.message}") from error
    headers = (("Content-Type", "application/json"),)
    return replace(binary, headers=headers, body=orjson.dumps(plain))
