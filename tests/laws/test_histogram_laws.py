"""The laws of histograms: what is kept, how exactly, and that nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.statistics.histogram import EMPTY, Histogram

latencies = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, 10**10), st.integers(0, 2**62)), max_size=60
).map(lambda values: np.array(values, np.int64))


@given(latencies)
def test_no_value_is_off_by_more_than_its_fourth_digit(values: np.ndarray) -> None:
    for value in values:
        found = Histogram.of(np.array([value])).quantile(0.5)
        assert abs(found - int(value)) <= int(value) / 2048
        assert value >= 2048 or found == value


@given(st.integers(11, 62), st.integers(-2, 2))
def test_powers_of_two_are_where_places_change_and_none_is_skipped(power: int, off: int) -> None:
    value = 2**power + off
    here, there = (int(Histogram.of(np.array([each])).places[0]) for each in (value, value + 1))
    assert there - here in {0, 1}


@given(latencies, st.floats(0, 1))
def test_quantiles_are_those_of_the_values_to_three_digits(
    values: np.ndarray, share: float
) -> None:
    histogram = Histogram.of(values)
    if not len(values):
        assert np.isnan([histogram.quantile(share), histogram.mean]).all()
        return
    expected = int(np.sort(values)[int(share * (len(values) - 1) + 0.5)])
    assert abs(histogram.quantile(share) - expected) <= expected / 2048
    assert histogram.mean == pytest.approx(float(values.astype(float).mean()), rel=1e-3)


@given(latencies, latencies, latencies)
def test_parts_add_up_to_the_whole_in_any_order(
    first: np.ndarray, second: np.ndarray, third: np.ndarray
) -> None:
    whole = Histogram.of(np.concatenate((first, second, third)))
    one, two, three = Histogram.of(first), Histogram.of(second), Histogram.of(third)
    assert one.merge(two, three) == three.merge(one).merge(two) == whole
    assert hash(one.merge(two, three)) == hash(whole)
    assert whole.merge(EMPTY) == whole
    assert whole.count == len(first) + len(second) + len(third)


@given(latencies)
def test_a_text_says_the_same(values: np.ndarray) -> None:
    histogram = Histogram.of(values)
    assert Histogram.from_text(histogram.text) == histogram
    assert histogram.text.isascii()


@given(latencies, st.integers(0, 2000))
def test_the_share_above_a_value_is_counted(values: np.ndarray, limit: int) -> None:
    share = Histogram.of(values).share_above(limit)
    if len(values):
        assert share == np.count_nonzero(values > limit) / len(values)
    else:
        assert np.isnan(share)


@pytest.mark.parametrize(
    "text",
    ["", "h1", "h1:", "h1:!", "h1:AAAA", "h2:eJwDAAAAAAE=", "h1:eJxrAAAAgACA", "h1:eJxjAAAAAQAB"],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.from_text(text)


@given(st.integers(0, 200))
def test_a_text_that_was_cut_is_refused(kept: int) -> None:
    text = Histogram.of(np.arange(0, 10**9, 10**7)).text
    with pytest.raises(ValueError, match="not a histogram"):
        Histogram.from_text(text[: min(kept, len(text) - 1)])


def test_negative_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no negative values, such as -3"):
        Histogram.of(np.array([1, -3]))


def test_a_million_latencies_take_a_few_kilobytes() -> None:
    values = (1e6 * np.random.default_rng(0).lognormal(0, 0.3, 1_000_000)).astype(np.int64)
    assert len(Histogram.of(values).text) < 8000
