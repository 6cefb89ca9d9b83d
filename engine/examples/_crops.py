"""What text says: from an image and a box to a recogniser's input, and from its output to letters.

Owns: scaling, cutting, turning and filling up of images, and reading a recogniser's probabilities
(CTC). Images are RGB, uint8 [height, width, 3]; the models want BGR planes, as their makers trained
them. Numpy alone; it imports nothing of the engine: the example ``ocr`` puts this file beside the
``model.py`` of its steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LONGEST, MULTIPLE = 960, 32
MEAN, SPREAD = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)  # of ImageNet: blue, green, red
LINE_HEIGHT, ANGLE_WIDTH, LEAST_WIDTH, MOST_WIDTH = 48, 192, 320, 1600
#: from here on, as high over wide, a box is taken for text that runs upwards
UPWARDS = 1.5


def page(image: NDArray[Any]) -> NDArray[Any]:
    """Make an image the detector's input, f32 [1, 3, height, width]."""
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    high, wide = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in image.shape[:2])
    bgr = scaled(image, high, wide)[..., ::-1] / np.float32(255)
    normal = (bgr - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def cut(image: NDArray[Any], left: int, top: int, right: int, bottom: int) -> NDArray[Any]:
    """Cut a box out; one that is much higher than wide is turned, to be read from its side."""
    crop = image[top:bottom, left:right]
    return np.rot90(crop) if crop.shape[0] >= UPWARDS * crop.shape[1] else crop


def width_of(crop: NDArray[Any]) -> int:
    """How wide a crop is when it is as high as a line."""
    high, wide = int(crop.shape[0]), int(crop.shape[1])
    return min(MOST_WIDTH, max(1, round(LINE_HEIGHT * wide / high)))


def for_angles(crops: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Make crops the angle classifier's input, f32 [count, 3, 48, 192]."""
    return _filled(crops, ANGLE_WIDTH)


def for_letters(crops: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Make crops the recogniser's input, f32 [count, 3, 48, width of the widest]."""
    return _filled(crops, max(LEAST_WIDTH, *map(width_of, crops)))


def _filled(crops: Sequence[NDArray[Any]], width: int) -> NDArray[Any]:
    planes = np.zeros((len(crops), 3, LINE_HEIGHT, width), np.float32)
    for row, crop in zip(planes, crops, strict=True):
        wide = min(width, width_of(crop))
        bgr = scaled(crop, LINE_HEIGHT, wide)[..., ::-1]
        row[:, :, :wide] = (bgr / np.float32(127.5) - 1).transpose(2, 0, 1)
    return planes


def scaled(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Scale an image: linear between points; what shrinks by more than two is averaged first."""
    result = image.astype(np.float32)
    for axis, size in enumerate((height, width)):
        result = _along(result, axis, size)
    return result


def _along(image: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    lines = np.moveaxis(image, axis, 0)
    if lines.shape[0] == size:
        return image
    if (factor := lines.shape[0] // size) > 1:
        whole = lines[: lines.shape[0] // factor * factor]
        lines = whole.reshape(-1, factor, *lines.shape[1:]).mean(axis=1)
    last = lines.shape[0] - 1
    at = np.clip((np.arange(size) + 0.5) * lines.shape[0] / size - 0.5, 0, last)
    before = at.astype(np.int64)
    share = (at - before).astype(np.float32)[:, None, None]
    mixed = lines[before] * (1 - share) + lines[np.minimum(before + 1, last)] * share
    return np.moveaxis(mixed, 0, axis)


def characters(metadata: str) -> list[str]:
    """Read the recogniser's own list: the blank comes first, the space last."""
    return ["", *metadata.split("\n"), " "]


def letters(chances: NDArray[Any], known: Sequence[str]) -> tuple[str, float]:
    """Read f32 [steps, characters]: the likeliest of each step, repeats once, blanks not at all.

    Returns:
        the text, and how sure its letters are on average (0 where there are none).
    """
    best = chances.argmax(axis=1)
    kept = (best != 0) & (best != np.concatenate([[0], best[:-1]]))
    if not kept.any():
        return "", 0.0
    text = "".join(known[number] for number in best[kept])
    return text, float(chances.max(axis=1)[kept].mean())
