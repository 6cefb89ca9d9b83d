"""Write the ticket of a request: all that a scheduler will know of it.

Owns what a model's configuration makes of a request: rows, shape key, deadline. Does not check
the request; the service did. Rules, from Triton:

1. rows are the first dimension where the model batches, and at least 1;
2. requests share a batch only if the inputs whose dimensions may vary agree in them, and, where
   inputs are optional, only if they bring the same inputs;
3. a request has a deadline only under a batcher with a queue policy (``engine.queueing``), or,
   by its own timeout, while its sequence waits for a slot (``engine.sequencing``).
"""

from __future__ import annotations

from collections.abc import Hashable

from engine.modelconfig.schema import ModelConfig
from engine.queueing import deadline_ns
from engine.scheduler import SequenceMark, Ticket
from engine.types import InferRequest


class Admission:
    """Writes tickets for one model."""

    def __init__(self, config: ModelConfig) -> None:
        batching = config.dynamic_batching
        self._batched = config.max_batch_size > 0
        self._policy = batching.default_queue_policy if batching is not None else None
        self._sequences = config.sequence_batching is not None
        together = (batching is not None or self._sequences) and config.max_batch_size > 1
        self._varying = frozenset(
            tensor.name for tensor in config.input if together and -1 in tensor.dims
        )
        self._same_inputs = together and any(tensor.optional for tensor in config.input)

    def ticket(self, request: InferRequest, number: int, now_ns: int) -> Ticket:
        """Write the ticket of a request that arrives now."""
        rows = 1
        if self._batched and request.inputs:
            shape = request.inputs[0].array.shape
            rows = max(1, shape[0]) if shape else 1
        deadline = None
        if self._policy is not None:
            deadline = deadline_ns(self._policy, now_ns, request.timeout_us)
        key = self._shape(request) if self._varying or self._same_inputs else None
        if self._sequences:
            mark = SequenceMark(request.sequence_id, request.sequence_start, request.sequence_end)
            if request.timeout_us:
                deadline = now_ns + request.timeout_us * 1000
            return Ticket(number, rows, now_ns, deadline, key, sequence=mark)
        return Ticket(number, rows, now_ns, deadline, key, request.priority)

    def _shape(self, request: InferRequest) -> Hashable:
        parts = [
            (tensor.name, tensor.array.shape[1:] if tensor.name in self._varying else ())
            for tensor in request.inputs
            if self._same_inputs or tensor.name in self._varying
        ]
        if len(parts) > 1:
            parts.sort()
        return tuple(parts)
