"""Tensors as Python models have them, and the helpers that go with their types.

Part of the module that models import as ``triton_python_backend_utils`` (see ``api``): names,
arguments and texts are Triton's. Values only: nothing here knows of the engine, so that a model
may as well live in another process. Types are Triton's numbers (``TYPES``); BF16 elements, which
numpy does not know, are carried as 16-bit patterns and leave by DLPack only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.python import dlpack
from engine.backends.python.errors import TritonModelException

Array = npt.NDArray[Any]

BYTES, BF16 = 13, 14
#: Triton's numbers for the types of elements, and numpy's types for them
TYPES: dict[int, type[np.generic]] = {
    1: np.bool_,
    2: np.uint8,
    3: np.uint16,
    4: np.uint32,
    5: np.uint64,
    6: np.int8,
    7: np.int16,
    8: np.int32,
    9: np.int64,
    10: np.float16,
    11: np.float32,
    12: np.float64,
    BYTES: np.object_,
}
_NUMBERS = {np.dtype(kind): number for number, kind in TYPES.items()}
_WORDS = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "STRING": np.object_,
}
_LENGTH = struct.Struct("<I")


def triton_to_numpy_type(data_type: int) -> type[np.generic]:
    """Give numpy's type for one of Triton's numbers."""
    return TYPES[data_type]


def numpy_to_triton_type(data_type: npt.DTypeLike) -> int:
    """Give Triton's number for one of numpy's types."""
    dtype = np.dtype(data_type)
    if dtype.kind in "SU":
        return BYTES
    if dtype not in _NUMBERS:
        raise TritonModelException(f"Unsupported numpy type '{dtype}'; Triton has no type for it")
    return _NUMBERS[dtype]


def triton_string_to_numpy(triton_type_string: str) -> type[np.generic]:
    """Give numpy's type for a word of ``config.pbtxt``, as ``TYPE_FP32``."""
    return _WORDS[triton_type_string.removeprefix("TYPE_")]


def serialize_byte_tensor(input_tensor: Array) -> bytes | Array | None:
    """Write an array of texts as Triton does: each behind its length, 4 bytes, little-endian."""
    if input_tensor.size == 0:
        return np.empty([0], dtype=np.object_)
    if input_tensor.dtype.kind not in "OS":
        return None
    return b"".join(part for one in _bytes(input_tensor) for part in (_LENGTH.pack(len(one)), one))


def deserialize_bytes_tensor(encoded_tensor: bytes) -> Array:
    """Read what ``serialize_byte_tensor`` writes: a flat array of ``bytes``."""
    found: list[bytes] = []
    place, view = 0, memoryview(encoded_tensor)
    while place < len(view):
        (length,) = _LENGTH.unpack_from(view, place)
        place += _LENGTH.size
        found.append(bytes(view[place : place + length]))
        place += length
    array = np.empty(len(found), np.object_)
    array[:] = found
    return array


def _bytes(array: Array) -> Iterator[bytes]:
    for one in array.ravel().tolist():
        yield one if isinstance(one, bytes) else str(one).encode()


class Tensor:
    """A named array."""

    def __init__(self, name: str, numpy_array: Array) -> None:
        if not isinstance(numpy_array, np.ndarray):
            raise TritonModelException(
                f"Tensor '{name}': expected a numpy array, got {type(numpy_array).__name__}"
            )
        self._name = name
        self._dtype = numpy_to_triton_type(numpy_array.dtype)
        self._array = _as_bytes(numpy_array) if self._dtype == BYTES else numpy_array

    @classmethod
    def of(cls, name: str, dtype: int, array: Array) -> Tensor:
        """Wrap an array whose type is known (for the engine; not Triton's)."""
        tensor = cls.__new__(cls)
        tensor._name, tensor._dtype, tensor._array = name, dtype, array  # noqa: SLF001 - its own
        return tensor

    @property
    def carried(self) -> Array:
        """The array, also of BF16 (for the engine; not Triton's)."""
        return self._array

    def name(self) -> str:
        """Name of the tensor."""
        return self._name

    def triton_dtype(self) -> int:
        """Triton's number for the type of its elements."""
        return self._dtype

    def shape(self) -> list[int]:
        """Sizes of its dimensions."""
        return list(self._array.shape)

    def is_cpu(self) -> bool:
        """Whether it lies in the memory of the CPU; here it always does."""
        return True

    def as_numpy(self) -> Array:
        """Give the array; that of an input can only be read."""
        if self._dtype == BF16:
            raise TritonModelException(
                f"Tensor '{self._name}': as_numpy() cannot give a BF16 tensor, numpy has no such"
                " type; use to_dlpack(), as torch.from_dlpack(tensor)"
            )
        return self._array

    def to_dlpack(self) -> object:
        """Give the tensor as a DLPack capsule."""
        if self._dtype == BYTES:
            raise TritonModelException("DLPack does not have support for string tensors.")
        return dlpack.export(self._array, bf16=self._dtype == BF16)

    def __dlpack__(self, **_: object) -> object:
        return self.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU

    @staticmethod
    def from_dlpack(name: str, tensor: object) -> Tensor:
        """Make a tensor of a DLPack capsule, or of what can give one (a torch tensor)."""
        array, bf16 = dlpack.import_(tensor)
        return Tensor.of(name, BF16, array) if bf16 else Tensor(name, array)


def _as_bytes(array: Array) -> Array:
    """Have every element be ``bytes``, as clients will get it."""
    if array.dtype.kind == "O" and all(type(one) is bytes for one in array.flat):
        return array
    made = np.empty(array.shape, np.object_)
    made.reshape(-1)[:] = list(_bytes(array))
    return made
