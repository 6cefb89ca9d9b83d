from __future__ import annotations

import numpy as np
import pytest

from analyzer.statistics.flags import duration
from analyzer.statistics.modes import two_modes
from analyzer.statistics.summary import summarise
from analyzer.statistics.trend import halves, mann_kendall
from benchmarks.streams import mm1

MS = 1_000_000


def flags(latency: np.ndarray) -> tuple[str, ...]:
    return summarise(np.arange(1, len(latency) + 1) * MS, latency.astype(np.int64)).flags


def lognormal(count: int, middle: float, spread: float = 0.1, seed: int = 0) -> np.ndarray:
    return middle * np.random.default_rng(seed).lognormal(0, spread, count)


def test_nothing_is_said_of_a_measurement_without_surprises() -> None:
    assert flags(lognormal(5000, 2 * MS)) == ()
    assert flags(lognormal(5000, 2 * MS, 0.7)) == ()
    assert flags(np.random.default_rng(1).exponential(MS, 5000)) == ()
    assert flags(np.full(1000, MS)) == ()


def test_two_modes_are_described() -> None:
    dice = np.random.default_rng(0)
    slow = dice.random(20_000) < 0.12
    (flag,) = flags(np.where(slow, lognormal(20_000, 3.1 * MS), lognormal(20_000, 1.2 * MS)))
    assert flag.startswith("bimodal: 12% of requests near 3.")
    assert "88% near 1.2 ms" in flag or "88% near 1.19 ms" in flag or "88% near 1.21 ms" in flag


def test_two_modes_that_nobody_needs_to_tell_apart_are_one() -> None:
    near = np.sort(
        np.concatenate((lognormal(500, 1.2 * MS, 0.01), lognormal(500, 1.25 * MS, 0.01)))
    )
    assert two_modes(near.astype(np.int64)) is None
    rare = np.sort(np.concatenate((lognormal(5000, MS, 0.05), lognormal(50, 9 * MS, 0.05))))
    assert two_modes(rare.astype(np.int64)) is None


@pytest.mark.parametrize("seed", range(20))
def test_one_mode_is_not_taken_for_two_by_chance(seed: int) -> None:
    dice = np.random.default_rng(seed)
    for values in (
        dice.gamma(3, MS, 400),
        dice.exponential(MS, 3000),
        lognormal(150, MS, 0.4, seed),
    ):
        assert two_modes(np.sort(values).astype(np.int64)) is None


def test_a_drift_is_told_with_its_size() -> None:
    flag, *_ = flags(lognormal(4000, MS) * np.linspace(1, 1.4, 4000))
    assert flag.startswith("drift: the mean latency rose from 1.1 ms in the first half to 1.3")
    flag, *_ = flags(lognormal(4000, MS) * np.linspace(1.4, 1, 4000))
    assert "fell from 1.3" in flag


def test_a_stream_too_short_for_its_memory_says_so() -> None:
    steps = np.random.default_rng(0).normal(size=2000)
    (flag, *_) = flags(MS * np.exp(np.sin(np.arange(2000) / 100) + 0.1 * steps))
    assert flag.startswith("autocorrelated: ")


def test_percentiles_of_too_few_requests_say_how_many_it_takes() -> None:
    assert flags(lognormal(150, MS)) == (
        "short: p99 of 150 requests, where p99 takes 459; measure 3 times as long to rely on it",
    )
    few = flags(lognormal(20, MS))[0]
    assert few.startswith("short: p90, p95, p99 of 20 requests, where p99 takes 459")
    _, latency = mm1(0.8, 0.001).sample(np.random.default_rng(0), 5000)
    assert any("which say as much as" in flag for flag in flags(latency))


def test_trends_are_told_from_noise() -> None:
    noise = np.random.default_rng(3).normal(size=(200, 20))
    beyond = [abs(mann_kendall(each)) > 1.96 for each in noise]
    assert 0.01 < np.mean(beyond) < 0.1
    assert mann_kendall(np.arange(20)) > 5
    assert mann_kendall(-np.arange(20)) < -5
    assert mann_kendall(np.ones(20)) == mann_kendall(np.array([1, 2])) == 0
    # A worked example: 3 of 3 pairs rise, so S = 3 and its variance is 3 * 2 * 11 / 18.
    assert mann_kendall(np.array([1, 2, 3])) == pytest.approx(2 / (66 / 18) ** 0.5)
    assert halves(np.array([1, 2, 9, 5, 7])) == (1.5, 6)


def test_durations_are_written_in_units_that_suit_them() -> None:
    assert [duration(each) for each in (12, 1234, 1.2345e6, 61e9)] == [
        "12 ns", "1.23 us", "1.23 ms", "61 s",
    ]  # fmt: skip
