"""Tensors across the C interface, both ways.

Owns what a tensor looks like on either side, and that a library's output is what the configuration
says. Arrays are not copied on their way in, if they are contiguous; the memory of an output becomes
its array. Elements of BYTES are laid out as on the wire. Does not own who holds what for how long.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from engine.backends.native.abi import DTYPES, NUMBERS, CTensor
from engine.errors import EngineError, Internal, InvalidArgument
from engine.types import Array, DType, Tensor
from engine.v2.binary import decode, encode, slot

_MOST_DIMS = 64  # numpy's bound


class Lent:
    """Tensors lent to a library; they live as long as this object."""

    __slots__ = ("_kept", "count", "first")

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.count = len(tensors)
        self.first = (CTensor * self.count)()
        self._kept: list[Any] = []
        for place, one in zip(self.first, tensors, strict=True):
            name, shape = one.name.encode(), one.array.shape
            if one.dtype is DType.BYTES:
                elements: Array = np.frombuffer(encode(one), np.uint8)
            else:
                elements = np.ascontiguousarray(one.array)
            dims = (ctypes.c_int64 * len(shape))(*shape)
            self._kept += (name, elements, dims)
            place.name, place.dims, place.dims_count = name, dims, len(shape)
            place.data, place.byte_size = elements.ctypes.data, elements.nbytes
            place.dtype = NUMBERS[one.dtype]


def texts(words: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    """Lay out names for a library."""
    return (ctypes.c_char_p * len(words))(*(word.encode() for word in words))


def received(tensor: CTensor, model: str) -> Tensor:
    """Copy a tensor that a library hands to model ``model``.

    Raises:
        InvalidArgument: it is none.
    """
    name = (tensor.name or b"").decode(errors="replace")
    dtype, shape = kind_of(name, tensor.dtype), shape_of(name, tensor.dims, tensor.dims_count)
    content = ctypes.string_at(tensor.data, tensor.byte_size) if tensor.byte_size else b""
    return decode(content, slot(name, dtype, shape), model, "")


def kind_of(name: str, number: int) -> DType:
    """Tell a type by its number in ``enum servetune_dtype``.

    Raises:
        InvalidArgument: there is none.
    """
    if number not in DTYPES:
        raise InvalidArgument(f"tensor '{name}': {number} is no servetune_dtype")
    return DTYPES[number]


def shape_of(name: str, dims: Any, count: int) -> tuple[int, ...]:  # noqa: ANN401 - a pointer
    """Read a shape.

    Raises:
        InvalidArgument: it cannot be one.
    """
    if count > _MOST_DIMS or (count and not dims):
        raise InvalidArgument(f"tensor '{name}': dims is NULL, or has over {_MOST_DIMS} dimensions")
    shape = tuple(dims[:count])
    if any(size < 0 for size in shape):
        raise InvalidArgument(f"tensor '{name}': shape {list(shape)} has a negative dimension")
    return shape


@dataclass(frozen=True, slots=True)
class Blank:
    """An output that a library fills: its memory is ``content``."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    content: Array

    def filled(self) -> Tensor:
        """Make the tensor, without a copy unless it is one of BYTES.

        Raises:
            Internal: a tensor of BYTES was filled with what are no such elements.
        """
        if self.dtype is not DType.BYTES:
            array = self.content.view(self.dtype.numpy).reshape(self.shape)
            return Tensor(self.name, self.dtype, array)
        place = slot(self.name, self.dtype, self.shape)
        try:
            return decode(self.content.data, place, "", "")
        except EngineError:
            raise Internal(
                f"output '{self.name}' was filled with what are not {place.count} elements of"
                " BYTES: each begins with its length, four bytes, little-endian"
            ) from None


@dataclass(frozen=True, slots=True)
class Form:
    """What model ``model`` may answer: types and shapes, the batch's dimension first."""

    model: str
    decoupled: bool
    known: Mapping[str, tuple[DType, tuple[int, ...]]]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Name all outputs."""
        return tuple(self.known)

    def blank(self, name: str, dtype: DType, shape: tuple[int, ...], size: int) -> Blank:
        """Make room for an output of ``size`` bytes.

        Raises:
            InvalidArgument: the configuration has no such output, or the size is another.
        """
        where = f"output '{name}' of model '{self.model}'"
        if name not in self.known:
            raise InvalidArgument(
                f"unexpected inference output '{name}' for model '{self.model}'; its configuration"
                f" has {', '.join(self.known) or 'none'}"
            )
        wanted, dims = self.known[name]
        if dtype is not wanted:
            raise InvalidArgument(
                f"{where} came out as {dtype.value}, but the configuration says {wanted.value}"
            )
        if len(dims) != len(shape) or any(
            dim not in {-1, size} for dim, size in zip(dims, shape, strict=True)
        ):
            raise InvalidArgument(
                f"{where} came out with shape {list(shape)}, but the configuration says"
                f" {list(dims)}"
            )
        if dtype is not DType.BYTES and size != prod(shape) * dtype.size:
            raise InvalidArgument(
                f"{where}: {size} bytes do not hold {dtype.value} of shape {list(shape)}, which"
                f" takes {prod(shape) * dtype.size}"
            )
        return Blank(name, dtype, shape, np.empty(size, np.uint8))
