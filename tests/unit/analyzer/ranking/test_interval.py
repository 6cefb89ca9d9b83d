from __future__ import annotations

import math

import pytest

from analyzer.ranking.interval import paired, welch
from analyzer.statistics.distributions import t_quantile


def test_a_paired_interval_worked_by_hand() -> None:
    interval = paired([1.0, 2.0, 3.0, 4.0])
    assert interval is not None
    reach = 3.182446305 * math.sqrt(5 / 3 / 4)
    assert (interval.middle, interval.low, interval.high) == pytest.approx(
        (2.5, 2.5 - reach, 2.5 + reach)
    )


def test_welch_worked_by_hand() -> None:
    interval = welch([10.0, 12.0, 14.0], [1.0, 2.0])
    assert interval is not None
    first, second = 4 / 3, 0.5 / 2
    degrees = (first + second) ** 2 / (first**2 / 2 + second**2 / 1)
    reach = t_quantile(0.975, degrees) * math.sqrt(first + second)
    assert (interval.middle, interval.low, interval.high) == pytest.approx(
        (10.5, 10.5 - reach, 10.5 + reach)
    )


def test_one_value_has_no_interval() -> None:
    assert paired([1.0]) is None
    assert welch([1.0], [1.0, 2.0]) is None


def test_equal_values_have_an_interval_without_width() -> None:
    assert welch([2.0, 2.0], [1.0, 1.0]) == paired([1.0, 1.0])
