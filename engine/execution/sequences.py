"""Requests of sequences on their way into an instance and out of it.

Owns what the sequence batcher adds to a batch: control inputs, implicit state, and requests for
the rows that no sequence needs at the moment. It stands between the pump and an instance, and
looks like an instance to the one and like the pump to the other; so models of arrays and models
that see requests work alike. Does not own which sequence has which slot (``engine.sequencing``).
Everything here is for the event loop's thread. Rules:

1. with the direct strategy a request's row is its sequence's slot: rows before it that have no
   request get one that is not ready, of the same shapes, whose answer nobody gets;
2. requests whose states differ in shape cannot be joined: they run one group after the other;
3. a batch that fails is not run again request by request: the model may have seen it already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from engine.errors import EngineError
from engine.execution.batch import Layout, OutputLayout
from engine.execution.controls import Controls
from engine.execution.executing import ExecutorInstance
from engine.execution.instance import Outcome
from engine.execution.pump import OpenWorker, Worker
from engine.execution.replies import Course, Reply
from engine.execution.states import States, StateTensor
from engine.modelconfig.schema import ModelConfig, SequenceBatching
from engine.telemetry.stats import Timings
from engine.types import Array, DType, InferRequest, InferResponse, RequestedOutput, Tensor

_NOBODY = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that run together, complete; ``places`` are theirs in the batch, -1 for nobody's."""

    requests: tuple[InferRequest, ...]
    places: tuple[int, ...]


class Feed:
    """What one instance's requests are given, and what is taken from its answers."""

    def __init__(
        self, config: ModelConfig, batching: SequenceBatching, tensors: Sequence[StateTensor]
    ) -> None:
        self._controls = Controls(batching, batched=config.max_batch_size > 0)
        self._states = States(tensors)
        self._aligned = batching.oldest is None and config.max_batch_size > 0
        self._shown = frozenset(output.name for output in config.output)

    def enter(
        self, requests: Sequence[InferRequest], slots: Sequence[int], *, joined: bool
    ) -> list[Group]:
        """Complete a batch's requests: one group, or, if they are ``joined``, some by rule 2."""
        entered = [
            self._complete(request, slot) for request, slot in zip(requests, slots, strict=True)
        ]
        if not (joined and self._states.grow) or len(entered) == 1:
            return [self._group(entered, slots, range(len(entered)))]
        alike: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for place, request in enumerate(entered):
            alike.setdefault(tuple(one.array.shape for one in request.inputs), []).append(place)
        return [self._group(entered, slots, places) for places in alike.values()]

    def leave(self, request: InferRequest, slot: int, answer: InferResponse) -> InferResponse:
        """Keep the state that an answer holds; give what the client is to get of it.

        Raises:
            Internal: a state has a shape that the configuration rules out.
        """
        outputs = self._states.outputs
        if not outputs:
            return answer
        if not request.sequence_end:
            self._states.keep(slot, answer.outputs)
        shown = {output.name for output in request.outputs} or self._shown
        kept = (one for one in answer.outputs if one.name in shown or one.name not in outputs)
        return replace(answer, outputs=tuple(kept))

    def forget(self, slot: int) -> None:
        """Drop what a slot's sequence had."""
        self._states.drop(slot)

    @property
    def remembered(self) -> int:
        """Of how many slots there is a state."""
        return len(self._states)

    def _complete(self, request: InferRequest, slot: int) -> InferRequest:
        states = self._states.inputs(slot, start=request.sequence_start)
        outputs = request.outputs
        if outputs and self._states.outputs:
            asked = {output.name for output in outputs}
            more = sorted(self._states.outputs - asked)
            outputs = (*outputs, *(RequestedOutput(name) for name in more))
        inputs = (*request.inputs, *self._controls.of(request), *states)
        return replace(request, inputs=inputs, outputs=outputs)

    def _group(
        self, entered: Sequence[InferRequest], slots: Sequence[int], places: Sequence[int]
    ) -> Group:
        if not self._aligned:
            return Group(tuple(entered[place] for place in places), tuple(places))
        at = {slots[place]: place for place in places}
        rows = [at.get(slot, _NOBODY) for slot in range(max(at) + 1)]
        nobody = self._nobody(entered[places[0]]) if _NOBODY in rows else None
        requests = (entered[place] if place != _NOBODY else nobody for place in rows)
        return Group(tuple(one for one in requests if one is not None), tuple(rows))

    def _nobody(self, like: InferRequest) -> InferRequest:
        """Make the request of an empty row, of the shapes of another's."""
        absent = {one.name: one for one in self._controls.absent()}
        inputs = tuple(
            absent.get(one.name) or Tensor(one.name, one.dtype, _blank(one)) for one in like.inputs
        )
        return InferRequest(inputs=inputs, outputs=like.outputs)


