"""One request's use of regions: its inputs come out of them, its outputs go into them.

Owns the time from the request's arrival to its last answer, during which the regions stay. Does not
own the regions (``RegionTable``), nor the form of tensors (``v2.binary``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import Internal, Unavailable
from engine.v2 import binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.memory.table import Held, RegionTable
    from engine.types import InferRequest, RequestedOutput, Span, Tensor
    from engine.v2.call import Infer, SharedInput


class Use:
    """The regions that one request uses."""

    def __init__(self, table: RegionTable) -> None:
        self._table = table
        self._held: list[Held] = []
        self._outputs: dict[str, tuple[Held, Span]] = {}

    def begin(self, call: Infer) -> InferRequest:
        """Take every region that a request names, and put its inputs in.

        Raises:
            EngineError: a region or a span that is none, or elements that do not fill their shape.
                Nothing is held then.
        """
        try:
            self._take_outputs(call.request.outputs)
            return self._with_inputs(call)
        except BaseException:
            self.end()
            raise

    def _take_outputs(self, outputs: Sequence[RequestedOutput]) -> None:
        for output in outputs:
            if output.span is not None:
                self._outputs[output.name] = (self._take(output.span), output.span)

    def _with_inputs(self, call: Infer) -> InferRequest:
        request = call.request
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
        content = binary.encode(tensor)
        if len(content) > span.size:
            raise Internal(
                f"shared memory size specified with the request for output '{tensor.name}' "
                f"({span.size} bytes) should be at least {len(content)} bytes to hold the results"
            )
        if len(content):
            held.block.write(span.offset, content)
        return True

    def end(self) -> None:
        """Give every region back."""
        held, self._held = self._held, []
        for one in held:
            self._table.give_back(one)
