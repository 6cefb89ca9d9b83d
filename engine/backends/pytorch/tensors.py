"""The way between the engine's arrays and PyTorch's tensors; on the CPU nothing is copied.

Arrays of bit patterns stand for BF16, which numpy does not know, and lists of texts for BYTES.
An array is copied where it is not aligned, where its strides are not PyTorch's, and where the
model writes to its inputs: they may be somebody else's too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.errors import Internal, InvalidArgument
from engine.types import Array, DType

_DTYPES = {
    torch.bool: DType.BOOL,
    torch.uint8: DType.UINT8,
    torch.uint16: DType.UINT16,
    torch.uint32: DType.UINT32,
    torch.uint64: DType.UINT64,
    torch.int8: DType.INT8,
    torch.int16: DType.INT16,
    torch.int32: DType.INT32,
    torch.int64: DType.INT64,
    torch.float16: DType.FP16,
    torch.float32: DType.FP32,
    torch.float64: DType.FP64,
    torch.bfloat16: DType.BF16,
}

# An input is often a part of a message, which is read-only. PyTorch warns of that once in a
# process; those models that write have copies, so there is nothing to warn of.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.from_numpy(np.frombuffer(bytes(1), np.uint8))


def dtype_of(tensor: Any) -> DType | None:  # noqa: ANN401 - untyped library
    """Tell a tensor's type; None if the V2 protocol has none for it."""
    return _DTYPES.get(tensor.dtype)


def to_torch(name: str, array: Array, dtype: DType | None, *, own: bool) -> Any:  # noqa: ANN401 - untyped library
    """Make a tensor of an array, or a list of texts; it has memory of its ``own`` if so.

    Raises:
        InvalidArgument: a string is not UTF-8, or the strings have more than one dimension.
    """
    if dtype is DType.BYTES:
        return _texts(name, array)
    if own:
        array = array.copy()
    elif not (array.flags.c_contiguous and array.flags.aligned):
        array = np.ascontiguousarray(array)
        array = array if array.flags.aligned else array.copy()
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype is DType.BF16 else tensor


def to_array(name: str, result: Any, dtype: DType | None, *, own: bool) -> Array:  # noqa: ANN401 - untyped library
    """Make an array of what a model gave; it has memory of its ``own`` if so.

    Raises:
        Internal: it is not what the configuration says.
    """
    if not isinstance(result, torch.Tensor):
        return _strings(name, result, dtype)
    given = dtype_of(result)
    if given is not dtype:
        word = str(result.dtype) if given is None else _word(given)
        raise Internal(
            f"unexpected datatype {word} for inference output '{name}', expecting"
            f" {_word(dtype)}; write what the model gives in config.pbtxt"
        )
    result = result.detach().cpu().contiguous()
    if dtype is DType.BF16:
        result = result.view(torch.uint16)
    array: Array = result.numpy()
    return array.copy() if own else array


def _word(dtype: DType | None) -> str:
    return "TYPE_INVALID" if dtype is None else dtype.config_name


def _texts(name: str, array: Array) -> list[str]:
    if array.ndim != 1:
        raise InvalidArgument(
            f"input '{name}': Triton only supports 1 dimensional List of String as input, found"
            f" shape {list(array.shape)}"
        )
    texts: list[str] = []
    for place, element in enumerate(array):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError as fault:
            raise InvalidArgument(
                f"input '{name}', element {place}: not UTF-8 text ({fault.reason} at byte"
                f" {fault.start}); PyTorch's strings are UTF-8"
            ) from fault
    return texts


def _strings(name: str, result: object, dtype: DType | None) -> Array:
    texts = isinstance(result, Sequence) and all(isinstance(one, str) for one in result)
    if not texts or dtype is not DType.BYTES:
        raise Internal(
            f"output '{name}' should be {_word(dtype)}, and the model gave a"
            f" {type(result).__name__} of Python's; only tensors and lists of strings are served"
        )
    assert isinstance(result, Sequence)
    strings = np.empty(len(result), object)
    strings[:] = [text.encode() for text in result]
    return strings
