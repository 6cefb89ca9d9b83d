"""How far answers lie apart, by figures that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analyzer.accuracy.distance import Answer, compare, spread
from analyzer.record.accuracy import Compared
from engine.types import DType, Tensor


def answer(values: Any, dtype: DType = DType.FP32, name: str = "y") -> Answer:
    return {name: Tensor(name, dtype, np.asarray(values, dtype.numpy))}


def one(left: Any, right: Any, dtype: DType = DType.FP32) -> Compared:
    found = compare([answer(each, dtype) for each in left], [answer(each, dtype) for each in right])
    return found["y"]


def test_the_error_is_the_greatest_difference_by_the_greatest_element_of_all_samples() -> None:
    found = one([[[1.0, -4.0]], [[2.0, 0.0]]], [[[1.0, -4.0]], [[2.5, -0.5]]])
    assert found.error == pytest.approx(0.5 / 4.0)
    assert found.cosine == pytest.approx(2.5 / np.hypot(2.5, 0.5))


def test_another_class_on_top_counts_by_the_lead_that_was_lost() -> None:
    found = one([[[3.0, 1.0, 0.0]], [[1.0, 2.0, 0.0]]], [[[3.0, 1.0, 0.0]], [[2.5, 2.0, 0.0]]])
    assert found.top1 == 0.5
    assert found.lost == pytest.approx(1.0 / 3.0)
    assert one([[[1.0, 2.0]]], [[[1.0, 2.1]]]).lost == 0.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 2, 3), (2, 3), ()])
def test_only_a_row_of_scores_has_a_class_on_top(shape: tuple[int, ...]) -> None:
    assert one([np.ones(shape)], [np.ones(shape)]).top1 is None
    assert one([np.ones((5,))], [np.ones((5,))]).top1 == 1.0


def test_where_the_default_is_all_zero_errors_are_as_large_as_they_are() -> None:
    assert one([np.zeros((1, 2, 2))], [np.full((1, 2, 2), 0.25)]).error == 0.25
    assert one([np.zeros((1, 2, 2))], [np.zeros((1, 2, 2))]).error == 0.0


def test_what_is_not_finite_must_be_so_on_both_sides() -> None:
    nan, inf = float("nan"), float("inf")
    assert one([[nan, inf, 1.0]], [[nan, inf, 1.0]]).error == 0.0
    assert "not finite" in one([[nan, 1.0]], [[0.0, 1.0]]).fault
    assert "not finite" in one([[1.0, 1.0]], [[inf, 1.0]]).fault
    assert "not finite" in one([[inf, 1.0]], [[-inf, 1.0]]).fault


def test_integers_and_strings_differ_or_do_not() -> None:
    assert one([[1, 2], [3, 4]], [[1, 2], [3, 5]], DType.INT64) == Compared(error=0.25)
    assert one([[b"a", b"b"]], [[b"a", b"c"]], DType.BYTES).error == 0.5


def test_bfloat16_is_a_pattern_of_bits() -> None:
    # 1.0, 2.0 and 2.015625 as bfloat16
    left, right = [[0x3F80, 0x4000]], [[0x3F80, 0x4001]]
    assert one(left, right, DType.BF16).error == pytest.approx(0.015625 / 2.0)


def test_an_output_that_is_missing_or_of_another_shape_cannot_be_compared() -> None:
    assert compare([answer([1.0])], [answer([1.0], name="z")])["y"].error is None
    assert "the shape [3] in place of [2]" in one([[1.0, 2.0]], [[1.0, 2.0, 3.0]]).fault


def test_the_spread_says_how_unlike_the_samples_are() -> None:
    assert spread([answer([[4.0, 0.0]]), answer([[4.0, 1.0]]), answer([[3.0, 0.0]])]) == 0.25
    assert spread([answer([[4.0, 0.0]])]) is None


_rows = arrays(np.float32, (1, 6), elements=st.floats(-100, 100, width=32))


@settings(max_examples=50)
@given(st.lists(_rows, min_size=1, max_size=3), st.floats(0, 0.1))
def test_equal_answers_are_equal_and_a_shift_is_found_whole(left: list[Any], share: float) -> None:
    same = one(left, left)
    assert (same.error, same.top1, same.lost) == (0.0, 1.0, 0.0)
    assert same.cosine == pytest.approx(1.0)
    scale = max(float(np.abs(each).max()) for each in left) or 1.0
    shifted = one(left, [each.astype(np.float64) + share * scale for each in left], DType.FP64)
    assert shifted.error == pytest.approx(share, abs=1e-6)
