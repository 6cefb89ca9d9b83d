"""Implicit state: what a model wrote for a sequence, which it reads again with the next request.

Owns the state tensors of the sequences of one instance, by their slots, and what a state is when
a sequence starts. Does not own which request is where, nor the reading of files. Rules, from
Triton:

1. a sequence starts with zeros (a dimension of -1 is 1 then), or with what ``initial_state`` says;
2. what the model writes replaces the state; where it writes nothing, or fails, the state stays;
3. dimensions of -1 may grow; all others must be what the configuration says;
4. a state that is no output of the configuration never leaves the server;
5. nothing is kept of a sequence that has ended, or whose slot another has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import Dims, ModelConfig, State
from engine.types import Array, DType, Tensor
from engine.v2.binary import decode, slot

#: reads a file of the model's folder ``initial_state``
Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class StateTensor:
    """One state: the model's input and output for it, and what it is at the start.

    ``shape`` is the full shape, -1 where it may grow.
    """

    input: str
    output: str
    dtype: DType
    shape: Dims
    first: Array

    @property
    def grows(self) -> bool:
        """Whether two sequences' states may differ in shape."""
        return -1 in self.shape


def state_tensors(config: ModelConfig, read: Read) -> tuple[StateTensor, ...]:
    """Prepare the states that a configuration declares; ``read`` gives the bytes of a file.

    Raises:
        InvalidArgument: an initial state is not of the state's type or dimensions.
    """
    batching = config.sequence_batching
    lead = (1,) if config.max_batch_size > 0 else ()
    return tuple(
        StateTensor(
            state.input_name,
            state.output_name,
            state.data_type or DType.FP32,
            (*lead, *state.dims),
            _first(state, lead, config.name, read),
        )
        for state in (batching.state if batching is not None else ())
    )


class States:
    """The states of one instance's sequences."""

    def __init__(self, tensors: Sequence[StateTensor]) -> None:
        self._tensors = tuple(tensors)
        self._by_output = {one.output: one for one in tensors}
        self._kept: dict[int, dict[str, Array]] = {}
        self.outputs = frozenset(self._by_output)
        self.grow = any(one.grows for one in tensors)

    def __len__(self) -> int:
        return len(self._kept)

    def inputs(self, slot: int, *, start: bool) -> tuple[Tensor, ...]:
        """Give the states of a slot's sequence, or those of one that starts there."""
        if start:
            self._kept.pop(slot, None)
        kept = self._kept.get(slot, {})
        return tuple(
            Tensor(one.input, one.dtype, kept.get(one.input, one.first)) for one in self._tensors
        )

    def keep(self, slot: int, outputs: Sequence[Tensor]) -> None:
        """Take the states out of what the model wrote for a slot's sequence.

        Raises:
            Internal: one has a shape that the configuration rules out.
        """
        fresh: dict[str, Array] = {}
        for tensor in outputs:
            state = self._by_output.get(tensor.name)
            if state is None:
                continue
            if not _fits(tensor.array.shape, state.shape):
                raise Internal(
                    f"state output '{tensor.name}' came out with shape"
                    f" {list(tensor.array.shape)}, but the configuration says {list(state.shape)}"
                )
            # A view would keep the whole batch's array alive for this one sequence.
            own = tensor.array if tensor.array.base is None else tensor.array.copy()
            fresh[state.input] = own
        if fresh:
            self._kept[slot] = {**self._kept.get(slot, {}), **fresh}

    def drop(self, slot: int) -> None:
        """Forget what a slot's sequence had."""
        self._kept.pop(slot, None)


def _first(state: State, lead: Dims, model: str, read: Read) -> Array:
    dtype = state.data_type or DType.FP32
    if not state.initial_state:
        array = _zeros(dtype, (*lead, *(1 if dim < 0 else dim for dim in state.dims)))
    else:
        initial = state.initial_state[0]
        shape = (*lead, *initial.dims)
        if initial.data_file is None:
            array = _zeros(dtype, shape)
        else:
            array = _read(state, initial.data_file, shape, model, read)
    array.flags.writeable = False
    return array


def _read(state: State, file: str, shape: Dims, model: str, read: Read) -> Array:
    content = read(file)
    dtype = state.data_type or DType.FP32
    size = prod(shape) * dtype.size
    if len(content) < size:
        raise InvalidArgument(
            f"initial_state setting expects {size} bytes, but the data provided from {file} only"
            f" has {len(content)} bytes."
        )
    place = slot(state.input_name, dtype, shape)
    used = content if dtype is DType.BYTES else content[:size]
    return decode(used, place, model, "").array.copy()


def _zeros(dtype: DType, shape: Dims) -> Array:
    if dtype is DType.BYTES:
        return np.full(shape, b"", np.object_)
    return np.zeros(shape, dtype.numpy)


def _fits(shape: tuple[int, ...], wanted: Dims) -> bool:
    return len(shape) == len(wanted) and all(
        want in {-1, have} for have, want in zip(shape, wanted, strict=True)
    )
