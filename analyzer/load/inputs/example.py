"""An example of a JSON file of samples for a model, to begin from. Pure."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.load.inputs.fields import FLOATS, Field, Takes
from analyzer.load.payload import Texts, make
from engine.types import DType, TensorSpec
from engine.v2.binary import encode

if TYPE_CHECKING:
    from engine.types import Tensor

#: more values than this are written as base64: nobody edits so many by hand
MOST_VALUES = 256
#: requests in each sequence of an example
LENGTH = 3
_STRING_LENGTH = 16


def example(model: Takes, samples: int, seed: int) -> str:
    """Write so many samples, filled at random, as ``--input-data`` reads them.

    For a model that keeps sequences they are so many streams. Open dimensions are 1, and the shape
    is said wherever it is open.
    """
    count = samples * LENGTH if model.sequences else samples
    entries = [_sample(model, seed + number) for number in range(count)]
    if model.sequences:
        starts = range(0, count, LENGTH)
        streams = [_lines(entries[start : start + LENGTH], 3) for start in starts]
        body = _joined([f"[\n{stream}\n  ]" for stream in streams], 2)
    else:
        body = _lines(entries, 2)
    return f'{{"data": [\n{body}\n]}}\n'


def _lines(entries: list[dict[str, Any]], indent: int) -> str:
    """Write a sample in a line each."""
    return _joined([json.dumps(entry) for entry in entries], indent)


def _joined(texts: list[str], indent: int) -> str:
    return ",\n".join(f"{' ' * indent}{text}" for text in texts)


def _sample(model: Takes, seed: int) -> dict[str, Any]:
    specs = [
        TensorSpec(field.name, field.dtype, tuple(1 if size < 0 else size for size in field.dims))
        for field in model.inputs
    ]
    made = make(specs, "random", seed, Texts(length=_STRING_LENGTH))
    return {
        field.name: _tensor(field, tensor)
        for field, tensor in zip(model.inputs, made.inputs, strict=True)
    }


def _tensor(field: Field, tensor: Tensor) -> Any:  # noqa: ANN401 - any JSON
    content: Any
    array = tensor.array
    if array.size > MOST_VALUES and field.dtype is not DType.BYTES:
        content = {"b64": base64.b64encode(encode(tensor)).decode()}
    else:
        content = _values(field, tensor)
    if all(size >= 0 for size in field.dims):
        return content
    return {"content": content, "shape": list(array.shape)}


def _values(field: Field, tensor: Tensor) -> list[Any]:
    array = tensor.array.ravel()
    if field.dtype is DType.BYTES:
        return [each.decode() for each in array]
    if field.dtype is DType.BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if field.dtype in FLOATS:
        return [float(f"{each:.6g}") for each in array.astype(np.float64)]
    found: list[Any] = array.tolist()
    return found
