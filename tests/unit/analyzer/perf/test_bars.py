import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.perf.bars import MOST_ROWS, bars_of, drawn, spelt_ns

LATENCIES = st.lists(st.integers(1, 10**11), min_size=1, max_size=60)


@given(LATENCIES)
def test_every_latency_is_in_one_row_and_every_mark_too(found: list[int]) -> None:
    rows = bars_of(np.array(found, np.int64))
    assert len(rows) <= MOST_ROWS + 1
    assert sum(row.count for row in rows) == len(found)
    bounds = [row.up_to_ns for row in rows]
    assert bounds == sorted(bounds)
    assert bounds[-1] >= max(found)
    assert [mark for row in rows for mark in row.marks] == ["p50", "p90", "p95", "p99", "max"]


@given(LATENCIES, st.integers(60, 140))
def test_lines_fit_the_width_and_no_count_is_drawn_as_none(found: list[int], width: int) -> None:
    rows = bars_of(np.array(found, np.int64))
    lines = drawn(rows, width)
    assert len(lines) == len(rows)
    assert all(len(line) <= width for line in lines)
    for row, line in zip(rows, lines, strict=True):
        assert any(each in line for each in "▏▎▍▌▋▊▉█") == (row.count > 0)


def test_it_is_read_at_a_glance() -> None:
    latency = np.array([900_000] * 90 + [1_900_000] * 9 + [7_000_000], np.int64)
    assert drawn(bars_of(latency), 50) == [
        "   1 ms ██████████████████████ 90  90.0%  p50, p90",
        "1.25 ms",
        " 1.6 ms",
        "   2 ms ██▎                     9   9.0%  p95, p99",
        " 2.5 ms",
        " 3.2 ms",
        "   4 ms",
        "   5 ms",
        " 6.3 ms",
        "   8 ms ▎                       1   1.0%  max",
    ]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(640_000, "640 us"), (1_250_000, "1.25 ms"), (2e9, "2 s"), (999_900, "1 ms"), (500, "0.5 us")],
)
def test_times_are_spelt_in_the_unit_that_keeps_them_short(ns: float, text: str) -> None:
    assert spelt_ns(ns) == text


def test_nothing_is_drawn_of_nothing() -> None:
    assert bars_of(np.empty(0, np.int64)) == ()
    assert drawn((), 80) == []


def test_latencies_close_together_are_told_apart() -> None:
    latency = np.linspace(57.1e6, 61.3e6, 200).astype(np.int64)
    rows = bars_of(latency)
    assert 8 <= len(rows) <= 10
    assert max(row.count for row in rows) < 40
    assert spelt_ns(rows[-1].up_to_ns) == "61.3 ms"
