"""HPACK, HTTP/2's spelling of headers (RFC 7541). Pure.

Rules:

1. We announce a table of size 0, so the other side keeps nothing between its blocks and each can be
   read by itself: ``decode`` is a function, and what it once read need not be read again.
2. What we send is the same for every request: ``Spelled`` has it once as the first request
   teaches it to the other side's table, once as later ones refer to it, and once without a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Fields = tuple[tuple[str, str], ...]

#: room that a table's entry takes beside its text (RFC 7541, section 4.1)
ENTRY_BYTES = 32
_STATIC_NAMES = """\
:authority
:method=GET
:method=POST
:path=/
:path=/index.html
:scheme=http
:scheme=https
:status=200
:status=204
:status=206
:status=304
:status=400
:status=404
:status=500
accept-charset
accept-encoding=gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""
#: by index, from 1 on
_STATIC: tuple[tuple[str, str], ...] = tuple(
    (name, value) for name, _, value in (line.partition("=") for line in _STATIC_NAMES.split("\n"))
)[:-1]
#: how many bits the Huffman code has for each byte, and for the end (appendix B). The code is
#: canonical: the lengths say it all.
_BITS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a"
    "080b080606060505050606060606060607080f060c0a0d06070707070707070707070707070707070707"
    "070707070807080d130d0e060f05060506050606060507070606060506070605050607070707070f0b0e"
    "0d1c14161414161616171617171717171817181816171817171717151617161717181615141616171715"
    "1716161815161717151516151716171714161616171616171a1a1413161716191a1a1a1b1b1a18191315"
    "1a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b"
    "1b1b1b1a1e"
)
_END = 256
_HUFFMAN, _LITERAL_TABLE, _INDEXED, _SIZE_UPDATE = 0x80, 0x40, 0x80, 0x20
_LONGEST_PADDING = 7


class HpackError(ValueError):
    """A block of headers that cannot be read."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """Headers to send, in three spellings. ``size`` is the room they take in a table."""

    first: bytes
    later: bytes
    plain: bytes
    size: int

    @classmethod
    def of(cls, fields: Sequence[tuple[str, str]]) -> Spelled:
        """Spell headers; their names are in lower case."""
        first, later, plain, size = [], [], [], 0
        taught = sum(field not in _STATIC for field in fields)
        for name, value in fields:
            if (name, value) in _STATIC:
                known = _integer(_STATIC.index((name, value)) + 1, 7, _INDEXED)
                first.append(known)
                later.append(known)
                plain.append(known)
                continue
            literal = _text(name) + _text(value)
            first.append(bytes([_LITERAL_TABLE]) + literal)
            plain.append(b"\0" + literal)
            # The newest entry has the lowest index.
            later.append(_integer(len(_STATIC) + taught, 7, _INDEXED))
            taught -= 1
            size += len(name.encode()) + len(value.encode()) + ENTRY_BYTES
        return cls(b"".join(first), b"".join(later), b"".join(plain), size)


def decode(block: bytes) -> Fields:
    """Read a block of headers that uses no table but the static one (rule 1).

    Raises:
        HpackError: it is none.
    """
    fields = []
    at = 0
    try:
        while at < len(block):
            head = block[at]
            if head & _INDEXED:
                index, at = _read_integer(block, at, 7)
                fields.append(_entry(index))
                continue
            if not head & _LITERAL_TABLE and head & _SIZE_UPDATE:
                _, at = _read_integer(block, at, 5)
                continue
            index, at = _read_integer(block, at, 6 if head & _LITERAL_TABLE else 4)
            if index:
                name = _entry(index)[0]
            else:
                name, at = _read_text(block, at)
            value, at = _read_text(block, at)
            fields.append((name, value))
    except IndexError as error:
        raise HpackError("a block of headers that ends too early") from error
    return tuple(fields)


def resized(size: int) -> bytes:
    """Tell the other side, at the beginning of a block, what size its table has from now on."""
    return _integer(size, 5, _SIZE_UPDATE)


def _entry(index: int) -> tuple[str, str]:
    if not 0 < index <= len(_STATIC):
        raise HpackError(f"header {index} of a table that was to have none")
    return _STATIC[index - 1]


def _integer(value: int, bits: int, head: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes([head | value])
    spelled = [head | most]
    value -= most
    while value > 0x7F:  # noqa: PLR2004 - seven bits to a byte
        spelled.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*spelled, value])


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _text(text: str) -> bytes:
    raw = text.encode()
    return _integer(len(raw), 7, 0) + raw


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    packed = block[at] & _HUFFMAN
    length, at = _read_integer(block, at, 7)
    raw = block[at : at + length]
    if len(raw) < length:
        raise HpackError("a header that ends too early")
    if packed:
        raw = unpack(raw)
    return raw.decode("utf-8", "replace"), at + length


def unpack(packed: bytes) -> bytes:
    """Undo the Huffman code.

    Raises:
        HpackError: this is none.
    """
    text = bytearray()
    code = length = 0
    for byte in packed:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol == _END:
                raise HpackError("a Huffman code with an end in it")
            if symbol is not None:
                text.append(symbol)
                code = length = 0
    if length > _LONGEST_PADDING or code != (1 << length) - 1:
        raise HpackError("a Huffman code that ends too early")
    return bytes(text)


def _codes() -> dict[tuple[int, int], int]:
    """Number the symbols, those of few bits first."""
    codes = {}
    code = length = 0
    for symbol in sorted(range(len(_BITS)), key=lambda symbol: (_BITS[symbol], symbol)):
        code <<= _BITS[symbol] - length
        length = _BITS[symbol]
        codes[length, code] = symbol
        code += 1
    return codes


_CODES = _codes()
