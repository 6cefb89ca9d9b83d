from __future__ import annotations

import numpy as np
import pytest

from analyzer.statistics.transient import warm_up
from benchmarks.streams import independent, mm1

MS = 1_000_000


def usual(count: int, middle: float = 10 * MS, seed: int = 0) -> np.ndarray:
    return (middle * np.random.default_rng(seed).lognormal(0, 0.2, count)).astype(np.int64)


def found(*parts: np.ndarray) -> int:
    latency = np.concatenate(parts)
    return warm_up(latency, np.arange(1, len(latency) + 1) * MS)


def test_what_is_slow_from_the_first_request_on_is_left_out() -> None:
    assert 395 <= found(usual(400, 50 * MS), usual(4000)) <= 450
    assert 395 <= found(usual(400, 2 * MS), usual(4000)) <= 450
    falling = usual(1000) * np.linspace(5, 1, 1000)
    assert 600 < found(falling, usual(8000)) < 1100


@pytest.mark.parametrize("at", [60, 500, 1500, 2400])
def test_a_stall_is_never_taken_for_a_warm_up(at: int) -> None:
    latency = usual(5000)
    latency[at : at + 400] += np.linspace(2000 * MS, 0, 400).astype(np.int64)
    assert found(latency) <= 60


def test_of_a_steady_stream_little_is_left_out() -> None:
    for seed in range(10):
        for stream in (independent(1000, 0.01), mm1(0.8, 0.001)):
            done, latency = stream.sample(np.random.default_rng(seed), 6000)
            assert warm_up(latency, done) <= 600


def test_some_requests_are_left_out_in_any_case_but_never_more_than_half() -> None:
    assert found(usual(4000)) == 50
    assert found(usual(4000, 100 * MS)) == pytest.approx(204, abs=5)
    assert found(usual(60)) == 30
    assert found(usual(400, 50 * MS), usual(100)) <= 250
    assert found(usual(9)) == 0
