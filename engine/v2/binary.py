"""The binary tensor extension: tensors as the bytes they are, without copying.

Little-endian, row-major, no stride; a BOOL is one byte; an element of BYTES is four bytes of
length and then itself. Owns that, in both directions, and the exact texts for bytes that do not
fit their shape. Does not own where the bytes stand in a message.

An array that is handed on is aligned for its type: vector code below us may assume it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InvalidArgument
from engine.types import DType, Tensor

if TYPE_CHECKING:
    from engine.types import Array

Content = bytes | bytearray | memoryview

_LENGTH = Struct("<I")
#: No tensor has more elements; shapes beyond it are mistakes or attacks.
MOST_ELEMENTS = (1 << 63) - 1
#: From here on an array's own memory is handed to the socket instead of a copy.
WORTH_A_VIEW = 64 << 10


def tag(request_id: str) -> str:
    """Name the request, as Triton begins the errors of its core."""
    return f"[request id: {request_id or '<id_unknown>'}] "


@dataclass(frozen=True, slots=True)
class Slot:
    """What a message says of one tensor before its elements: name, type, shape.

    ``count`` is the number of elements, ``size`` of bytes (-1 for BYTES).
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    count: int
    size: int

    def fill(self, array: Array) -> Tensor:
        """Make the tensor from its elements in row-major order.

        Raises:
            InvalidArgument: the shape has more dimensions than an array can have.
        """
        try:
            return Tensor(self.name, self.dtype, array.reshape(self.shape))
        except ValueError as error:
            message = f"shape {list(self.shape)} of '{self.name}' cannot be an array's: {error}"
            raise InvalidArgument(message) from error


def slot(name: str, dtype: DType, shape: tuple[int, ...]) -> Slot:
    """Count what a tensor of this type and shape takes.

    Raises:
        InvalidArgument: more elements than can be counted.
    """
    count = prod(shape)
    if count > MOST_ELEMENTS:
        message = f"shape {list(shape)} of '{name}' has more elements than can be counted"
        raise InvalidArgument(message)
    return Slot(name, dtype, shape, count, -1 if dtype is DType.BYTES else count * dtype.size)


def decode(content: Content, place: Slot, model: str, request_id: str) -> Tensor:
    """Read a tensor from exactly its bytes; the array is a view of them where it can be.

    Raises:
        InvalidArgument: the bytes are not those of such a tensor.
    """
    if place.dtype is DType.BYTES:
        return place.fill(_elements(bytes(content), place, model, request_id))
    if len(content) != place.size:
        raise wrong_size(len(content), place, model, request_id)
    if not place.size:
        return place.fill(np.empty(0, place.dtype.numpy))
    array = np.frombuffer(content, place.dtype.numpy)
    return place.fill(array if array.flags.aligned else array.copy())


def wrong_size(size: int, place: Slot, model: str, request_id: str) -> InvalidArgument:
    """Say that so many bytes do not fill a tensor."""
    return InvalidArgument(
        f"{tag(request_id)}input byte size mismatch for input '{place.name}' for model "
        f"'{model}'. Expected {place.size}, got {size}"
    )


def encode(tensor: Tensor) -> bytes | memoryview:
    """Write a tensor's bytes; those of a large one are a view of its memory."""
    array = tensor.array
    if tensor.dtype is DType.BYTES:
        return _spell(array)
    if array.nbytes < WORTH_A_VIEW:
        return array.tobytes()
    return np.ascontiguousarray(array).data.cast("B")


def _elements(content: bytes, place: Slot, model: str, request_id: str) -> Array:
    found: list[bytes] = []
    at, end = 0, len(content)
    where = f"for inference input '{place.name}' for model '{model}'"
    while at < end:
        if len(found) == place.count:
            wrong = f"unexpected number of string elements {len(found) + 1} {where}"
            raise InvalidArgument(f"{tag(request_id)}{wrong}, expecting {place.count}")
        start = at + _LENGTH.size
        if start > end:
            wrong = f"incomplete string length indicator {where}, expecting 4 bytes"
            raise InvalidArgument(f"{tag(request_id)}{wrong} but only {end - at} bytes available")
        (length,) = _LENGTH.unpack_from(content, at)
        at = start + length
        if at > end:
            wrong = f"incomplete string data {where}, expecting string of length {length}"
            left = end - start
            raise InvalidArgument(f"{tag(request_id)}{wrong} but only {left} bytes available")
        found.append(content[start:at])
    if len(found) != place.count:
        wrong = f"expected {place.count} string elements {where}, got {len(found)}"
        raise InvalidArgument(f"{tag(request_id)}{wrong}")
    return strings(found)


def strings(elements: list[bytes]) -> Array:
    """Put elements of BYTES into an array of one dimension."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def _spell(array: Array) -> bytes:
    pack = _LENGTH.pack
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        raw = element.encode() if isinstance(element, str) else element
        parts.append(pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)
