"""Gaussian processes: what must hold of any, and what lengths and bumps are for."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.search.gp import Likely, Points, carried, fit

LIKELY = Likely(amplitude=1.0, length=1.0, floor=0.05)


def points(*rows: tuple[float, ...], codes: tuple[int, ...] = ()) -> Points:
    kinds = np.array(codes, np.int64).reshape(len(rows), -1)
    return Points(np.array(rows, float), kinds)


def line(count: int) -> Points:
    return points(*((float(x), 0.0) for x in np.linspace(0, 4, count)))


def test_what_was_measured_exactly_is_known_and_what_is_far_is_not() -> None:
    seen = line(6)
    values = np.sin(seen.features[:, 0])
    known = fit(seen, values, np.full(6, 1e-4), LIKELY)
    mean, unsure = known.at(points((1.6, 0.0), (40.0, 0.0)))
    assert mean[0] == pytest.approx(np.sin(1.6), abs=0.05)
    assert unsure[0] < 0.1 < unsure[1]
    again, sure = known.at(seen)
    assert again == pytest.approx(values, abs=1e-3)
    assert (sure < 0.01).all()


def test_leaving_one_out_is_learning_from_the_others() -> None:
    seen = points((0.0,), (0.7,), (1.9,))
    values, noise = np.array([0.3, 0.9, 0.1]), np.array([0.1, 0.2, 0.05])
    foreseen, unsure = fit(seen, values, noise, LIKELY).left_out()
    for place in range(3):
        others = [each for each in range(3) if each != place]
        known = fit(seen.take(others), values[others], noise[others], LIKELY)
        mean, sd = known.at(seen.take([place]))
        assert foreseen[place] == pytest.approx(mean[0], abs=1e-4)
        assert unsure[place] == pytest.approx(np.hypot(sd[0], noise[place]), rel=1e-4)


def test_a_feature_that_does_not_matter_gets_a_long_length() -> None:
    dice = np.random.default_rng(1)
    seen = Points(dice.uniform(0, 3, (18, 2)), np.zeros((18, 0), np.int64))
    known = fit(seen, np.sin(2 * seen.features[:, 0]), np.full(18, 0.01), LIKELY)
    assert known.shape.lengths[1] > 2 * known.shape.lengths[0]


def test_values_of_one_category_say_little_of_another_and_a_level_is_shared() -> None:
    likely = Likely(amplitude=0.1, length=5.0, offset=0.5)
    seen = points((0.0,), (1.0,), codes=(0, 0))
    _, unsure = fit(seen, np.array([1.0, 1.0]), np.full(2, 0.01), likely).at(
        points((0.5,), (0.5,), codes=(0, 1))
    )
    assert unsure[0] < 0.1
    assert unsure[1] == pytest.approx(0.5 * np.sqrt(2), rel=0.1)


def test_with_bumps_nothing_that_was_not_measured_is_sure() -> None:
    seen, between = line(12), points((1.1, 0.0))
    values = 0.1 * seen.features[:, 0]
    smooth = Likely(amplitude=1.0, length=3.0)
    bumpy = Likely(amplitude=1.0, length=3.0, bump=0.1)
    sure = fit(seen, values, np.full(12, 1e-3), smooth).at(between)[1][0]
    assert fit(seen, values, np.full(12, 1e-3), bumpy).at(between)[1][0] > 3 * sure


def test_equal_points_with_hardly_any_noise_are_no_fault() -> None:
    seen = points((1.0,), (1.0,), (1.0,), (1.0,), (2.0,))
    mean, _ = fit(seen, np.array([1.0, 1.1, 0.9, 1.0, 2.0]), np.full(5, 1e-9), LIKELY).at(seen)
    assert np.isfinite(mean).all()


def test_several_functions_are_carried_over_at_once() -> None:
    seen = line(9)
    values = np.stack([seen.features[:, 0], -seen.features[:, 0]], axis=1)
    likely = Likely(amplitude=1.0, length=2.0)
    found = carried(seen, values, points((2.2, 0.0)), 1e-3, likely)
    assert found[0] == pytest.approx([2.2, -2.2], abs=0.05)
