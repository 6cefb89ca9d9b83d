"""What a ModelStreamInferResponse says that a load client has to know. Pure.

Reads the protobuf wire format and no more of it than it needs, which costs a fraction of making
objects of the whole. Fields, by their numbers in the protocol: 1 ``error_message``, 2
``infer_response``; in the latter 4 ``parameters`` and 5 ``outputs``.
"""

from __future__ import annotations

_ERROR, _RESPONSE, _PARAMETERS, _OUTPUTS = 1, 2, 4, 5
#: an entry of the parameters, up to its value: the key, and a message that holds a bool
_FINAL = b"\x0a\x15triton_final_response\x12\x02\x08"


def read(message: bytes) -> tuple[str, bool, bool]:
    """Return the error's text ("" of a success), whether it is the last, whether it is empty.

    A message that does not say is its request's last. Empty means that it has no outputs.

    Raises:
        ValueError: it is no such message.
    """
    at, end = 0, len(message)
    error = ""
    final = empty = True
    try:
        while at < end:
            number, start, at = _field(message, at)
            if number == _ERROR:
                error = message[start:at].decode("utf-8", "replace")
            elif number == _RESPONSE:
                final, empty = _response(message, start, at)
    except IndexError as fault:
        raise ValueError("a response that ends too early") from fault
    return error, final, empty


def inner(message: bytes) -> bytes:
    """Return the serialized ModelInferResponse in it."""
    at = 0
    while at < len(message):
        number, start, at = _field(message, at)
        if number == _RESPONSE:
            return message[start:at]
    return b""


def _response(message: bytes, at: int, end: int) -> tuple[bool, bool]:
    final = True
    while at < end:
        number, start, at = _field(message, at)
        if number == _PARAMETERS:
            if message.startswith(_FINAL, start):
                final = bool(message[start + len(_FINAL)])
        elif number >= _OUTPUTS:
            # Fields stand in the order of their numbers.
            return final, False
    return final, True


def _field(message: bytes, at: int) -> tuple[int, int, int]:
    """Return the number of the field at ``at``, and where its content begins and ends."""
    tag, at = _varint(message, at)
    match tag & 7:
        case 2:
            length, at = _varint(message, at)
            return tag >> 3, at, at + length
        case 0:
            _, end = _varint(message, at)
            return tag >> 3, at, end
        case 1:
            return tag >> 3, at, at + 8
        case 5:
            return tag >> 3, at, at + 4
        case kind:
            raise ValueError(f"a field of kind {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    byte = message[at]
    at += 1
    if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
        return byte, at
    value = byte & 0x7F
    shift = 7
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - as above
            return value, at
        shift += 7
