"""Tensors in memory that is shared with the server: which lies where, and who knows of it.

Owns the layout, and that the server is told and told off. Does not own the memory (``memory``).

Rules:

1. All inputs lie in one region, each tensor once, however many requests carry it; all outputs in
   another, which requests in flight share, as in perf_analyzer: nobody reads it.
2. An output has room for the size that its model declares, and at least for
   ``output_shared_memory_size`` bytes.
3. Whatever happens, the server forgets the regions at the end, as far as it still answers.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.errors import LaunchError, LoadError
from analyzer.load.memory import memory_of
from engine.types import DType, InferRequest, RequestedOutput, Span
from engine.v2.binary import encode, slot
from engine.v2.call import Infer, SharedInput

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.load.memory import Memory
    from analyzer.load.workload import Item, Workload
    from analyzer.record.row import LoadSpec
    from engine.types import Tensor, TensorSpec

ALIGNMENT = 256


@dataclass(frozen=True, slots=True)
class Regions:
    """Where tensors lie: inputs by the identity of their tensor, outputs by their model.

    Identities are those of a workload's tensors, so it is of use for as long as that lives.
    """

    inputs: Mapping[int, Span]
    outputs: Mapping[tuple[str, str], tuple[RequestedOutput, ...]]

    def call(self, item: Item, request: InferRequest) -> Infer:
        """Return the call whose tensors lie there."""
        shared = tuple(
            SharedInput(place, slot(tensor.name, tensor.dtype, tensor.array.shape), span)
            for place, tensor in enumerate(request.inputs)
            if (span := self.inputs[id(tensor)])
        )
        outputs = request.outputs or self.outputs[item.model, item.version]
        return Infer(item.model, item.version, replace(request, inputs=(), outputs=outputs), shared)


@contextmanager
def regions_of(endpoint: Endpoint, workload: Workload, load: LoadSpec) -> Iterator[Regions | None]:
    """Share memory for a workload with a server, for a while; None where none is wanted.

    Raises:
        LoadError: there is no such memory, or the server refuses it.
    """
    if load.shared_memory == "none":
        yield None
        return
    if any(item.expected for item in workload.items):
        raise LoadError(
            "answers cannot be checked that lie in shared memory, which all requests share; leave "
            "out validation_data, or --shared-memory"
        )
    name = f"servetune_{os.getpid()}_{secrets.token_hex(4)}"
    inputs, spans, size = _inputs(workload, f"{name}_in")
    outputs, room = _outputs(endpoint, workload, load, f"{name}_out")
    with ExitStack() as stack:
        memory = stack.enter_context(_registered(endpoint, load, f"{name}_in", size))
        for tensor in inputs:
            memory.write(spans[id(tensor)].offset, encode(tensor))
        if room:
            stack.enter_context(_registered(endpoint, load, f"{name}_out", room))
        yield Regions(spans, outputs)


@contextmanager
def _registered(endpoint: Endpoint, load: LoadSpec, name: str, size: int) -> Iterator[Memory]:
    memory = memory_of(load.shared_memory, name, size)
    try:
        try:
            v2client.register_memory(endpoint, memory.region)
        except LaunchError as error:
            raise LoadError(
                f"the server takes no {load.shared_memory} shared memory (it has to be on this "
                f"machine): {error.message}"
            ) from error
        memory.opened()
        try:
            yield memory
        finally:
            with contextlib.suppress(LaunchError):
                v2client.unregister_memory(endpoint, memory.region)
    finally:
        memory.close()


def _inputs(workload: Workload, name: str) -> tuple[list[Tensor], dict[int, Span], int]:
    """Lay out every input: the tensors, where each lies, and the size of all."""
    tensors, spans, end = [], {}, 0
    for item in workload.items:
        for request in chain(item.requests, *item.sequences):
            for tensor in request.inputs:
                if id(tensor) not in spans:
                    size = len(encode(tensor))
                    spans[id(tensor)] = Span(name, end, size)
                    tensors.append(tensor)
                    end = _aligned(end + size)
    return tensors, spans, max(end, ALIGNMENT)


def _outputs(
    endpoint: Endpoint, workload: Workload, load: LoadSpec, name: str
) -> tuple[dict[tuple[str, str], tuple[RequestedOutput, ...]], int]:
    """Lay out every output of every model; they may overlap between models."""
    found, room = {}, 0
    for item in workload.items:
        described = v2client.model_metadata(endpoint, item.model, item.version)
        end, wanted = 0, []
        for spec in described.outputs:
            size = max(_declared(spec, item.inferences), load.output_shared_memory_size)
            wanted.append(RequestedOutput(spec.name, binary=True, span=Span(name, end, size)))
            end = _aligned(end + size)
        found[item.model, item.version] = tuple(wanted)
        room = max(room, end)
    return found, room


def _declared(spec: TensorSpec, rows: int) -> int:
    """Return how many bytes an output takes as far as its model says, 0: it does not say."""
    own = spec.shape[1:] if spec.shape[:1] == (-1,) else spec.shape
    if spec.dtype is DType.BYTES or any(size < 0 for size in own):
        return 0
    return rows * prod(own) * spec.dtype.size


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
