"""Classification: order, spelling, labels, shapes, refusals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidArgument
from engine.types import DType, Tensor
from engine.v2.classes import MOST_ELEMENTS, classify

LABELS = (b"zero", b"", "zw\u00f6lf".encode())


def top(
    values: Any, count: int, labels: tuple[bytes, ...] = (), *, batched: bool = False
) -> list[Any]:
    array = np.array(values)
    dtype = next(dtype for dtype in DType if dtype.numpy == array.dtype)
    got = classify(Tensor("y", dtype, array), count, labels, batched=batched)
    assert got.dtype is DType.BYTES
    found: list[Any] = np.vectorize(bytes.decode, otypes=[object])(got.array).tolist()
    return found


def test_the_greatest_come_first_with_six_decimals() -> None:
    values = np.array([0.5, 1e20, -0.0, 1e-9, 0.1], np.float32)
    assert top(values, 9) == [
        "100000002004087734272.000000:1", "0.500000:0", "0.100000:4", "0.000000:3", "-0.000000:2",
    ]  # fmt: skip
    assert top(np.array([0.1, np.inf, np.nan, -np.inf]), 4) == [
        "inf:1",
        "0.100000:0",
        "-inf:3",
        "nan:2",
    ]


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.uint64])
def test_whole_numbers_are_spelled_whole(kind: Any) -> None:
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    assert top(np.array([3, low, high], kind), 3) == [f"{high}:2", "3:0", f"{low}:1"]


def test_a_label_that_is_not_there_adds_no_colon() -> None:
    assert top([4, 3, 2, 1], 4, LABELS) == ["4:0:zero", "3:1", "2:2:zw\u00f6lf", "1:3"]


def test_of_equal_ones_the_first_comes_first() -> None:
    assert top([1, 2, 2, 1], 3) == ["2:1", "2:2", "1:0"]
    assert top([7] * 100, 2) == ["7:0", "7:1"]


def test_shapes_follow_the_batch() -> None:
    values = [[[1, 4], [3, 2]], [[0, 0], [0, 9]]]
    assert top(values, 2, batched=True) == [["4:1", "3:2"], ["9:3", "0:0"]]
    assert top(values, 2) == ["9:7", "4:1"]
    assert top(np.zeros((2, 0), np.float32), 3, batched=True) == [[], []]
    assert top(np.float32(0.25), 3) == ["0.250000:0"]


@pytest.mark.parametrize("dtype", [DType.BYTES, DType.FP16, DType.BF16, DType.BOOL])
def test_types_that_have_no_order_are_refused(dtype: DType) -> None:
    with pytest.raises(InvalidArgument) as caught:
        classify(Tensor("y", dtype, np.zeros(2, dtype.numpy)), 1, (), batched=False)
    text = f"class result not available for output due to unsupported type '{dtype.value}'"
    assert caught.value.message == text


def test_a_million_elements_are_ranked_and_no_more() -> None:
    array = np.zeros(MOST_ELEMENTS, np.float32)
    array[77] = 1
    assert top(array, 2) == ["1.000000:77", "0.000000:0"]
    with pytest.raises(InvalidArgument, match="limited to 1000000 elements"):
        top(np.zeros(MOST_ELEMENTS + 1, np.float32), 1)


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=60)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60),
    st.integers(1, 70),
)
def test_few_of_many_are_those_of_a_whole_ranking(values: list[float], count: int) -> None:
    whole = top(values, len(values))
    assert top(values, count) == whole[:count]
