"""The requests of a model's warm-up, made of its configuration and of the files it names.

Owns what a sample holds. Does not own when and where it runs (``warmup``), nor what may stand in
a configuration (``modelconfig.check_samples``). Rules, from Triton (``GenerateWarmupData``):

1. a sample with batch size n is n equal requests of one row each; 0 is no sample at all; it runs
   ``count`` times, 0 meaning once;
2. the data are zeros (of a string type: empty strings), or random (of a string type: the same),
   or a file in the model's folder ``warmup``: raw and row-major, every string behind its length
   in four bytes. A file may hold more than is needed, unless it holds strings;
3. a sample runs past the batchers. It may bring what a sequence batcher would fill (controls,
   states), by name and then all of it; if it brings none, it is a sequence of one request. What
   is computed from a batch is computed, whatever it brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from engine.errors import EngineError, InvalidArgument, NotFound
from engine.modelconfig.complete import input_specs, output_specs
from engine.modelconfig.schema import ModelConfig, ModelWarmup, WarmupInput
from engine.types import Array, DType, InferRequest, Tensor
from engine.v2.binary import Slot, decode, slot, strings
from engine.v2.fit import Fit

FOLDER = "warmup"
# The same numbers in every run: what a warm-up shows once, it shows again.
_SEED = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Requests that run together, so many ``times``.

    They are ``filled`` if they bring what a sequence batcher would else fill (rule 3).
    """

    name: str
    requests: tuple[InferRequest, ...]
    times: int
    filled: bool


def read_samples(folder: Path, config: ModelConfig) -> tuple[Sample, ...]:
    """Make the samples of a model whose folder is ``folder``.

    Raises:
        InvalidArgument: one of them cannot be made, or is no request that the model takes.
    """
    return tuple(_samples(folder / FOLDER, config))


def failed(sample: str, *texts: str) -> InvalidArgument:
    """Say in Triton's words that a sample could not be run."""
    said = "".join(f"{text}; " for text in texts)
    return InvalidArgument(f"failed to run warmup sample '{sample}': {said}")


def _samples(folder: Path, config: ModelConfig) -> Iterator[Sample]:
    fit = Fit(config.name, config.max_batch_size, input_specs(config), output_specs(config))
    for sample in config.model_warmup:
        if sample.batch_size <= 0:
            continue
        try:
            yield _sample(sample, folder, config, fit)
        except EngineError as error:
            raise failed(sample.name, error.message) from error


def _sample(sample: ModelWarmup, folder: Path, config: ModelConfig, fit: Fit) -> Sample:
    own = {tensor.name for tensor in config.input}
    made = {name for one in config.batch_input for name in one.target_name}
    lead = (1,) if config.max_batch_size > 0 else ()
    tensors = [
        _tensor(name, one, lead, folder, config.name)
        for name, one in sample.inputs.items()
        if name not in made
    ]
    fit.check(InferRequest(inputs=tuple(one for one in tensors if one.name in own)))
    filled = any(one.name not in own for one in tensors)
    sequence = config.sequence_batching is not None and not filled
    request = InferRequest(inputs=tuple(tensors), sequence_start=sequence, sequence_end=sequence)
    return Sample(sample.name, (request,) * sample.batch_size, max(1, sample.count), filled)


def _tensor(
    name: str, given: WarmupInput, lead: tuple[int, ...], folder: Path, model: str
) -> Tensor:
    dtype, shape = given.data_type, (*lead, *given.dims)
    if dtype is None:
        raise InvalidArgument(f"warm-up input '{name}' must specify 'data_type' for {model}")
    if any(dim < 0 for dim in given.dims):
        raise InvalidArgument(
            f"warmup setting expects all variable-size dimensions are specified for input '{name}'"
        )
    if given.input_data_file is not None:
        content = _content(folder, given.input_data_file)
        return _taken(content, slot(name, dtype, shape), given.input_data_file, model)
    if given.zero_data is None and given.random_data is None:
        raise InvalidArgument(f"warmup setting expects input '{name}' to have input_data_type set")
    if dtype is DType.BYTES:
        return Tensor(name, dtype, strings([b""] * prod(shape)).reshape(shape))
    if given.zero_data is not None:
        return Tensor(name, dtype, np.zeros(shape, dtype.numpy))
    return Tensor(name, dtype, _random(dtype, shape))


def _random(dtype: DType, shape: tuple[int, ...]) -> Array:
    """Make numbers: whole ones of the type's whole range, others from 0 up to 1."""
    dice = np.random.default_rng(_SEED)
    if dtype is DType.BF16:
        bits = dice.random(shape, np.float32).view(np.uint32) >> 16
        return np.asarray(bits, np.uint16)
    if dtype is DType.BOOL:
        return dice.integers(0, 2, shape).astype(np.bool_)
    if dtype.numpy.kind == "f":
        return np.asarray(dice.random(shape), dtype.numpy)
    info = np.iinfo(dtype.numpy)
    return dice.integers(info.min, info.max, shape, dtype.numpy, endpoint=True)


def _content(folder: Path, named: str) -> bytes:
    file = folder / named
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InvalidArgument(f"{named} is outside of the model's warmup folder, {folder}")
    try:
        return file.read_bytes()
    except OSError as fault:
        raise NotFound(f"failed to open data file {file}: {fault.strerror}") from fault


def _taken(content: bytes, place: Slot, named: str, model: str) -> Tensor:
    if place.dtype is not DType.BYTES:
        if len(content) < place.size:
            raise InvalidArgument(
                f"warmup setting expects {place.size} bytes, but the data provided from {named} "
                f"only has {len(content)} bytes"
            )
        content = content[: place.size]
    return decode(content, place, model, "")
