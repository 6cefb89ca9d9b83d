"""The tensors by which a model learns where its sequences are: START, END, READY, CORRID.

Owns their values, which the server fills in beside what a client sends. Does not own which request
is where, nor the model's state (``execution.states``). Rules, from Triton:

1. a control is a tensor of one element: of shape [1], or [1, 1] in a model that batches;
2. START, END and READY are written as their pair of false and true says, whose type is theirs;
3. the correlation id is a number or a text, as the control's type is; a number that its type
   cannot hold loses its high bits;
4. a row that no request has is not ready, neither starts nor ends, and its id is 0 or "".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.modelconfig.agree import control_type
from engine.modelconfig.schema import Control, ControlKind, SequenceBatching
from engine.types import DType, InferRequest, Tensor

_IDS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class CorrelationId:
    """The input that gets the correlation id."""

    name: str
    dtype: DType


class Controls:
    """The control inputs of one model; ``batched`` if it has a batch dimension."""

    def __init__(self, batching: SequenceBatching, *, batched: bool) -> None:
        self._shape = (1, 1) if batched else (1,)
        self._id = correlation_id(batching)
        flags = list(_flags(batching))
        self._flags = {
            (start, end): self._write(flags, start=start, end=end, ready=True)
            for start in (False, True)
            for end in (False, True)
        }
        self._absent = self._write(flags, start=False, end=False, ready=False)

    def of(self, request: InferRequest) -> tuple[Tensor, ...]:
        """Write the controls of a request."""
        flags = self._flags[request.sequence_start, request.sequence_end]
        return flags if self._id is None else (*flags, self._corrid(request.sequence_id))

    def absent(self) -> tuple[Tensor, ...]:
        """Write the controls of a row that no request has."""
        if self._id is None:
            return self._absent
        return (*self._absent, self._corrid("" if self._id.dtype is DType.BYTES else 0))

    def _write(
        self, flags: list[tuple[str, Control]], *, start: bool, end: bool, ready: bool
    ) -> tuple[Tensor, ...]:
        means = {
            ControlKind.CONTROL_SEQUENCE_START: start,
            ControlKind.CONTROL_SEQUENCE_END: end,
            ControlKind.CONTROL_SEQUENCE_READY: ready,
        }
        return tuple(
            _frozen(name, control, self._shape, truth=means[control.kind])
            for name, control in flags
        )

    def _corrid(self, value: int | str) -> Tensor:
        assert self._id is not None
        if self._id.dtype is DType.BYTES:
            array = np.full(self._shape, str(value).encode(), np.object_)
        else:
            number = np.array(int(value) & _IDS, np.uint64)
            array = np.full(self._shape, number.astype(self._id.dtype.numpy))
        return Tensor(self._id.name, self._id.dtype, array)


def correlation_id(batching: SequenceBatching) -> CorrelationId | None:
    """Find the input that gets the correlation id; None if the model wants none."""
    for one in batching.control_input:
        for control in one.control:
            if control.kind is ControlKind.CONTROL_SEQUENCE_CORRID:
                return CorrelationId(one.name, control.data_type or DType.UINT64)
    return None


def _pair(control: Control) -> tuple[float, ...]:
    return control.int32_false_true or control.fp32_false_true or control.bool_false_true


def _flags(batching: SequenceBatching) -> Iterator[tuple[str, Control]]:
    for one in batching.control_input:
        for control in one.control:
            if control.kind is not ControlKind.CONTROL_SEQUENCE_CORRID:
                yield one.name, control


def _frozen(name: str, control: Control, shape: tuple[int, ...], *, truth: bool) -> Tensor:
    dtype = control_type(control) or DType.INT32
    array = np.full(shape, _pair(control)[truth], dtype.numpy)
    array.flags.writeable = False  # every request gets this very one
    return Tensor(name, dtype, array)
