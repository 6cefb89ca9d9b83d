"""Content codings: gzip and deflate (zlib's format) in and out, and the choice by weight.

Owns the bound on what a compressed body may swell to. Does not own the headers' names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from engine.errors import InvalidArgument, Unsupported
from engine.v2.binary import Content
from engine.v2.message import too_large

IDENTITY = "identity"
_GZIP_BITS = 31


class UnsupportedCompression(Unsupported):
    """The body comes in a coding nobody here reads."""

    def __init__(self) -> None:
        super().__init__("Unsupported compression type")


def decompress(body: Content, coding: str, limit: int) -> Content:
    """Undo a content coding.

    Raises:
        UnsupportedCompression: it is neither gzip nor deflate.
        InvalidArgument: the body is not of that coding, or swells beyond ``limit`` bytes.
    """
    match coding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            reader = zlib.decompressobj(_GZIP_BITS)
        case "deflate":
            reader = zlib.decompressobj()
        case _:
            raise UnsupportedCompression
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidArgument(f"the body is not {coding}: {error}") from error
    if len(plain) > limit:
        raise too_large(len(plain), limit)
    if not reader.eof:
        raise InvalidArgument(f"the {coding} body ends before its end")
    return plain


def compress(chunks: Iterable[bytes | memoryview], coding: str) -> bytes:
    """Apply a coding at its fastest level: little is saved on tensors at any level."""
    bits = _GZIP_BITS if coding == "gzip" else zlib.MAX_WBITS
    writer = zlib.compressobj(1, zlib.DEFLATED, bits)
    return b"".join([*map(writer.compress, chunks), writer.flush()])


_CODING = re.compile(
    r"\s*(identity|deflate|gzip)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]*)?)\s*)?", re.IGNORECASE
)


def choose(accept_encoding: str) -> str:
    """Choose among identity, deflate and gzip by weight; the first named wins a tie."""
    best, best_weight = IDENTITY, 0.0
    for part in accept_encoding.split(","):
        match = _CODING.fullmatch(part)
        if match is None:
            continue
        weight = 1.0 if match[2] is None else float(match[2])
        if weight > best_weight:
            best, best_weight = match[1].lower(), weight
    return best
