"""One request's use of regions: its inputs come out of them, its outputs go into them.

Owns the time from the request's arrival to its last answer, during which the regions stay. Does not
own the regions (``RegionTable``), nor the form of tensors (``v2.binary``).

Tensors in a GPU's memory are copied to the host and back, except for a model that runs on that GPU
and can use them where they are (``binds``): it is told the place. Kernels may count on the
alignment of CUDA's own allocations, so what lies otherwise is copied.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import Internal, Unavailable
from engine.memory.block import DeviceBlock
from engine.types import DType, OnDevice, place_of
from engine.v2 import binary

if TYPE_CHECKING:
    from engine.memory.table import Held, RegionTable
    from engine.types import InferRequest, Place, RequestedOutput, Span, Tensor
    from engine.v2.call import Infer, SharedInput

#: what CUDA aligns its allocations to, bytes
_ALIGNED = 256


class Use:
    """The regions that one request uses, of a model that ``binds`` memory of these GPUs."""

    def __init__(self, table: RegionTable, binds: frozenset[int] = frozenset()) -> None:
        self._table = table
        self._binds = binds
        self._held: list[Held] = []
        self._outputs: dict[str, tuple[Held, Span]] = {}

    def begin(self, call: Infer) -> InferRequest:
        """Take every region that a request names, and put its inputs in.

        Raises:
            EngineError: a region or a span that is none, or elements that do not fill their shape.
                Nothing is held then.
        """
        try:
            outputs = tuple(map(self._placed, call.request.outputs))
            return self._with_inputs(call, outputs)
        except BaseException:
            self.end()
            raise

    def _placed(self, output: RequestedOutput) -> RequestedOutput:
        if output.span is None:
            return output
        held = self._take(output.span)
        self._outputs[output.name] = (held, output.span)
        place = None if output.classification else self._bound(held, output.span)
        return output if place is None else replace(output, place=place)

    def _bound(self, held: Held, span: Span) -> Place | None:
        """Say where a span lies that the model can use there."""
        if not self._binds or not span.size or not isinstance(held.block, DeviceBlock):
            return None
        place = held.block.place(span.offset, span.size)
        return None if place.device not in self._binds or place.address % _ALIGNED else place

    def _with_inputs(self, call: Infer, outputs: tuple[RequestedOutput, ...]) -> InferRequest:
        request = call.request
        if self._binds:
            request = replace(request, outputs=outputs)
        if not call.shared:
            return request
        inputs = list(request.inputs)
        for shared in call.shared:
            inputs.insert(shared.place, self._read(shared, call.model, request.id))
        return replace(request, inputs=tuple(inputs))

    def _take(self, span: Span) -> Held:
        held = self._table.take(span)
        self._held.append(held)
        return held

    def _read(self, shared: SharedInput, model: str, request_id: str) -> Tensor:
        held, span, slot = self._take(shared.span), shared.span, shared.slot
        if slot.size not in (-1, span.size):
            raise binary.wrong_size(span.size, slot, model, request_id)
        place = None if slot.dtype is DType.BYTES else self._bound(held, span)
        if place is not None:
            return slot.fill(OnDevice(place, slot.dtype.numpy, (slot.count,)).as_array())
        try:
            content = np.empty(span.size, np.uint8).data
        except MemoryError as error:
            message = f"no memory for the {span.size} bytes of input '{slot.name}'"
            raise Unavailable(message) from error
        if span.size:
            held.block.read(span.offset, content)
        return binary.decode(content, slot, model, request_id)

    def store(self, tensor: Tensor) -> bool:
        """Write an output into its region; say whether it has one.

        Raises:
            Internal: its place is too small.
            EngineError: its place is not there any more.
        """
        place = self._outputs.get(tensor.name)
        if place is None:
            return False
        held, span = place
        computed = place_of(tensor.array)
        if computed is not None and isinstance(held.block, DeviceBlock):
            size = tensor.array.nbytes
            _check_room(tensor.name, span, size)
            held.block.write_from(span.offset, computed, size)
            return True
        content = binary.encode(tensor)
        _check_room(tensor.name, span, len(content))
        if len(content):
            held.block.write(span.offset, content)
        return True

    def end(self) -> None:
        """Give every region back."""
        held, self._held = self._held, []
        for one in held:
            self._table.give_back(one)


def _check_room(name: str, span: Span, size: int) -> None:
    if size > span.size:
        raise Internal(
            f"shared memory size specified with the request for output '{name}' "
            f"({span.size} bytes) should be at least {size} bytes to hold the results"
        )
