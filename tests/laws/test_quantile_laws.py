"""A window's quantiles are off by no more than they may be, and what is old is forgotten."""

from __future__ import annotations

import bisect
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.telemetry.quantiles import SLICES, WINDOW_NS, Window

pytestmark = pytest.mark.triton("12.9")
ERRORS = st.sampled_from([0.3, 0.1, 0.05, 0.02])
SECOND = 1_000_000_000


def observations(seed: int, count: int, shape: str) -> list[int]:
    random = np.random.default_rng(seed)
    match shape:
        case "rising":
            found = np.arange(count)
        case "falling":
            found = np.arange(count)[::-1]
        case "few":
            found = random.integers(0, 3, count)
        case _:
            found = np.exp(random.normal(10, 3, count))
    return [int(value) for value in found]


def rank_error(seen: list[int], answer: float, quantile: float) -> float:
    """By how much of the whole the answer's rank misses the wanted one; its rank is an interval."""
    ordered = sorted(seen)
    first = bisect.bisect_left(ordered, answer) / len(seen)
    last = bisect.bisect_right(ordered, answer) / len(seen)
    return max(first - quantile, quantile - last, 0.0)


@settings(max_examples=60, deadline=None)
@given(
    error=ERRORS,
    parts=st.lists(
        st.tuples(
            st.integers(0, 40),  # seconds that pass before
            st.integers(1, 4000),  # observations
            st.sampled_from(["rising", "falling", "few", "long tail"]),
        ),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 1000),
)
def test_no_rank_is_off_by_more_than_the_error_over_any_window(
    error: float, parts: list[tuple[int, int, str]], seed: int
) -> None:
    window, now_ns = Window(error), 7 * SECOND
    seen: list[tuple[int, list[int]]] = []
    for number, (seconds, count, shape) in enumerate(parts):
        now_ns += seconds * SECOND
        values = observations(seed + number, count, shape)
        for start in range(0, count, 61):
            window.extend(values[start : start + 61], now_ns)
        seen.append((now_ns, values))
        slice_ns = WINDOW_NS // SLICES
        oldest = now_ns // slice_ns - SLICES + 1
        recent = [one for at, some in seen if at // slice_ns >= oldest for one in some]
        wanted = (0.01, 0.5, 0.9, 0.99, 0.999)
        for quantile, answer in zip(wanted, window.seen(now_ns).quantiles(wanted), strict=True):
            assert answer in recent
            assert rank_error(recent, answer, quantile) <= error + 1 / len(recent)
    assert window.count == sum(len(some) for _, some in seen)
    assert window.sum == sum(sum(some) for _, some in seen)


def test_the_smallest_error_of_tritons_holds_for_many() -> None:
    window = Window(0.001)
    values = observations(1, 200_000, "long tail")
    for start in range(0, len(values), 997):
        window.extend(values[start : start + 997], SECOND)
    wanted = (0.5, 0.9, 0.95, 0.99, 0.999)
    for quantile, answer in zip(wanted, window.seen(SECOND).quantiles(wanted), strict=True):
        assert rank_error(values, answer, quantile) <= 0.001


def test_a_minute_after_the_last_one_nothing_is_known_but_sum_and_count() -> None:
    window = Window(0.1)
    assert all(map(isnan, window.seen(0).quantiles((0.5,))))
    window.extend([5, 7], 3 * SECOND)
    assert window.seen(40 * SECOND).quantiles((0.5, 0.9)) == (5.0, 7.0)
    assert all(map(isnan, window.seen(63 * SECOND).quantiles((0.5,))))
    assert (window.count, window.sum) == (2, 12)
