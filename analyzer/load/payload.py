"""What a request carries: tensors of given or chosen shape, filled at random or with zeros. Pure.

Rules:

1. A dimension that may vary is 1, unless the user gave the input's shape.
2. The first dimension of a model that batches is the batch size.
3. Optional inputs are left out, unless their shape is given.
4. Random: floats from 0 to 1; integers 0 or 1, which every index, mask and token type accepts
   (random bits, as perf_analyzer sends, walk out of embedding tables); strings of 128 letters.
   The same seed gives the same bytes.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.errors import LoadError
from engine.types import DType, InferRequest, Tensor, TensorSpec

if TYPE_CHECKING:
    from engine.modelconfig.schema import ModelConfig
    from engine.types import Array

Shapes = Mapping[str, tuple[int, ...]]

KINDS = ("random", "zero")
STRING_LENGTH = 128
_LETTERS = np.frombuffer(string.ascii_letters.encode(), dtype=np.uint8)


def concrete(
    inputs: Sequence[TensorSpec], config: ModelConfig | None, batch_size: int, shapes: Shapes
) -> tuple[TensorSpec, ...]:
    """Settle the shape of every input to send, from the model's metadata and configuration.

    ``shapes`` gives shapes by input name, without the batch dimension. Without a ``config``
    (a server that has no such extension) a model batches if all its inputs begin with -1.

    Raises:
        LoadError: the model cannot take that batch size, or a given shape does not fit.
    """
    declared = {} if config is None else {entry.name: entry for entry in config.input}
    batches = batched(inputs, config, batch_size)
    given = settled(inputs, config, batches, shapes)
    wanted = []
    for spec in inputs:
        entry = declared.get(spec.name)
        if entry is not None and entry.optional and spec.name not in given:
            continue
        leading = batches and not (entry is not None and entry.is_shape_tensor)
        own = given.get(spec.name, spec.shape[1:] if leading else spec.shape)
        shape = tuple(1 if size < 0 else size for size in own)
        full = (batch_size, *shape) if leading else shape
        wanted.append(TensorSpec(spec.name, spec.dtype, full))
    return tuple(wanted)


def settled(
    inputs: Sequence[TensorSpec],
    config: ModelConfig | None,
    batches: bool,  # noqa: FBT001 - a fact of the model
    shapes: Shapes,
) -> dict[str, tuple[int, ...]]:
    """Check the shapes that were given, by input and without the batch dimension.

    Raises:
        LoadError: there is no such input, or its shape does not fit.
    """
    specs = {spec.name: spec for spec in inputs}
    if unknown := sorted(set(shapes) - set(specs)):
        raise LoadError(f"the model has no input named {unknown[0]!r}; it has {', '.join(specs)}")
    whole = set() if config is None else {
        entry.name for entry in config.input if entry.is_shape_tensor
    }  # fmt: skip
    for name, given in shapes.items():
        own = specs[name].shape[1:] if batches and name not in whole else specs[name].shape
        fits = len(given) == len(own) and all(
            asked >= 0 and size in {-1, asked} for asked, size in zip(given, own, strict=True)
        )
        if not fits:
            raise LoadError(
                f"input {name!r}: shape {list(given)} does not fit {list(own)} "
                "(-1: any size; the batch dimension is not given)"
            )
    return dict(shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """How strings are made up: ``length`` letters at random, or ``content`` where it is given."""

    length: int = STRING_LENGTH
    content: str | None = None


def make(
    inputs: Sequence[TensorSpec], kind: str, seed: int, texts: Texts | None = None
) -> InferRequest:
    """Make a request that fills ``inputs``, whose shapes are settled, in the manner ``kind``.

    All outputs are asked for, in binary.

    Raises:
        LoadError: there is no such kind.
    """
    if kind not in KINDS:
        raise LoadError(f"no input data of kind {kind!r}; there are: {', '.join(KINDS)}")
    chance = np.random.default_rng(seed)
    texts = texts or Texts()
    tensors = []
    for spec in inputs:
        array = _random(spec, chance, texts) if kind == "random" else _zero(spec, texts)
        tensors.append(Tensor(spec.name, spec.dtype, array))
    return InferRequest(inputs=tuple(tensors), binary_default=True)


def batched(inputs: Sequence[TensorSpec], config: ModelConfig | None, batch_size: int) -> bool:
    """Whether the model batches: whether the first dimension of its tensors is the batch.

    Raises:
        LoadError: it cannot take that batch size.
    """
    if config is None:
        batches = all(spec.shape[:1] == (-1,) for spec in inputs)
    else:
        batches = config.max_batch_size > 0
        if batches and batch_size > config.max_batch_size:
            raise LoadError(
                f"batch size {batch_size} is above the model's max_batch_size of "
                f"{config.max_batch_size}; lower it, or raise max_batch_size"
            )
    if batch_size != 1 and not batches:
        raise LoadError(f"batch size {batch_size} needs a model that batches (max_batch_size > 0)")
    return batches


def _zero(spec: TensorSpec, texts: Texts) -> Array:
    if spec.dtype is DType.BYTES:
        return np.full(spec.shape, (texts.content or "").encode(), dtype=np.object_)
    return np.zeros(spec.shape, dtype=spec.dtype.numpy)


def _random(spec: TensorSpec, chance: np.random.Generator, texts: Texts) -> Array:
    if spec.dtype is DType.BYTES:
        if texts.content is not None:
            return np.full(spec.shape, texts.content.encode(), dtype=np.object_)
        return _strings(spec.shape, chance, texts.length)
    if spec.dtype is DType.BF16:
        # The upper half of a float32 is a bfloat16.
        bits = chance.random(spec.shape, dtype=np.float32).view(np.uint32) >> 16
        return bits.astype(np.uint16)
    if spec.dtype in {DType.FP16, DType.FP32, DType.FP64}:
        return chance.random(spec.shape, dtype=np.float32).astype(spec.dtype.numpy)
    return chance.integers(0, 2, spec.shape).astype(spec.dtype.numpy)


def _strings(shape: tuple[int, ...], chance: np.random.Generator, length: int) -> Array:
    flat = np.empty(int(np.prod(shape)), dtype=np.object_)
    letters = chance.integers(0, len(_LETTERS), (len(flat), length))
    for row, choice in enumerate(letters):
        flat[row] = _LETTERS[choice].tobytes()
    return flat.reshape(shape)
