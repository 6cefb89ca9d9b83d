"""The form of the service-time model: curves, multipliers, and instances beside each other."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.simulation.service import Curve, ServiceModel, exponential, log_normal

KNEE = Curve(((1, 10.0), (4, 16.0), (8, 40.0)))


@pytest.mark.parametrize(
    ("rows", "time"), [(1, 10), (2, 12), (4, 16), (6, 28), (8, 40), (12, 64), (100, 592)]
)
def test_a_curve_is_straight_between_knots_and_beyond_the_last(rows: int, time: float) -> None:
    assert KNEE.at(rows) == pytest.approx(time)


def test_a_curve_of_one_knot_is_flat() -> None:
    assert Curve(((1, 5.0),)).at(64) == 5


@pytest.mark.parametrize(
    "knots", [(), ((2, 1.0),), ((1, 0.0),), ((1, 2.0), (1, 3.0)), ((1, 2.0), (2, 1.0))]
)
def test_what_is_no_curve_is_refused(knots: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ValueError, match="found"):
        Curve(knots)


@given(st.floats(0.1, 10), st.floats(-2, 2))
def test_a_curve_that_is_bent_still_does_not_fall(factor: float, tilt: float) -> None:
    bent = KNEE.scaled(factor, tilt)
    assert bent.at(1) == pytest.approx(10 * factor)
    times = [bent.at(rows) for rows in range(1, 20)]
    assert times == sorted(times)


def test_multipliers_have_mean_one_and_vary_as_asked() -> None:
    assert log_normal(0.0) == (1.0,)
    for values, cv in ((log_normal(0.3), 0.3), (exponential(), 1.0)):
        assert fmean(values) == pytest.approx(1)
        assert pstdev(values) == pytest.approx(cv, rel=0.03)


def test_instances_slow_down_by_threads_cores_and_each_other() -> None:
    flat = Curve.affine(1.0, 0.0)
    cpu = ServiceModel(curve=flat, cores=4, threads=4, serial=0.2, crowding=0.1)
    assert cpu.threads_of(2, None) == 2
    assert cpu.threads_of(8, None) == 1
    assert cpu.threads_of(2, 3) == 3
    assert cpu.slowdown(4, 1) == 1
    assert cpu.slowdown(2, 1) == pytest.approx(0.2 + 0.8 * 2)
    assert cpu.slowdown(2, 2) == pytest.approx(1.8 * 1.1)
    assert cpu.slowdown(4, 2) == pytest.approx(2 * 1.1)
    gpu = ServiceModel(curve=flat, crowding=1.0)
    assert [gpu.slowdown(gpu.threads_of(3, None), busy) for busy in (1, 2, 3)] == [1, 2, 3]


def test_negative_times_are_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        ServiceModel(curve=KNEE, admit_ns=-1.0)
