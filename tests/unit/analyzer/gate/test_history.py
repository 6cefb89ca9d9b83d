"""Judging by the past, and finding where it changed."""

from __future__ import annotations

import numpy as np
import pytest
from support.gated import blocks

from analyzer.gate.gates import parse
from analyzer.gate.history import Run, against, change_points, levels
from analyzer.gate.values import Settings, Side, Verdict

RULES = Settings()
THROUGHPUT = parse("throughput:-5%")


def run(value: float, machine: str = "m") -> Run:
    return Run(
        taken_at="2026-11-01", commit="c", fingerprint=machine, values={"perf_throughput": value}
    )


def past(noise: float, count: int = 12, seed: int = 0) -> list[Run]:
    dice = np.random.default_rng(seed)
    return [run(100 * float(np.exp(dice.normal(0, noise)))) for _ in range(count)]


@pytest.mark.parametrize(
    ("noise", "now", "verdict"),
    [
        (0.005, 100.0, Verdict.PASS),
        (0.005, 98.5, Verdict.PASS),
        (0.005, 93.0, Verdict.FAIL),
        (0.03, 95.0, Verdict.INCONCLUSIVE),
        (0.03, 100.0, Verdict.INCONCLUSIVE),
        (0.03, 70.0, Verdict.FAIL),
    ],
)
def test_a_new_run_is_judged_by_how_past_ones_scatter(
    noise: float, now: float, verdict: Verdict
) -> None:
    found = against("c", THROUGHPUT, past(noise), run(now), RULES)
    assert found.verdict is verdict
    assert found.pairs == 12
    assert found.interval is not None
    assert found.change is not None
    assert found.interval[0] < found.change < found.interval[1]
    assert "against 12 runs" in found.reason


def test_new_runs_lie_in_the_interval_of_the_past_as_often_as_it_says() -> None:
    rules = Settings(alpha=0.1)
    dice = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        now = run(100 * float(np.exp(dice.normal(0, 0.01))))
        found = against("c", THROUGHPUT, past(0.01, 10, seed), now, rules)
        assert found.interval is not None
        inside += found.interval[0] <= 0 <= found.interval[1]
    # 160 of 200 are due, with a standard deviation of 5.7.
    assert 138 <= inside <= 182


def test_few_runs_and_other_machines_make_it_a_matter_of_per_cent() -> None:
    others = [run(50.0, "other") for _ in range(20)]
    for now, verdict in ((96.0, Verdict.PASS), (94.0, Verdict.FAIL)):
        found = against("c", THROUGHPUT, [*others, run(100.0), run(100.0)], run(now), RULES)
        assert found.verdict is verdict
        assert "low confidence: 2 runs of such a machine" in found.reason
        assert found.interval is None
    found = against("c", THROUGHPUT, others, run(96.0), RULES)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "perf_throughput was never measured on such a machine"
    unmeasured = against("c", parse("p99:+10%"), past(0.01), run(100.0), RULES)
    assert unmeasured.reason == "perf_latency_p99 was not measured"


def test_bounds_have_no_past() -> None:
    with pytest.raises(ValueError, match="absolute bound"):
        against("c", parse("p99<=15ms"), [], run(1.0), RULES)


def test_a_run_is_the_geometric_mean_of_its_blocks() -> None:
    made = [block for block in blocks([(50.0, 1.0), (200.0, 1.0)]) if block.side is Side.BASELINE]
    assert levels(made) == {"perf_throughput": pytest.approx(100), "requests": pytest.approx(1000)}
    assert levels([]) == {}


def series(*parts: tuple[int, float], noise: float = 0.01, seed: int = 0) -> list[float]:
    dice = np.random.default_rng(seed)
    return [
        level * float(np.exp(dice.normal(0, noise))) for count, level in parts for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("parts", "places"),
    [
        (((40, 100.0),), []),
        (((20, 100.0), (20, 92.0)), [20]),
        (((20, 100.0), (20, 92.0), (15, 103.0)), [20, 40]),
        (((60, 100.0), (4, 90.0)), [60]),
        (((20, 100.0), (1, 80.0), (20, 100.0)), []),
        (((30, 100.0), (30, 99.0)), []),
        (((3, 100.0),), []),
    ],
)
def test_levels_that_lasted_are_told_from_noise_and_outliers(
    parts: tuple[tuple[int, float], ...], places: list[int]
) -> None:
    found = change_points(series(*parts), THROUGHPUT.quantity)
    assert [point.index for point in found] == places
    for point, (_, before), (_, after) in zip(found, parts, parts[1:], strict=False):
        assert point.change == pytest.approx(after / before - 1, abs=0.015)
        assert point.chance <= 0.001


def test_noise_alone_changes_hardly_ever() -> None:
    false = sum(
        bool(change_points(series((45, 100.0), noise=0.05, seed=seed), THROUGHPUT.quantity))
        for seed in range(40)
    )
    assert false <= 4


def test_a_series_without_noise_changes_where_it_does() -> None:
    (found,) = change_points([100.0] * 5 + [90.0] * 5, THROUGHPUT.quantity)
    assert (found.index, found.chance) == (5, 0.0)
    assert found.change == pytest.approx(-0.1)
