from __future__ import annotations

from math import comb

import pytest

from analyzer.statistics.binomial import breaks, holds, needed
from analyzer.statistics.distributions import (
    at_least,
    normal_quantile,
    proportion_high,
    proportion_low,
)
from analyzer.statistics.order import certifying

# MLPerf's early stopping: percentile, certainty, and requests needed for 0, 1, 5 and 10 violations.
TABLE = [
    (90, 0.99, (44, 64, 127, 197)),
    (95, 0.99, (90, 130, 259, 398)),
    (99, 0.99, (459, 662, 1307, 2010)),
    (99.9, 0.99, (4603, 6636, 13105, 20140)),
]


@pytest.mark.parametrize(("percentile", "certainty", "counts"), TABLE)
def test_it_takes_as_many_requests_as_mlperf_asks_for(
    percentile: float, certainty: float, counts: tuple[int, ...]
) -> None:
    assert tuple(needed(late, percentile, certainty) for late in (0, 1, 5, 10)) == counts
    assert certifying(percentile, certainty) == counts[0]


def test_the_tail_is_the_sum_of_its_terms() -> None:
    for trials, probability in ((7, 0.3), (20, 0.9), (50, 0.01)):
        for successes in range(trials + 2):
            expected = sum(
                comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
                for k in range(successes, trials + 1)
            )
            assert at_least(successes, trials, probability) == pytest.approx(expected, rel=1e-9)


def test_proportions_are_bounded_as_clopper_and_pearson_have_it() -> None:
    assert proportion_low(0, 10, 0.025) == 0
    assert proportion_high(0, 10, 0.025) == pytest.approx(1 - 0.025**0.1)
    assert proportion_low(10, 10, 0.025) == pytest.approx(0.025**0.1)
    low, high = proportion_low(4, 20, 0.025), proportion_high(4, 20, 0.025)
    assert at_least(4, 20, low) == pytest.approx(0.025)
    assert 1 - at_least(5, 20, high) == pytest.approx(0.025)
    assert normal_quantile(0.975) == pytest.approx(1.959963985)


def test_a_run_holds_or_breaks_a_limit_or_neither() -> None:
    assert holds(459, 0, 99)
    assert not holds(458, 0, 99)
    assert breaks(1000, 30, 99)
    assert not breaks(1000, 12, 99)
    assert not holds(1000, 12, 99)
