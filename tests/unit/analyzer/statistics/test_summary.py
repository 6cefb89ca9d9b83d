from __future__ import annotations

import math

import numpy as np
import pytest

from analyzer.statistics.summary import since, summarise

MS = 1_000_000


def stream(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Requests that finish at random, 1000 a second, after 10 ms or so."""
    dice = np.random.default_rng(seed)
    done = np.cumsum(dice.exponential(MS, count)).astype(np.int64)
    return done, (10 * MS * dice.lognormal(0, 0.1, count)).astype(np.int64)


def test_a_stream_without_surprises() -> None:
    summary = summarise(*stream(20_000))
    assert summary.requests == 20_000
    assert summary.throughput.holds(1000)
    assert summary.latency_avg.holds(10 * MS * math.exp(0.005))
    assert summary.percentiles[50].holds(10 * MS)
    assert summary.percentiles[99].holds(10 * MS * math.exp(0.1 * 2.3263479))
    assert summary.percentiles[99].certified
    assert summary.throughput.relative < 0.02
    assert summary.percentiles[99].relative < 0.02


def test_inferences_are_counted_as_many_as_each_request_was() -> None:
    done, latency = stream(5000)
    assert summarise(done, latency, inferences=8).throughput.value == pytest.approx(
        8 * summarise(done, latency).throughput.value
    )
    each = np.where(np.arange(5000) % 2, 3, 1)
    assert summarise(done, latency, inferences=each).throughput.value == pytest.approx(
        2 * summarise(done, latency).throughput.value, rel=1e-3
    )


def test_counting_begins_where_it_is_told_to() -> None:
    done = np.arange(1, 101) * MS
    summary = summarise(done, np.full(100, 5 * MS), spans_ns=since(50 * MS))
    assert summary.requests == 50
    assert summary.seconds == pytest.approx(0.05)
    assert summary.throughput.value == pytest.approx(1000)
    assert summary.throughput.low == pytest.approx(summary.throughput.high)
    assert (summary.latency_avg.low, summary.latency_avg.high) == (5 * MS, 5 * MS)


def test_the_order_of_what_is_given_does_not_matter() -> None:
    done, latency = stream(3000)
    mixed = np.random.default_rng(1).permutation(3000)
    assert summarise(done[mixed], latency[mixed]) == summarise(done, latency)


def test_too_few_values_bound_no_percentile() -> None:
    few = summarise(*stream(300)).percentiles[99]
    assert few.high == math.inf
    assert not few.certified
    enough = summarise(*stream(600)).percentiles[99]
    assert enough.high < math.inf


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_next_to_nothing_is_next_to_nothing(count: int) -> None:
    summary = summarise(*stream(count))
    assert summary.requests == count
    assert not summary.percentiles[99].certified
    assert summary.percentiles[50].high >= summary.percentiles[50].low
    assert summary.flagged("short")


def test_what_does_not_belong_together_is_refused() -> None:
    done, latency = stream(10)
    with pytest.raises(ValueError, match="10 ends, 9 latencies"):
        summarise(done, latency[:9])
    with pytest.raises(ValueError, match="above 0 and below 100, not 100"):
        summarise(done, latency, percentiles=(100,))
