from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.perf.levels import Bisection, Levels, Walk
from analyzer.perf.options import Range


def walked(levels: Levels, kept: Callable[[float], bool]) -> list[float]:
    tried: list[float] = []
    while (level := levels.ask()) is not None:
        assert levels.ask() == level
        tried.append(level)
        assert len(tried) < 1000
        levels.tell(level, kept=kept(level))
    return tried


@pytest.mark.parametrize(
    ("levels", "tried"),
    [
        (Range(start=1, end=4, step=1), [1, 2, 3, 4]),
        (Range(start=1, end=8, step=3), [1, 4, 7]),
        (Range(start=5, end=1, step=1), [5]),
        (Range(start=0.1, end=0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
)
def test_a_walk_goes_in_steps_from_the_start_to_the_end(levels: Range, tried: list[float]) -> None:
    assert walked(Walk(levels), lambda _: True) == pytest.approx(tried)


def test_a_walk_without_an_end_stops_at_the_first_level_over_the_threshold() -> None:
    assert walked(Walk(Range(start=2, end=0, step=2)), lambda level: level < 7) == [2, 4, 6, 8]


@given(st.integers(1, 50), st.integers(1, 200), st.integers(1, 9), st.integers(0, 260))
def test_bisection_finds_the_highest_level_that_is_kept_to_within_the_step(
    start: int, width: int, step: int, limit: int
) -> None:
    end = start + width
    search = Bisection(Range(start=start, end=end, step=step), whole=True)
    tried = walked(search, lambda level: level <= limit)
    assert tried[0] == start
    assert all(level == int(level) for level in tried)
    if limit < start:
        assert tried == [start]
        assert search.best is None
    elif limit >= end:
        assert tried == [start, end]
        assert search.best == end
    else:
        assert search.best is not None
        assert search.best <= limit < search.best + max(step, 1)
