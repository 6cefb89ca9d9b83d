"""Curves from what batches took."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.simulation.curves import Sample, curve_of

sizes = st.integers(1, 64)


def samples(line: dict[int, float], count: float = 100.0) -> list[Sample]:
    return [Sample(rows, ns, count) for rows, ns in line.items()]


def test_a_straight_line_is_found_and_goes_on_beyond_what_was_seen() -> None:
    curve = curve_of(samples({rows: 1000 + 50.0 * rows for rows in (1, 3, 8, 16)}), 64)
    for rows in (1, 2, 5, 16, 40, 64):
        assert curve.at(rows) == pytest.approx(1000 + 50 * rows, rel=1e-6)


def test_a_knee_is_found_and_the_slope_beyond_it_goes_on() -> None:
    def time(rows: int) -> float:
        return 1000 + 10.0 * rows + 90.0 * max(0, rows - 8)

    curve = curve_of(samples({rows: time(rows) for rows in (1, 2, 4, 8, 12, 16, 24)}), 64)
    for rows in (1, 6, 8, 20, 64):
        assert curve.at(rows) == pytest.approx(time(rows), rel=0.01)


def test_a_size_that_was_hardly_seen_says_little() -> None:
    line = {rows: 1000 + 50.0 * rows for rows in (1, 2, 4, 8, 16)}
    odd = [*samples(line), Sample(6, 9000.0, 1.0)]
    assert curve_of(odd, 16).at(6) < 2000
    assert curve_of([*samples(line), Sample(6, 1500.0, 5000.0)], 16).at(6) > 1470


def test_one_size_alone_means_that_rows_cost_as_they_did() -> None:
    curve = curve_of([Sample(4, 4000.0, 10.0)], 8)
    assert curve.at(4) == pytest.approx(4000)
    assert curve.at(8) == pytest.approx(8000)


def test_without_samples_there_is_no_curve() -> None:
    with pytest.raises(ValueError, match="took some time"):
        curve_of([], 8)
    with pytest.raises(ValueError, match="took some time"):
        curve_of([Sample(1, 0.0, 3.0)], 8)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(Sample, sizes, st.floats(1e3, 1e9), st.floats(1, 1e5)), min_size=1, max_size=12
    ),
    sizes,
)
def test_whatever_was_seen_a_curve_is_positive_and_never_falls(
    seen: list[Sample], largest: int
) -> None:
    curve = curve_of(seen, largest)
    times = [curve.at(rows) for rows in range(1, 80)]
    assert times[0] > 0
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(times))
