"""From samples to requests: batches of them, in the order in which they are sent. Pure.

As perf_analyzer has it: request k holds samples k*b to k*b+b-1 of its stream, around its end. For a
model that keeps sequences each stream is one, and b is 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from analyzer.errors import UsageError
from analyzer.load.inputs.fields import Field, Takes
from analyzer.load.inputs.samples import Sample, Samples
from engine.types import InferRequest, Tensor

if TYPE_CHECKING:
    from engine.types import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request, what it is to be answered with (() where that is not known), and its place."""

    request: InferRequest
    expected: tuple[Tensor, ...] = ()
    place: str = ""
    at_ms: float | None = None


def assemble(samples: Samples, model: Takes, batch_size: int) -> tuple[tuple[Prepared, ...], ...]:
    """Make the requests of every stream.

    Raises:
        UsageError: samples of one batch differ in shape, or streams do not fit the model.
    """
    if samples.nested and not model.sequences:
        raise UsageError(
            f"{samples.streams[0][0].place}: lists of samples are for models that keep sequences, "
            f"and {model.model} does not; write the samples in one list"
        )
    if model.sequences and batch_size != 1:
        raise UsageError(
            f"{model.model} keeps sequences: its requests are of batch size 1, not {batch_size}"
        )
    return tuple(_requests(stream, model, batch_size) for stream in samples.streams)


def _requests(stream: Sequence[Sample], model: Takes, batch_size: int) -> tuple[Prepared, ...]:
    count = len(stream)
    starts = range(0, count * batch_size // gcd(count, batch_size), batch_size)
    return tuple(
        _request([stream[(start + row) % count] for row in range(batch_size)], model)
        for start in starts
    )


def _request(rows: Sequence[Sample], model: Takes) -> Prepared:
    tensors = _tensors([row.inputs for row in rows], model.inputs, rows)
    expected: tuple[Tensor, ...] = ()
    if all(row.expected for row in rows):
        expected = _tensors([row.expected for row in rows], model.outputs, rows)
    return Prepared(
        request=InferRequest(inputs=tensors, binary_default=True),
        expected=expected,
        place=rows[0].place,
        at_ms=rows[0].at_ms,
    )


def _tensors(
    arrays: Sequence[Mapping[str, Array]], fields: Sequence[Field], rows: Sequence[Sample]
) -> tuple[Tensor, ...]:
    """Put rows together, field by field; what the first row lacks, all have to lack."""
    made = []
    for field in fields:
        of_rows = [each.get(field.name) for each in arrays]
        there = [each for each in of_rows if each is not None]
        if not there:
            continue
        shapes = {each.shape for each in there}
        if len(there) < len(of_rows) or len(shapes) > 1:
            what = "has it" if len(there) < len(of_rows) else "has the same shape"
            raise UsageError(
                f"{rows[0].place} to {rows[-1].place}: a batch cannot be made of them, as not "
                f"every sample {what}: {field.name}; use batch size 1"
            )
        made.append(Tensor(field.name, field.dtype, _together(there, field, rows)))
    return tuple(made)


def _together(arrays: list[Array], field: Field, rows: Sequence[Sample]) -> Array:
    if field.batched:
        return np.stack(arrays)
    if not all(np.array_equal(each, arrays[0]) for each in arrays):
        raise UsageError(
            f"{rows[0].place} to {rows[-1].place}: a batch has one value of the shape tensor "
            f"{field.name}, and these samples have several; use batch size 1"
        )
    return arrays[0]
