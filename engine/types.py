"""The words the whole engine speaks: data types, tensors, requests, responses.

Nothing here knows of a protocol, a file or a runtime. Arrays are numpy's; elements of
``BYTES`` tensors are Python ``bytes`` in object arrays, and ``BF16`` tensors are carried as
``uint16`` arrays holding the bits, since numpy has no such type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Parameter = bool | int | float | str


class DType(Enum):
    """A tensor's element type; the value is the word of the V2 protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"
    BF16 = "BF16"

    if TYPE_CHECKING:
        # Set below as plain attributes: they are read for every tensor of every request.
        numpy: np.dtype[Any]
        size: int
        config_name: str


_NUMPY = {
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
    "BYTES": np.object_,
    "BF16": np.uint16,
}

for _dtype in DType:
    #: numpy's type of an array that carries this one; little-endian
    _dtype.numpy = np.dtype(_NUMPY[_dtype.value])
    #: bytes an element takes on the wire; 0 for BYTES, whose elements differ
    _dtype.size = 0 if _dtype is DType.BYTES else _dtype.numpy.itemsize
    #: the word of ``config.pbtxt``
    _dtype.config_name = "TYPE_STRING" if _dtype is DType.BYTES else f"TYPE_{_dtype.value}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model says of one input or output.

    ``shape`` is as a client sees it: with the leading -1 of a batching model, and -1 for
    every dimension that may vary.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array. ``array.shape`` is the tensor's shape, batch dimension included."""

    name: str
    dtype: DType
    array: Array


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a memory region that a client registered: ``size`` of them from ``offset`` on."""

    region: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """Memory of a GPU: ``size`` bytes at ``address`` of the device with CUDA's number ``device``.

    ``read`` copies as many of its first bytes to the host as fit. Whoever has a place does not own
    it: it lasts as long as what it was got from.
    """

    device: int
    address: int
    size: int
    read: Callable[[memoryview], None] = field(compare=False, repr=False)


class OnDevice:
    """Stands for an array whose elements lie on a GPU, for those who look at shape and type only.

    ``numpy`` copies the elements to the host when it needs them (``np.asarray``, ``concatenate``);
    whatever else an array can do, this cannot, so that nobody computes with what is not there.
    """

    __slots__ = ("dtype", "place", "shape")

    def __init__(self, place: Place, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.place = place
        self.dtype = dtype
        self.shape = shape

    @property
    def nbytes(self) -> int:
        """How many bytes the elements take."""
        return prod(self.shape) * self.dtype.itemsize

    def reshape(self, shape: tuple[int, ...]) -> OnDevice:
        """See the same elements in another shape.

        Raises:
            ValueError: it has another number of elements.
        """
        if prod(shape) != prod(self.shape):
            raise ValueError(f"cannot reshape {list(self.shape)} into {list(shape)}")
        return OnDevice(self.place, self.dtype, tuple(shape))

    def as_array(self) -> Array:
        """Pass for an array, where ``Tensor`` wants one."""
        return cast("Array", self)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:  # noqa: FBT001 - numpy's
        """Copy the elements to the host."""
        if copy is False:
            raise ValueError("elements on a GPU can only be copied")
        array = np.empty(self.shape, self.dtype)
        if array.nbytes:
            self.place.read(array.reshape(-1).view(np.uint8).data)
        return array if dtype is None else array.astype(dtype, copy=False)


def place_of(array: object) -> Place | None:
    """Say where on a GPU an array's elements lie; None for one on the host."""
    return array.place if isinstance(array, OnDevice) else None


def on_host(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """Give arrays to somebody who needs their elements."""
    if any(place_of(array) is not None for array in arrays.values()):
        return {name: np.asarray(array) for name, array in arrays.items()}
    return arrays


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output the client asks for by name, and the form it wants it in.

    ``binary`` matters to HTTP only (gRPC tensors are always raw bytes). ``classification``
    above 0 asks for the top k classes as strings. A ``span`` is where the elements go instead of
    into the answer, and ``place`` where on a GPU that is, for a model that can write there itself.
    """

    name: str
    binary: bool = False
    classification: int = 0
    span: Span | None = None
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """One inference request, whatever protocol it came by.

    An empty ``outputs`` asks for every output of the model, ``binary_default`` saying in
    which form. ``timeout_us`` bounds the time in the queue; 0 means no bound. A
    ``sequence_id`` of 0 or "" means that it belongs to no sequence. ``call`` is the number of the
    call from inside the server that brought it (``engine.waits``); 0 is a client's.
    """

    inputs: tuple[Tensor, ...]
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    binary_default: bool = False
    priority: int = 0
    timeout_us: int = 0
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResponse:
    """What a model answered. ``outputs`` stand in the order in which the model gave them.

    ``empty`` marks the end of a decoupled model's answers that is no answer itself.
    ``elsewhere`` names those whose elements were put where the client asked for them (a ``span``),
    and which the answer itself does not carry.
    """

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    empty: bool = False
    elsewhere: frozenset[str] = frozenset()
