"""What server and child say to each other of requests, answers and errors; both ways.

Owns the JSON form of tensors (a reference into an arena), requests and errors. Texts travel
through the arena too, each element behind its length.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.child.arena import Arena, Window
from engine.child.channel import Message
from engine.errors import (
    AlreadyExists,
    Cancelled,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import Array, DType, InferRequest, RequestedOutput, Tensor

_ERRORS: dict[str, type[EngineError]] = {
    kind.code.value: kind
    for kind in (
        EngineError, Internal, InvalidArgument, NotFound, Unavailable, Unsupported, AlreadyExists,
        Cancelled,
    )
}  # fmt: skip
_LENGTH = struct.Struct("<I")


def tell_error(error: EngineError | None) -> list[str] | None:
    """Write an error."""
    return None if error is None else [error.code.value, error.message]


def read_error(told: Sequence[str]) -> EngineError:
    """Read an error."""
    return _ERRORS.get(told[0], EngineError)(told[1])


def tell_tensors(tensors: Sequence[Tensor], arena: Arena) -> list[Any]:
    """Put tensors into an arena, and say where they are; all of them, or none.

    Raises:
        Unavailable: there is no room for them.
    """
    told: list[Any] = []
    try:
        for one in tensors:
            told.append(_tell(one, arena))  # noqa: PERF401 - what was put is taken back
    except EngineError:
        for _, _, _, at, _ in told:
            arena.free(at)
        raise
    return told


def read_tensors(told: Sequence[Any], window: Window) -> tuple[Tensor, ...]:
    """See the tensors that the other side has put into its arena."""
    return tuple(_read(one, window) for one in told)


def _tell(tensor: Tensor, arena: Arena) -> list[Any]:
    array = tensor.array
    shape = [int(one) for one in array.shape]
    if tensor.dtype is DType.BYTES:
        packed = np.frombuffer(_pack(array), np.uint8)
        return [tensor.name, tensor.dtype.value, shape, arena.put(packed), packed.size]
    return [tensor.name, tensor.dtype.value, shape, arena.put(array), 0]


def _read(told: Sequence[Any], window: Window) -> Tensor:
    name, word, sizes, at, length = told
    dtype, shape = DType(word), tuple(sizes)
    if dtype is DType.BYTES:
        packed = window.view(at, (length,), np.dtype(np.uint8)).tobytes()
        return Tensor(name, dtype, _unpack(packed, shape))
    return Tensor(name, dtype, window.view(at, shape, dtype.numpy))


def _pack(array: Array) -> bytes:
    return b"".join(
        part for one in array.ravel().tolist() for part in (_LENGTH.pack(len(one)), one)
    )


def _unpack(packed: bytes, shape: tuple[int, ...]) -> Array:
    array = np.empty(shape, np.object_)
    flat, at = array.reshape(-1), 0
    for place in range(flat.size):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        flat[place] = packed[at : at + length]
        at += length
    return array


def tell_request(request: InferRequest, arena: Arena) -> Message:
    """Write a request."""
    return {
        "inputs": tell_tensors(request.inputs, arena),
        "id": request.id,
        "outputs": [one.name for one in request.outputs],
        "priority": request.priority,
        "timeout": request.timeout_us,
        "sequence": [request.sequence_id, request.sequence_start, request.sequence_end],
        "parameters": dict(request.parameters),
    }


def read_request(told: Message, window: Window) -> InferRequest:
    """Read a request."""
    sequence, start, end = told["sequence"]
    return InferRequest(
        inputs=read_tensors(told["inputs"], window),
        id=told["id"],
        outputs=tuple(RequestedOutput(one) for one in told["outputs"]),
        priority=told["priority"],
        timeout_us=told["timeout"],
        sequence_id=sequence,
        sequence_start=start,
        sequence_end=end,
        parameters=told["parameters"],
    )


def tell_files(files: Mapping[str, bytes], arena: Arena) -> list[Any]:
    """Put the contents of files into an arena, and say where they are.

    Raises:
        Unavailable: there is no room for them.
    """
    return tell_tensors(
        [Tensor(name, DType.UINT8, np.frombuffer(text, np.uint8)) for name, text in files.items()],
        arena,
    )


def read_files(told: Sequence[Any], window: Window) -> dict[str, bytes]:
    """Read files that the other side has put into its arena."""
    return {one.name: one.array.tobytes() for one in read_tensors(told, window)}