class SequenceInstance:
    """An instance whose requests belong to sequences."""

    def __init__(self, inside: Worker, feed: Feed) -> None:
        self._inside = inside
        self._feed = feed
        self._joined = not isinstance(inside, ExecutorInstance)
        self._group: Group | None = None
        self._unwanted: set[int] = set()

    def run(
        self,
        requests: Sequence[InferRequest],
        finished: Callable[[Outcome], None],
        slots: tuple[int, ...] = (),
    ) -> Outcome | None:
        """Run a batch at once and give its outcome, or later and call ``finished``."""
        self._unwanted.clear()
        groups = deque(self._feed.enter(requests, slots, joined=self._joined))
        return self._next(_Batch(requests, slots, finished, groups))

    def cancel(self, place: int) -> None:
        """Pass on that a request of the running batch is not wanted any more."""
        self._unwanted.add(place)
        group = self._group
        if group is None or place not in group.places:
            return
        self._inside.cancel(group.places.index(place))
        if self._unwanted.issuperset(one for one in group.places if one != _NOBODY):
            for row, one in enumerate(group.places):
                if one == _NOBODY:
                    self._inside.cancel(row)

    def forget(self, slot: int) -> None:
        """Drop the state of a sequence that is over."""
        self._feed.forget(slot)

    @property
    def remembered(self) -> int:
        """Of how many slots there is a state."""
        return self._feed.remembered

    def close(self, closed: Callable[[], None]) -> None:
        """Free the model; then call back on the loop."""
        self._inside.close(closed)

    def _next(self, batch: _Batch) -> Outcome | None:
        """Run the groups that are left, as far as they run at once."""
        while batch.groups:
            group = self._group = batch.groups.popleft()
            outcome = self._inside.run(group.requests, partial(self._ended, batch, group))
            if outcome is None:
                return None
            batch.take(group, outcome, self._feed)
        self._group = None
        return batch.outcome()

    def _ended(self, batch: _Batch, group: Group, outcome: Outcome) -> None:
        batch.take(group, outcome, self._feed)
        whole = self._next(batch)
        if whole is not None:
            batch.finished(whole)


class SequenceOpenInstance(SequenceInstance):
    """The same for a decoupled model."""

    def __init__(self, inside: OpenWorker, feed: Feed) -> None:
        super().__init__(inside, feed)
        self._open = inside

    def begin(
        self, requests: Sequence[InferRequest], course: Course, slots: tuple[int, ...] = ()
    ) -> Callable[[int], None]:
        """Execute a batch, later; tells ``course``. Returns what cancels one of its requests."""
        (group,) = self._feed.enter(requests, slots, joined=False)

        def replied(reply: Reply) -> None:
            place = group.places[reply.place]
            if place == _NOBODY:
                return
            answer = _left(self._feed, requests[place], slots[place], reply.answer)
            course.replied(replace(reply, place=place, answer=answer))

        cancel = self._open.begin(group.requests, Course(replied, course.released))
        return lambda place: cancel(group.places.index(place))


def sequenced(
    workers: Sequence[Worker], config: ModelConfig, tensors: Sequence[StateTensor]
) -> Sequence[Worker]:
    """Put what the sequence batcher adds before a model's instances, if there is one."""
    batching = config.sequence_batching
    if batching is None:
        return workers
    return [
        SequenceOpenInstance(worker, Feed(config, batching, tensors))
        if isinstance(worker, OpenWorker)
        else SequenceInstance(worker, Feed(config, batching, tensors))
        for worker in workers
    ]


class _Batch:
    """A batch under way, maybe in several groups."""

    def __init__(
        self,
        requests: Sequence[InferRequest],
        slots: Sequence[int],
        finished: Callable[[Outcome], None],
        groups: deque[Group],
    ) -> None:
        self.finished = finished
        self.groups = groups
        self._requests = requests
        self._slots = slots
        self._answers: dict[int, InferResponse | EngineError] = {}
        self._timings: Timings | None = None
        self._rows = 0

    def take(self, group: Group, outcome: Outcome, feed: Feed) -> None:
        """Learn what became of a group."""
        self._rows += len(group.places)
        self._timings = _sum(self._timings, outcome.timings)
        for place, answer in _answers(group, outcome):
            request, slot = self._requests[place], self._slots[place]
            self._answers[place] = _left(feed, request, slot, answer)

    def outcome(self) -> Outcome:
        """Give what became of all."""
        assert self._timings is not None
        answers = [self._answers[place] for place in range(len(self._requests))]
        failed = any(isinstance(one, EngineError) for one in answers)
        return Outcome(answers, self._timings, apart=failed, rows=self._rows)


def _answers(group: Group, outcome: Outcome) -> Iterator[tuple[int, InferResponse | EngineError]]:
    result = outcome.result
    for row, place in enumerate(group.places):
        if place != _NOBODY:
            yield place, result if isinstance(result, EngineError) else result[row]


def _left(
    feed: Feed, request: InferRequest, slot: int, answer: InferResponse | EngineError
) -> InferResponse | EngineError:
    if isinstance(answer, EngineError):
        return answer
    try:
        return feed.leave(request, slot, answer)
    except EngineError as error:
        return error


def _sum(one: Timings | None, other: Timings) -> Timings:
    if one is None:
        return other
    return Timings(
        one.started_ns,
        one.input_ns + other.input_ns,
        one.infer_ns + other.infer_ns,
        one.output_ns + other.output_ns,
    )


def _blank(tensor: Tensor) -> Array:
    if tensor.dtype is DType.BYTES:
        return np.full(tensor.array.shape, b"", np.object_)
    return np.zeros_like(tensor.array)


def with_states(layout: Layout, tensors: Sequence[StateTensor]) -> Layout:
    """Add to a layout the states that are no outputs of the configuration."""
    more = (OutputLayout(one.output, one.dtype) for one in tensors)
    return replace(
        layout,
        outputs=(*layout.outputs, *(one for one in more if one.name not in layout.names)),
    )
