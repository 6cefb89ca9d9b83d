from __future__ import annotations

import math

from analyzer.statistics.estimate import Estimate


def between(low: float, high: float, value: float = 10) -> Estimate:
    return Estimate(value=value, low=low, high=high, confidence=0.95, n=5, effective_n=5.0)


def test_widths_are_halves_and_shares() -> None:
    assert (between(9, 13).half_width, between(9, 13).relative) == (2, 0.2)
    assert between(10, 10).relative == 0
    assert between(-1, 1, value=0).relative == math.inf
    assert between(9, math.inf).relative == math.inf


def test_intervals_overlap_where_they_have_a_point_in_common() -> None:
    assert between(1, 3).overlaps(between(3, 4))
    assert between(3, 4).overlaps(between(1, 3))
    assert between(1, 9).overlaps(between(4, 5))
    assert not between(1, 2).overlaps(between(3, math.inf))


def test_an_interval_holds_its_ends() -> None:
    assert between(1, 3).holds(3)
    assert not between(1, 3).holds(3.1)
