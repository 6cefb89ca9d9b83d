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


def test_of_a_loop_begun_anew_the_mean_is_no_surer_than_littles_law_lets_it_be() -> None:
    dice = np.random.default_rng(5)
    # Parts whose latencies agree by luck while their rates do not.
    gaps = np.concatenate([np.full(200, gap) for gap in (900_000, 1_000_000, 1_100_000) * 2])
    done = np.cumsum(gaps)
    latency = np.rint(dice.normal(4e6, 1e4, len(done))).astype(np.int64)
    ends = done[199::200]
    spans = [
        (int(end - 199 * gap), int(end)) for end, gap in zip(ends, gaps[199::200], strict=True)
    ]
    found = summarise(done, latency, spans_ns=spans)
    rate = found.throughput
    assert found.latency_avg.high >= found.latency_avg.value * rate.value / rate.low
    assert found.latency_avg.low <= found.latency_avg.value * rate.value / rate.high
    assert rate.relative > 0.05


def test_a_percentile_is_no_surer_than_those_of_the_parts_agree() -> None:
    dice = np.random.default_rng(6)
    middles = dice.normal(4e6, 1e5, 16)
    latency = np.rint(np.repeat(middles, 300) + dice.normal(0, 1e4, 4800)).astype(np.int64)
    done = np.arange(1, len(latency) + 1, dtype=np.int64) * 1_000_000
    spans = [(at * 300_000_000 + 1, (at + 1) * 300_000_000) for at in range(16)]
    p50 = summarise(done, latency, spans_ns=spans).percentiles[50.0]
    # Student's t of 15 degrees is 2.13.
    least = 2.13 * float(middles.std(ddof=1)) / math.sqrt(16)
    assert p50.low <= p50.value - 0.95 * least
    assert p50.high >= p50.value + 0.95 * least
