"""Where text is: from a text detector's map of probabilities to boxes, in numpy alone.

Owns: the step that follows a detector of the kind of DB (Liao et al., arXiv 1911.08947): threshold,
connected components, the box of each, its score, and growing it again, since such a detector is
trained to mark less than the text. Boxes stand upright: text that runs straight up, down or upside
down is turned later, text at another angle is not read. Does not own: images. It imports nothing of
the engine: the example ``ocr`` puts this file beside a ``model.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD, LEAST_SCORE, LEAST_SIDE = 0.3, 0.6, 3
#: how far a box grows: this times its area, divided by its circumference
GROWTH = 1.6


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; ``right`` and ``bottom`` are the first that do not belong to it."""

    left: int
    top: int
    right: int
    bottom: int
    score: float

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top


def find_boxes(chances: NDArray[Any], height: int, width: int) -> list[Box]:
    """Find text in a map [rows, columns] of how likely each point is text.

    Returns:
        boxes in an image of ``height`` times ``width`` pixels, of which the map is a smaller
        picture, in the order in which they are read: line by line, from left to right.
    """
    found = [
        _grown(box, chances.shape, (height, width))
        for box in components(chances > THRESHOLD, chances)
        if box.score >= LEAST_SCORE and min(box.right - box.left, box.height) >= LEAST_SIDE
    ]
    return in_lines(found)


def components(mask: NDArray[Any], chances: NDArray[Any]) -> list[Box]:
    """Find what hangs together in ``mask`` (corners touch, too), and its mean in ``chances``."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    if not len(row):
        return []
    _, label = np.unique(_joined(row, start, end), return_inverse=True)
    sums = np.pad(np.cumsum(chances, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    count = label.max() + 1
    total = np.bincount(label, sums[row, end] - sums[row, start], count)
    points = np.bincount(label, end - start, count)
    low = np.full((2, count), np.iinfo(np.int64).max)
    high = np.zeros((2, count), np.int64)
    for axis, (least, most) in enumerate(((start, end), (row, row + 1))):
        np.minimum.at(low[axis], label, least)
        np.maximum.at(high[axis], label, most)
    means = total / points
    return [
        Box(int(low[0, i]), int(low[1, i]), int(high[0, i]), int(high[1, i]), float(means[i]))
        for i in range(count)
    ]


def _joined(row: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> NDArray[Any]:
    """Give each run of points the number of one run of its component (disjoint sets)."""
    parent = list(range(len(row)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    rows, starts, ends = row.tolist(), start.tolist(), end.tolist()
    above = 0  # the first run of the row before that may still touch
    for run in range(len(rows)):
        while rows[above] < rows[run] - 1 or (
            rows[above] == rows[run] - 1 and ends[above] < starts[run]
        ):
            above += 1
        other = above
        while rows[other] == rows[run] - 1 and starts[other] <= ends[run]:
            parent[root(other)] = root(run)
            other += 1
    return np.array([root(run) for run in range(len(rows))])


def _grown(box: Box, small: tuple[int, ...], large: tuple[int, int]) -> Box:
    """Grow a box of the map and carry it over to the image."""
    wide, high = box.right - box.left, box.height
    more = GROWTH * wide * high / (2 * (wide + high))
    down, across = large[0] / small[0], large[1] / small[1]
    return Box(
        max(0, round((box.left - more) * across)),
        max(0, round((box.top - more) * down)),
        min(large[1], round((box.right + more) * across)),
        min(large[0], round((box.bottom + more) * down)),
        box.score,
    )


def in_lines(boxes: list[Box]) -> list[Box]:
    """Sort boxes as they are read: one whose middle is above a line's end belongs to that line."""
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda one: (one.top + one.bottom, one.left)):
        if lines and box.top + box.bottom < 2 * lines[-1][0].bottom:
            lines[-1].append(box)
        else:
            lines.append([box])
    return [box for line in lines for box in sorted(line, key=lambda one: one.left)]
