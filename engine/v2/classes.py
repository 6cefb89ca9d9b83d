"""The classification extension: a tensor's greatest values as strings, ``value:index[:label]``.

Owns their order, form and number. Does not own where labels come from. Rules, from Triton:

1. the greatest first, of equal ones the first; NaN counts as less than any number;
2. a value is spelled as C++'s ``std::to_string`` does: six decimals for a floating one, all digits
   for a whole one;
3. an index beyond the labels, or whose label is empty, has none, and no colon for it;
4. the shape is [rows, classes] where the model batches, else [classes]: never more classes than
   there are elements.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InvalidArgument
from engine.types import DType, Tensor
from engine.v2.binary import strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.types import Array

#: Triton ranks no more elements.
MOST_ELEMENTS = 1_000_000

_FLOATS = frozenset({DType.FP32, DType.FP64})
_UNRANKED = frozenset({DType.BYTES, DType.FP16, DType.BF16, DType.BOOL})


def check_type(dtype: DType) -> None:
    """Let a type pass whose values can be ranked.

    Raises:
        InvalidArgument: they cannot.
    """
    if dtype in _UNRANKED:
        raise InvalidArgument(
            f"class result not available for output due to unsupported type '{dtype.value}'"
        )


def classify(tensor: Tensor, count: int, labels: Sequence[bytes], *, batched: bool) -> Tensor:
    """Make the BYTES tensor of the ``count`` greatest values of each row.

    Raises:
        InvalidArgument: the type cannot be ranked, or there are too many elements.
    """
    check_type(tensor.dtype)
    shape = tensor.array.shape
    rows = shape[:1] if batched else ()
    elements = prod(shape[len(rows) :])
    if elements > MOST_ELEMENTS:
        raise InvalidArgument(
            f"classification of output '{tensor.name}' is limited to {MOST_ELEMENTS} elements, "
            f"and it has {elements}"
        )
    chosen = min(count, elements)
    floating = tensor.dtype in _FLOATS
    found: list[bytes] = []
    for row in tensor.array.reshape((prod(rows), elements)):
        order = _greatest(row, chosen, floating=floating)
        found += [
            _spell(value, index, labels)
            for value, index in zip(row[order].tolist(), order.tolist(), strict=True)
        ]
    return Tensor(tensor.name, DType.BYTES, strings(found).reshape((*rows, chosen)))


def _greatest(row: Array, count: int, *, floating: bool) -> Array:
    """Find the indices of the ``count`` greatest values, in order."""
    # Both turn the order round without leaving the type: -x overflows for the least integer.
    keys = -row if floating else ~row
    if count * 8 >= len(keys):
        return np.argsort(keys, kind="stable")[:count]
    # Sorting a million elements for a few of them would hold the loop up.
    bound = np.partition(keys, count - 1)[count - 1] if count else keys[:0]
    candidates = np.flatnonzero(keys <= bound) if count else np.empty(0, np.intp)
    if len(candidates) < count:  # the bound is NaN, which is less than nothing
        return np.argsort(keys, kind="stable")[:count]
    return candidates[np.argsort(keys[candidates], kind="stable")[:count]]


def _spell(value: float, index: int, labels: Sequence[bytes]) -> bytes:
    number = f"{value:.6f}" if isinstance(value, float) else str(value)
    label = labels[index] if index < len(labels) else b""
    spelled = f"{number}:{index}".encode()
    return b"%b:%b" % (spelled, label) if label else spelled
