import re
from typing import Any

import numpy as np
import pytest

from analyzer.load.inputs.answers import differs, wrong
from engine.types import DType, InferResponse, Tensor


@pytest.mark.parametrize(
    ("dtype", "expected", "found", "text"),
    [
        (DType.FP32, [1.0, 2.0], [1.0, 2.00001], ""),
        (DType.FP32, [1.0, 2.0], [1.0, 2.1], "expected 2.0 at \\[1\\], found 2.09.*1 of 2"),
        (DType.FP32, [float("nan")], [float("nan")], ""),
        (DType.INT32, [1, 2], [1, 3], "at \\[1\\]"),
        (DType.BYTES, [b"a"], [b"b"], "expected b'a' at \\[0\\], found b'b'"),
        (DType.INT32, [1], [1, 1], "expected shape \\[1\\], found \\[2\\]"),
    ],
)
def test_answers_are_compared_by_value(dtype: DType, expected: Any, found: Any, text: str) -> None:
    left, right = (np.array(each, dtype.numpy) for each in (expected, found))
    told = differs(Tensor("Y", dtype, left), right)
    assert bool(told) == bool(text)

    assert re.search(text, told)


def test_an_output_that_is_missing_or_wrong_is_told_by_name() -> None:
    one = Tensor("Y", DType.INT32, np.array([1], np.int32))
    other = Tensor("Z", DType.INT32, np.array([2], np.int32))
    response = InferResponse(model="m", version="1", outputs=(one,))
    assert wrong((one,), response) == ""
    assert wrong((one, other), response) == "Z: is not among the outputs, Y"
    changed = Tensor("Y", DType.INT32, np.array([3], np.int32))
    assert wrong((changed,), response) == "Y: expected 3 at [0], found 1 (1 of 1 values differ)"
