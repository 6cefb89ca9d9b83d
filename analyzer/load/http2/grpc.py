"""gRPC over HTTP/2: a call's headers, its end, and where messages begin and end. Pure.

Texts of errors are ``gRPC CODE: details``, as everywhere in the load client.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable

from analyzer.load.http2.hpack import Fields, Spelled

#: before each message: whether it is compressed, and its length
PREFIX = struct.Struct(">BI")
COMPRESSIONS = ("none", "gzip", "deflate")
_GZIP_BITS = 31
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
#: what an HTTP status means that comes without a gRPC status
_BY_HTTP = {
    "400": "INTERNAL", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED",
    "404": "UNIMPLEMENTED", "429": "UNAVAILABLE", "502": "UNAVAILABLE", "503": "UNAVAILABLE",
    "504": "UNAVAILABLE",
}  # fmt: skip
#: what an HTTP/2 error code means, where it is not INTERNAL
_BY_RESET = {0x7: "UNAVAILABLE", 0x8: "CANCELLED", 0xB: "RESOURCE_EXHAUSTED"}


def call_headers(
    method: str,
    authority: str,
    *,
    secure: bool = False,
    compression: str = "none",
    metadata: Iterable[tuple[str, str]] = (),
) -> Spelled:
    """Spell the headers of calls of ``method`` ("/package.Service/Method")."""
    fields = [
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", method),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "servetune"),
        *((name.lower(), value) for name, value in metadata),
    ]
    if compression != "none":
        fields += [("grpc-encoding", compression), ("grpc-accept-encoding", "gzip, deflate")]
    return Spelled.of(fields)


def prefixed(message: bytes, compression: str = "none") -> bytes:
    """Return a message as it stands in a stream, compressed or not.

    Raises:
        ValueError: there is no such compression.
    """
    match compression:
        case "none":
            return PREFIX.pack(0, len(message)) + message
        case "gzip":
            writer = zlib.compressobj(wbits=_GZIP_BITS)
        case "deflate":
            writer = zlib.compressobj()
        case other:
            raise ValueError(f"no compression {other!r}; there are: {', '.join(COMPRESSIONS)}")
    packed = writer.compress(message) + writer.flush()
    return PREFIX.pack(1, len(packed)) + packed


def refusal(fields: Fields) -> str:
    """Return why headers that begin an answer are none of gRPC's; "" where they are."""
    status = dict(fields).get(":status", "")
    if status == "200":
        return ""
    return f"gRPC {_BY_HTTP.get(status, 'UNKNOWN')}: HTTP status {status or 'missing'}"


def outcome(fields: Fields) -> str | None:
    """Return what the headers that end an answer say: an error's text, or None of a success."""
    found = dict(fields)
    status = found.get("grpc-status")
    if status == "0":
        return None
    if status is None:
        return refusal(fields) or "gRPC UNKNOWN: the answer ended without a status"
    known = status.isdigit() and int(status) < len(_CODES)
    return (
        f"gRPC {_CODES[int(status)] if known else status}: {unquote(found.get('grpc-message', ''))}"
    )


def unquote(text: str) -> str:
    """Undo the percent-encoding of a status's message."""
    raw = _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", "replace")


def reset_text(code: int) -> str:
    """Say what it means that the server reset the stream."""
    return (
        f"gRPC {_BY_RESET.get(code, 'INTERNAL')}: the server reset the stream (HTTP/2 error {code})"
    )


class Messages:
    """Takes a stream's data apart."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that became whole, uncompressed.

        Raises:
            ValueError: a compressed message is in no compression that we read.
        """
        if self._rest:
            data = self._rest + data
        found = []
        at, end = 0, len(data)
        while end - at >= PREFIX.size:
            packed, length = PREFIX.unpack_from(data, at)
            stop = at + PREFIX.size + length
            if stop > end:
                break
            message = data[at + PREFIX.size : stop]
            found.append(_unpacked(message) if packed else message)
            at = stop
        self._rest = data[at:]
        return found


def _unpacked(message: bytes) -> bytes:
    try:
        # Whichever of gzip and zlib it is.
        return zlib.decompress(message, wbits=32 + zlib.MAX_WBITS)
    except zlib.error as error:
        raise ValueError(f"a message that is neither gzip nor deflate: {error}") from error
