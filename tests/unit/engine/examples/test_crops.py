"""Images made ready for a recogniser, and its answers read."""

from __future__ import annotations

import numpy as np
import pytest

from engine.examples import _crops as crops


def picture(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_scaling_keeps_a_slope_a_slope_and_one_colour_one_colour() -> None:
    slope = np.repeat(np.arange(64, dtype=np.float32)[None, :, None], 3, axis=2)
    double = crops.scaled(slope, 2, 128)
    np.testing.assert_allclose(np.diff(double[0, 1:-1, 0]), 0.5)
    third = crops.scaled(slope[:, :63], 1, 21)
    np.testing.assert_allclose(third[0, :, 0], np.arange(21) * 3 + 1)
    plain = np.full((37, 91, 3), 77, np.uint8)
    np.testing.assert_allclose(crops.scaled(plain, 48, 13), np.full((48, 13, 3), 77), rtol=1e-6)
    same = picture(5, 7)
    np.testing.assert_array_equal(crops.scaled(same, 5, 7), same)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((320, 640), (320, 640)),
        ((100, 50), (96, 64)),
        ((2000, 1500), (960, 704)),
        ((1, 1), (32, 32)),
    ],
)
def test_a_page_is_planes_of_multiples_of_32_and_never_too_large(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert crops.page(picture(*size)).shape == (1, 3, *wanted)


def test_a_page_is_blue_green_red_around_the_mean_of_photographs() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 255  # red
    planes = crops.page(image)[0, :, 0, 0]
    np.testing.assert_allclose(planes, [-0.406 / 0.225, -0.456 / 0.224, 0.515 / 0.229], rtol=1e-5)


def test_what_runs_upwards_is_laid_down() -> None:
    image = picture(100, 100)
    assert crops.cut(image, 0, 0, 90, 20).shape == (20, 90, 3)
    laid = crops.cut(image, 0, 0, 20, 90)
    assert laid.shape == (20, 90, 3)
    np.testing.assert_array_equal(laid[0], image[:90, 19])


def test_lines_are_filled_up_to_the_widest() -> None:
    wide, narrow = np.full((24, 300, 3), 255, np.uint8), np.full((48, 10, 3), 255, np.uint8)
    planes = crops.for_letters([wide, narrow])
    assert planes.shape == (2, 3, 48, 600)
    assert planes[0].min() == pytest.approx(1)
    assert planes[1, :, :, :10].min() == pytest.approx(1)
    assert not planes[1, :, :, 10:].any()
    assert crops.for_letters([narrow]).shape == (1, 3, 48, crops.LEAST_WIDTH)
    assert crops.for_angles([wide, narrow]).shape == (2, 3, 48, 192)


def test_letters_repeat_only_over_a_blank() -> None:
    known = crops.characters("a\nb")
    assert known == ["", "a", "b", " "]
    steps = np.zeros((8, 4), np.float32)
    for step, (number, chance) in enumerate(
        zip((1, 1, 0, 1, 3, 2, 2, 0), (0.9, 0.8, 1, 0.7, 0.6, 0.8, 0.1, 1), strict=True)
    ):
        steps[step, number] = chance
    assert crops.letters(steps, known) == ("aa b", pytest.approx((0.9 + 0.7 + 0.6 + 0.8) / 4))
    assert crops.letters(np.eye(4, dtype=np.float32)[[0, 0]], known) == ("", 0.0)
