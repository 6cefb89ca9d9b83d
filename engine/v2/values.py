"""The ``data`` of a JSON tensor: nested or flat values in, flat values out.

Owns the strictness (whole numbers for integer types, any number for floating ones, true and
false for BOOL, strings for BYTES) and the exact texts when a value is of another kind. A float
is written as the shortest text of the double it widens to, so that FP32's 0.1 reads
0.10000000149011612, as Triton writes it. Does not own the tensor around the data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from engine.errors import InvalidArgument
from engine.types import DType, Tensor
from engine.v2.binary import strings
from engine.v2.strict import dumps

if TYPE_CHECKING:
    from engine.types import Array
    from engine.v2.binary import Slot

#: Triton reads no deeper nesting.
DEEPEST = 100

_FLOATS = frozenset({DType.FP32, DType.FP64})
_NOT_IN_JSON = frozenset({DType.FP16, DType.BF16})
_KINDS: dict[DType, frozenset[type]] = {
    **dict.fromkeys(DType, frozenset({int})),
    **dict.fromkeys(_FLOATS, frozenset({int, float})),
    DType.BOOL: frozenset({bool}),
    DType.BYTES: frozenset({str}),
}


def _wanted(dtype: DType) -> str:
    if dtype is DType.BOOL:
        return "boolean"
    if dtype is DType.BYTES:
        return "string"
    if dtype in _FLOATS:
        return "number"
    return "unsigned-integer" if dtype.value.startswith("U") else "signed-integer"


def read(data: list[Any], slot: Slot, model: str) -> Tensor:
    """Make a tensor of JSON values.

    Raises:
        InvalidArgument: they are of another kind, too many or too few, or out of range.
    """
    dtype = slot.dtype
    if dtype in _NOT_IN_JSON:
        message = (
            f"receiving {dtype.value} data via JSON is not supported. Please use the binary data "
            f"format for input {slot.name}"
        )
        raise InvalidArgument(message)
    flat, kinds = _flat(data)
    if not kinds <= _KINDS[dtype]:
        wanted = _wanted(dtype)
        as_wanted = "double" if wanted == "number" else wanted
        message = f"attempt to access JSON non-{wanted} as {as_wanted}"
        raise InvalidArgument(f"Unable to parse 'data': {message} (input '{slot.name}')")
    if len(flat) != slot.count:
        message = "Unable to parse 'data': Shape does not match true shape of 'data' field"
        raise InvalidArgument(
            f"{message} (input '{slot.name}' for model '{model}' has shape {list(slot.shape)} and "
            f"{len(flat)} values)"
        )
    return slot.fill(_array(flat, slot))


def _flat(data: list[Any]) -> tuple[list[Any], set[type]]:
    """Unnest, and tell the kinds of what is there."""
    for _ in range(DEEPEST):
        kinds = set(map(type, data))
        if list not in kinds:
            return data, kinds
        nested: list[Any] = []
        for value in data:
            if type(value) is list:
                nested.extend(value)
            else:
                nested.append(value)
        data = nested
    message = f"Unable to parse 'data': arrays are nested deeper than {DEEPEST}"
    raise InvalidArgument(message)


def _array(flat: list[Any], slot: Slot) -> Array:
    if slot.dtype is DType.BYTES:
        try:
            return strings([value.encode() for value in flat])
        except UnicodeEncodeError as error:
            message = f"Unable to parse 'data': input '{slot.name}' holds a lone surrogate"
            raise InvalidArgument(message) from error
    try:
        with np.errstate(over="ignore"):  # a double beyond FP32 becomes infinity, as in C++
            return np.array(flat, slot.dtype.numpy)
    except OverflowError as error:
        message = f"Unable to parse 'data': a value of input '{slot.name}' is out of the range of"
        raise InvalidArgument(f"{message} {slot.dtype.value}") from error


def write(tensor: Tensor) -> orjson.Fragment:
    """Write a tensor's values as one flat JSON array.

    Raises:
        InvalidArgument: JSON cannot carry them.
    """
    dtype = tensor.dtype
    if dtype in _NOT_IN_JSON:
        message = (
            f"sending {dtype.value} data via JSON is not supported. Please use the binary data "
            f"format for output {tensor.name}"
        )
        raise InvalidArgument(message)
    flat = np.ascontiguousarray(tensor.array).ravel()
    if dtype is DType.BYTES:
        return orjson.Fragment(_texts(flat, tensor.name))
    if dtype in _FLOATS:
        with np.errstate(invalid="ignore"):  # widening a signalling NaN makes it a quiet one
            flat = flat.astype(np.float64, copy=False)
        if not np.isfinite(flat).all():
            return orjson.Fragment(json.dumps(flat.tolist(), separators=(",", ":")))
    return orjson.Fragment(orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY))


def _texts(flat: Array, name: str) -> bytes:
    try:
        return dumps([raw if isinstance(raw, str) else raw.decode() for raw in flat.tolist()])
    except UnicodeDecodeError as error:
        message = (
            f"output '{name}' is not UTF-8 text and cannot be sent as JSON. Please use the binary "
            f"data format for output {name}"
        )
        raise InvalidArgument(message) from error
