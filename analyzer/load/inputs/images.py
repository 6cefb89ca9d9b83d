"""Pictures as samples: read by Pillow, made to fit the input of the model that takes them.

1. An input of bytes (one string, or UINT8 of one open dimension) gets the file as it is.
2. Any other has three dimensions. The layout is the configuration's ``format``; without one, the
   dimension of 1, 3 or 4 at either end is the channels.
3. A picture is brought to the input's height and width; where these vary it keeps its own.
4. Values are 0 to 255 for integers, and 0 to 1 for floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.errors import UsageError
from analyzer.load.inputs.fields import FLOATS, Field, Takes, from_array
from analyzer.load.inputs.file_samples import only_input
from analyzer.load.inputs.samples import Sample, Samples
from engine.modelconfig.schema import InputFormat
from engine.types import DType
from engine.v2.binary import strings

if TYPE_CHECKING:
    from engine.types import Array

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_PICTURE_RANK = 3


def from_pictures(files: Sequence[Path], folder: str, model: Takes) -> Samples:
    """Make a sample of each picture.

    Raises:
        UsageError: the model has no one input that a picture fits, Pillow is not installed, or a
            file is no picture.
    """
    field = only_input(folder, model)
    samples = tuple(
        Sample(inputs={field.name: _array(file, field, model)}, place=str(file)) for file in files
    )
    return Samples(streams=(samples,))


def takes_files(field: Field) -> bool:
    """Whether the input takes a picture's file, not its pixels."""
    if field.dtype is DType.BYTES:
        return all(size in {1, -1} for size in field.dims)
    return field.dtype is DType.UINT8 and field.dims == (-1,)


def _array(file: Path, field: Field, model: Takes) -> Array:
    if takes_files(field):
        content = file.read_bytes()
        if field.dtype is DType.BYTES:
            return strings([content]).reshape((1,) * len(field.dims))
        return np.frombuffer(content, np.uint8)
    first, channels = _layout(field, model)
    height, width = field.dims[1:] if first else field.dims[:2]
    pillow = _pillow()
    try:
        with pillow.open(file) as opened:
            picture = opened.convert(_MODES[channels])
    except OSError as error:
        raise UsageError(f"{file}: not a picture that Pillow reads: {error}") from error
    size = (width if width > 0 else picture.width, height if height > 0 else picture.height)
    pixels = np.asarray(picture.resize(size))
    if channels == 1:
        pixels = pixels[..., np.newaxis]
    if first:
        pixels = pixels.transpose(2, 0, 1)
    values = pixels.astype(np.float32) / 255 if field.dtype in FLOATS else pixels
    return from_array(field, values)


def _layout(field: Field, model: Takes) -> tuple[bool, int]:
    """Say whether the channels come first, and how many there are."""
    dims = field.dims
    if len(dims) == _PICTURE_RANK:
        if field.format is InputFormat.FORMAT_NCHW or (
            field.format is InputFormat.FORMAT_NONE and dims[0] in _MODES
        ):
            return True, dims[0] if dims[0] in _MODES else 3
        if field.format is InputFormat.FORMAT_NHWC or dims[2] in _MODES:
            return False, dims[2] if dims[2] in _MODES else 3
    raise UsageError(
        f"{model.model}: {field.name} is {field.words}: no picture fits it; expected "
        "[3, height, width], [height, width, 3], or one string or UINT8 [-1] for the file itself"
    )


def _pillow() -> Any:  # noqa: ANN401 - the package is optional
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise UsageError(
            "pictures as input need Pillow: pip install 'servetune[images]'"
        ) from error
