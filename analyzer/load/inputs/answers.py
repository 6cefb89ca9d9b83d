"""Whether an answer is the expected one. Pure.

Floats may differ by what comes of adding in another order, as batches of another size do; all else
must be equal. A sender uses it, for which little is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.types import DType, InferResponse, Tensor

if TYPE_CHECKING:
    from engine.types import Array

_SHOWN = 60
#: how far an answer's floats may be from the expected, as a share of the larger of the two
TOLERANCE = {DType.FP16: 1e-2, DType.BF16: 5e-2, DType.FP32: 1e-4, DType.FP64: 1e-6}
#: and how far for numbers around zero
NEAR_ZERO = {DType.FP16: 1e-3, DType.BF16: 1e-2, DType.FP32: 1e-6, DType.FP64: 1e-9}


def wrong(expected: Sequence[Tensor], response: InferResponse) -> str:
    """Say what is wrong with an answer, output by output; "" where nothing is."""
    found = {tensor.name: tensor for tensor in response.outputs}
    told = []
    for tensor in expected:
        if tensor.name not in found:
            told.append(f"{tensor.name}: is not among the outputs, {', '.join(found) or 'none'}")
        elif difference := differs(tensor, found[tensor.name].array):
            told.append(f"{tensor.name}: {difference}")
    return "; ".join(told)


def differs(expected: Tensor, found: Array) -> str:
    """Say how an answer differs from the expected; "" where it does not."""
    wanted = expected.array
    if wanted.shape != found.shape:
        return f"expected shape {list(wanted.shape)}, found {list(found.shape)}"
    if expected.dtype in TOLERANCE:
        left, right = (_wide(expected.dtype, each) for each in (wanted, found))
        same = np.isclose(
            right,
            left,
            rtol=TOLERANCE[expected.dtype],
            atol=NEAR_ZERO[expected.dtype],
            equal_nan=True,
        )
    else:
        left, right = wanted, found
        same = np.asarray(left == right)
    if same.all():
        return ""
    first = tuple(int(place) for place in np.argwhere(~same)[0])
    return (
        f"expected {_plain(left[first])} at {list(first)}, found {_plain(right[first])} "
        f"({int((~same).sum())} of {same.size} values differ)"
    )


def _wide(dtype: DType, array: Array) -> Array:
    if dtype is DType.BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _plain(value: Any) -> str:  # noqa: ANN401 - an element of any array
    plain = repr(value.item() if isinstance(value, np.generic) else value)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."
