"""HTTP/2's frames (RFC 9113, sections 4 and 6): how they are spelled. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: kinds of frames
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION = 9
#: flags; the same bit means an acknowledgement in SETTINGS and PING
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20
#: settings
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(
    1, 6
)
#: error codes
NO_ERROR, REFUSED_STREAM, CANCEL = 0x0, 0x7, 0x8

HEAD_BYTES = 9
#: what holds before the other side says otherwise
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
DEFAULT_TABLE = 4_096
GREATEST_WINDOW = (1 << 31) - 1

#: a frame's head: its length (16 upper bits, 8 lower), kind, flags, stream
HEAD = struct.Struct(">HBBBI")
NUMBER = struct.Struct(">I")
_SETTING = struct.Struct(">HI")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Spell a frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """Spell our settings."""
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> dict[int, int]:
    """Read the other side's settings; what is not whole is left out."""
    whole = len(payload) // _SETTING.size * _SETTING.size
    return dict(_SETTING.iter_unpack(payload[:whole]))


def window_update(stream: int, more: int) -> bytes:
    """Allow the other side to send ``more`` bytes; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, NUMBER.pack(more))


def reset(stream: int, code: int) -> bytes:
    """End a stream at once."""
    return frame(RST_STREAM, 0, stream, NUMBER.pack(code))


def unpadded(flags: int, payload: bytes) -> bytes:
    """Take away what DATA and HEADERS may have around their content.

    Raises:
        ValueError: there is more padding than payload.
    """
    end = len(payload)
    start = 0
    if flags & PADDED:
        if not payload:
            raise ValueError("a padded frame without a length of its padding")
        end -= payload[0]
        start = 1
    if flags & WITH_PRIORITY:
        start += 5
    if start > end:
        raise ValueError("more padding than payload")
    return payload[start:end]
