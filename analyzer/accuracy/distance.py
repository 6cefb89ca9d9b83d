"""How far two sets of answers lie apart. Pure.

Rules, for each output over all samples:

1. Of floating point numbers the error is the greatest difference of two elements as a share of the
   output's *scale*, the greatest element of the reference over all samples: relative errors of
   single elements say nothing near zero. A NaN or an infinity has to be the same on both sides.
2. The error does not see what happens far below the greatest element, so the cosine similarity of
   each sample is looked at as well.
3. An output with one score by class for each sample (a row of at least two) has a class on top.
   Where another class wins, it matters by how much the reference's was ahead: a lead of a hair says
   that the sample does not tell the classes apart.
4. Of anything else (integers, strings) the error is the share of elements that differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analyzer.record.accuracy import Compared
from engine.types import Array, DType, Tensor

#: the outputs of one sample, by name
Answer = Mapping[str, Tensor]

_FLOATS = frozenset({DType.FP16, DType.BF16, DType.FP32, DType.FP64})
_CLASSES = 2


def compare(reference: Sequence[Answer], found: Sequence[Answer]) -> Mapping[str, Compared]:
    """Compare the answers to the same samples, output by output of the reference's."""
    names = dict.fromkeys(name for answer in reference for name in answer)
    return {name: _output(name, reference, found) for name in names}


def spread(reference: Sequence[Answer]) -> float | None:
    """Return how far answers to different samples lie apart, as a share of the scale.

    Of the output that tells samples apart best. None where samples are fewer than two, or no
    output can be compared among them.
    """
    if len(reference) < 2:  # noqa: PLR2004 - one and another
        return None
    first, *others = reference
    known = [(_of(name, [first] * len(others), others)).error for name in first]
    return max((each for each in known if each is not None), default=None)


def _output(name: str, reference: Sequence[Answer], found: Sequence[Answer]) -> Compared:
    if any(name not in answer for answer in found):
        return Compared(error=None, fault="is not among its outputs")
    return _of(name, reference, found)


def _of(name: str, reference: Sequence[Answer], found: Sequence[Answer]) -> Compared:
    pairs = [(left[name], right[name]) for left, right in zip(reference, found, strict=True)]
    for left, right in pairs:
        if left.array.shape != right.array.shape:
            shapes = f"{list(right.array.shape)} in place of {list(left.array.shape)}"
            return Compared(error=None, fault=f"has the shape {shapes}")
    if not {each.dtype for pair in pairs for each in pair} <= _FLOATS:
        differing = sum(int(np.sum(left.array != right.array)) for left, right in pairs)
        whole = sum(left.array.size for left, _ in pairs)
        return Compared(error=differing / max(1, whole))
    return _floats([(_wide(left), _wide(right)) for left, right in pairs])


def _floats(pairs: Sequence[tuple[Array, Array]]) -> Compared:
    scale = max((_greatest(left) for left, _ in pairs), default=0.0) or 1.0
    differences = [_greatest_difference(left, right) for left, right in pairs]
    if any(each is None for each in differences):
        return Compared(error=None, fault="is not finite where the default's is, or the reverse")
    error = max((each for each in differences if each is not None), default=0.0) / scale
    cosine = min((_cosine(left, right) for left, right in pairs), default=1.0)
    if not all(_is_scores(left) for left, _ in pairs):
        return Compared(error=error, cosine=cosine)
    leads = [_lost(left.reshape(-1), right.reshape(-1)) for left, right in pairs]
    kept = sum(each is None for each in leads)
    lost = max((each for each in leads if each is not None), default=0.0)
    return Compared(error=error, cosine=cosine, top1=kept / len(pairs), lost=lost / scale)


def _wide(tensor: Tensor) -> Array:
    array = np.asarray(tensor.array)
    if tensor.dtype is DType.BF16:
        # A bfloat16 is the upper half of a float32.
        array = (array.astype(np.uint32) << 16).view(np.float32)
    wide: Array = array.astype(np.float64)
    return wide


def _greatest(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return float(np.max(np.abs(finite), initial=0.0))


def _greatest_difference(left: Array, right: Array) -> float | None:
    """Return the greatest difference of finite elements; None where the others are not the same."""
    finite = np.isfinite(left) & np.isfinite(right)
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
        return None
    return float(np.max(np.abs(left[finite] - right[finite]), initial=0.0))


def _cosine(left: Array, right: Array) -> float:
    finite = np.isfinite(left) & np.isfinite(right)
    one, other = left[finite], right[finite]
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return 1.0 if lengths == (0.0, 0.0) else 0.0
    return min(1.0, float(one @ other) / (lengths[0] * lengths[1]))


def _is_scores(array: Array) -> bool:
    """Whether it is one row of scores by class."""
    return array.ndim > 0 and array.shape[-1] == array.size >= _CLASSES


def _lost(left: Any, right: Any) -> float | None:  # noqa: ANN401 - rows of floats
    """Return the lead of the reference's class over the one that won; None where it won itself."""
    ours, theirs = int(np.argmax(left)), int(np.argmax(right))
    return None if ours == theirs else float(left[ours] - left[theirs])
