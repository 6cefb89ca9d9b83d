"""Boxes of text out of a detector's map, held to a naive reading of "what hangs together"."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.examples._boxes import Box, components, find_boxes, in_lines
from engine.types import Array

MASKS = st.integers(1, 9).flatmap(
    lambda width: st.lists(
        st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=9
    )
)


def naive(mask: Array) -> set[tuple[int, int, int, int]]:
    """Flood from every point: eight neighbours hang together."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = set()
    while left:
        edge = [left.pop()]
        piece = list(edge)
        while edge:
            y, x = edge.pop()
            near = {(y + down, x + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            edge += near
            piece += near
        ys, xs = [y for y, _ in piece], [x for _, x in piece]
        found.add((min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return found


@given(rows=MASKS)
def test_components_are_what_a_flood_reaches(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    boxes = components(mask, mask.astype(np.float32))
    assert {(one.left, one.top, one.right, one.bottom) for one in boxes} == naive(mask)
    assert all(one.score == pytest.approx(1) for one in boxes)


def test_a_score_is_the_mean_of_what_hangs_together_and_of_nothing_else() -> None:
    chances = np.array([[0.4, 0.8, 0.0, 0.9], [0.0, 0.0, 0.0, 0.7]], np.float32)
    scores = {one.left: one.score for one in components(chances > 0.3, chances)}
    assert scores == {0: pytest.approx(0.6), 3: pytest.approx(0.8)}


def test_boxes_grow_and_are_carried_over_to_the_image_but_not_out_of_it() -> None:
    chances = np.zeros((40, 80), np.float32)
    chances[10:20, 2:62] = 0.9  # grows by 1.6 * 600 / 140 = 6.86
    chances[30:32, 70:72] = 0.9  # too small
    chances[30:36, 20:50] = 0.4  # too unsure
    (box,) = find_boxes(chances, 80, 240)
    assert (box.left, box.top, box.right, box.bottom) == (0, 6, round(68.857 * 3), 54)
    assert box.score == pytest.approx(0.9)
    assert find_boxes(np.zeros((4, 4), np.float32), 4, 4) == []


def test_boxes_are_read_line_by_line() -> None:
    def box(left: int, top: int) -> Box:
        return Box(left, top, left + 40, top + 20, 1.0)

    first, second, third, fourth = box(10, 12), box(100, 8), box(5, 50), box(60, 48)
    assert in_lines([fourth, third, second, first]) == [first, second, third, fourth]
