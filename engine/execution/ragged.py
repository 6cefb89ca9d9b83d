"""Batches whose requests differ in shape, and the tensors that tell a model where each one lies.

Owns ``allow_ragged_batch``, ``batch_input`` and ``batch_output``: the arrays that a model gets
besides what requests bring, and how an output without a batch axis is dealt out. Does not own
which requests run together, nor tensors that have a batch axis (``execution.batch``). Rules,
from Triton (``model_config.proto``, ``backend_input_collector.cc``):

1. the ragged inputs of a batch lie one behind the other in a tensor of one dimension, even if
   there is but one request;
2. a batch input is computed from the shapes of one input, its source: a count of elements covers
   the whole request, the batch dimension included, and is one number a *request*; an item's shape
   leaves the batch dimension out, and is there once for every *row*;
3. BATCH_MAX_ELEMENT_COUNT_AS_SHAPE says what it says by its length alone; its elements are 0;
4. an output that is dealt out by an input's shape lies flat as well: each request gets as many
   elements as its shape has, which is the output's with the sizes of that input at -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import BatchInput, BatchInputKind, Dims, ModelConfig
from engine.types import Array, DType

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Dealt:
    """An output that is dealt out by the shapes of ``source``; ``shape`` has the batch axis."""

    source: str
    shape: Dims

    def deal(self, name: str, array: Array, shapes: Shapes) -> list[Array]:
        """Give each request its part of the flat ``array``, by the shapes of its source.

        Raises:
            Internal: the array holds more elements than the requests take, or fewer.
        """
        wanted = [self._shape(shape) for shape in shapes]
        ends = np.cumsum([prod(shape) for shape in wanted])
        if array.size != ends[-1]:
            raise Internal(
                f"output '{name}' came out with {array.size} elements, but the shapes of input"
                f" '{self.source}' make {ends[-1]}; a batch output holds all of them and no more"
            )
        parts = np.split(array.reshape(-1), ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, wanted, strict=True)]

    def _shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            given[place] if size == -1 and place < len(given) else size
            for place, size in enumerate(self.shape)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ragged:
    """What of a model's tensors is ragged: names of inputs, computed inputs, dealt outputs."""

    flat: frozenset[str]
    made: tuple[BatchInput, ...]
    dealt: Mapping[str, Dealt]

    def join(self, parts: Mapping[str, Sequence[Array]]) -> dict[str, Array]:
        """Make the arrays of a batch out of what each request brings, by input name.

        Raises:
            InvalidArgument: the requests lack an input that another is computed from.
        """
        arrays: dict[str, Array] = {}
        for name, brought in parts.items():
            pieces = [one.reshape(-1) for one in brought] if name in self.flat else brought
            arrays[name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        for made in self.made:
            source = made.source_input[0]
            if source not in parts:
                raise InvalidArgument(
                    f"input '{source}' is missing, which batch input"
                    f" '{made.target_name[0]}' is computed from"
                )
            array = _compute(made, [one.shape for one in parts[source]])
            arrays.update(dict.fromkeys(made.target_name, array))
        return arrays


def ragged(config: ModelConfig) -> Ragged | None:
    """Read from a complete configuration what is ragged; None, as a rule, if nothing is."""
    flat = frozenset(tensor.name for tensor in config.input if tensor.allow_ragged_batch)
    dealt = dict(_dealt(config))
    if not flat and not config.batch_input and not dealt:
        return None
    return Ragged(flat=flat, made=config.batch_input, dealt=dealt)


def _dealt(config: ModelConfig) -> Iterator[tuple[str, Dealt]]:
    dims = {output.name: output.dims for output in config.output}
    lead = (-1,) if config.max_batch_size > 0 else ()
    for output in config.batch_output:
        for name in output.target_name:
            yield name, Dealt(output.source_input[0], (*lead, *dims[name]))


def _compute(made: BatchInput, shapes: Shapes) -> Array:
    """Compute a batch input from its source's shapes (rules 2 and 3)."""
    dtype = (made.data_type or DType.INT32).numpy
    counts = [prod(shape) for shape in shapes]
    match made.kind:
        case BatchInputKind.BATCH_ELEMENT_COUNT:
            return np.array(counts, dtype)
        case BatchInputKind.BATCH_ACCUMULATED_ELEMENT_COUNT:
            return np.cumsum(counts).astype(dtype)
        case BatchInputKind.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            return np.cumsum([0, *counts]).astype(dtype)
        case BatchInputKind.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE:
            return np.zeros(max(counts), dtype)
        case BatchInputKind.BATCH_ITEM_SHAPE:
            return _items(shapes).astype(dtype)
        case BatchInputKind.BATCH_ITEM_SHAPE_FLATTEN:
            return _items(shapes).astype(dtype).reshape(-1)


def _items(shapes: Shapes) -> Array:
    """List the shape of every row, without the batch dimension: [rows, dimensions]."""
    return np.concatenate([np.tile(np.array(shape[1:]), (shape[0], 1)) for shape in shapes])
