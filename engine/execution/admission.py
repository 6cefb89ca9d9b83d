"""What a request must be, and its ticket: all that a scheduler will know of it.

Owns what a model's configuration makes of a request (rows, shape key, level, deadline), and what a
model that keeps sequences asks of one. Everything else the service checked. Rules, from Triton:

1. rows are the first dimension where the model batches, and at least 1;
2. requests share a batch only if the inputs whose dimensions may vary agree in them (ragged ones
   need not), and, where inputs are optional, only if they bring the same inputs;
3. a request has a level only under a batcher with priority levels, and a deadline only under one
   with a queue policy (``engine.queueing``), or, by its own timeout, while its sequence waits for
   a slot (``engine.sequencing``).
"""

from __future__ import annotations

from collections.abc import Hashable

from engine.errors import InvalidArgument
from engine.execution.controls import correlation_id
from engine.modelconfig.schema import DynamicBatching, ModelConfig
from engine.queueing import deadline_ns
from engine.ranking import level_of
from engine.scheduler import SequenceMark, Ticket
from engine.types import DType, InferRequest
from engine.v2.binary import tag


class Admission:
    """Writes tickets for one model."""

    def __init__(self, config: ModelConfig) -> None:
        batching = config.dynamic_batching
        self._batched = config.max_batch_size > 0
        self._levels: DynamicBatching | None = None
        if batching is not None and batching.priority_levels:
            self._levels = batching
        self._policy = batching.default_queue_policy if batching is not None else None
        self._sequences = config.sequence_batching is not None
        together = (batching is not None or self._sequences) and config.max_batch_size > 1
        self._varying = frozenset(
            tensor.name
            for tensor in config.input
            if together and -1 in tensor.dims and not tensor.allow_ragged_batch
        )
        self._same_inputs = together and any(tensor.optional for tensor in config.input)

    def ticket(self, request: InferRequest, number: int, now_ns: int) -> Ticket:
        """Write the ticket of a request that arrives now."""
        rows = 1
        if self._batched and request.inputs:
            shape = request.inputs[0].array.shape
            rows = max(1, shape[0]) if shape else 1
        level, policy = 0, self._policy
        if self._levels is not None:
            level = level_of(self._levels, request.priority)
            policy = self._levels.priority_queue_policy.get(level, policy)
        deadline = None
        if policy is not None:
            deadline = deadline_ns(policy, now_ns, request.timeout_us)
        key = self._shape(request) if self._varying or self._same_inputs else None
        if self._sequences:
            mark = SequenceMark(request.sequence_id, request.sequence_start, request.sequence_end)
            if request.timeout_us:
                deadline = now_ns + request.timeout_us * 1000
            return Ticket(number, rows, now_ns, deadline, key, sequence=mark)
        return Ticket(number, rows, now_ns, deadline, key, level)

    def _shape(self, request: InferRequest) -> Hashable:
        parts = [
            (tensor.name, tensor.array.shape[1:] if tensor.name in self._varying else ())
            for tensor in request.inputs
            if self._same_inputs or tensor.name in self._varying
        ]
        if len(parts) > 1:
            parts.sort()
        return tuple(parts)


class SequenceTerms:
    """What a request must be for a model that keeps sequences, whatever its sequence is.

    Rules, from Triton: it names its sequence; it has one row; its correlation id is of the type
    that the model's control input has, if it has one.
    """

    def __init__(self, config: ModelConfig) -> None:
        batching = config.sequence_batching
        assert batching is not None
        self._model = config.name
        self._batched = config.max_batch_size > 0
        self._id = correlation_id(batching)

    def check(self, request: InferRequest) -> None:
        """Let a request pass.

        Raises:
            InvalidArgument: it cannot belong to a sequence of the model.
        """
        start = f"{tag(request.id)}inference request to model '{self._model}' must specify "
        if request.sequence_id in {0, ""}:
            raise InvalidArgument(start + "a non-zero or non-empty correlation ID")
        if self._batched and request.inputs and request.inputs[0].array.shape[0] != 1:
            raise InvalidArgument(start + "batch-size 1 due to requirements of sequence batcher")
        if self._id is None:
            return
        text = isinstance(request.sequence_id, str)
        if text is not (self._id.dtype is DType.BYTES):
            given = DType.BYTES if text else DType.UINT64
            raise InvalidArgument(
                f"{tag(request.id)}sequence batching control '{self._id.name}' data-type is"
                f" '{given.value}', but model '{self._model}' expects '{self._id.dtype.value}'"
            )
