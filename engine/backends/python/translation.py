"""Tensors and errors, between the engine's form and that of Python models. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from engine.backends.python.errors import TritonError
from engine.backends.python.tensors import BF16, TYPES, Tensor
from engine.errors import (
    AlreadyExists,
    Cancelled,
    Code,
    EngineError,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from engine.types import DType
from engine.types import Tensor as EngineTensor

#: the engine's errors for Triton's codes
ERRORS: Mapping[int, type[EngineError]] = {
    TritonError.UNKNOWN: EngineError,
    TritonError.INTERNAL: Internal,
    TritonError.NOT_FOUND: NotFound,
    TritonError.INVALID_ARG: InvalidArgument,
    TritonError.UNAVAILABLE: Unavailable,
    TritonError.UNSUPPORTED: Unsupported,
    TritonError.ALREADY_EXISTS: AlreadyExists,
    TritonError.CANCELLED: Cancelled,
}
#: and the other way round
CODES: Mapping[Code, int] = {kind.code: number for number, kind in ERRORS.items()}
_DTYPES = {
    **{
        number: next(one for one in DType if one is not DType.BF16 and one.numpy == kind)
        for number, kind in TYPES.items()
    },
    BF16: DType.BF16,
}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}


def to_engine(tensor: Tensor) -> EngineTensor:
    """Give a model's tensor to the engine, as it is."""
    return EngineTensor(tensor.name(), _DTYPES[tensor.triton_dtype()], tensor.carried)


def from_engine(tensor: EngineTensor) -> Tensor:
    """Give a tensor to a model, which can only read it."""
    array = tensor.array
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return Tensor.of(tensor.name, _NUMBERS[tensor.dtype], array)
