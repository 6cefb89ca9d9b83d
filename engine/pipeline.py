"""What an ensemble does with one request: which step runs when, and with what. Pure.

Owns the flow of tensors from the request through the steps to the responses. Does not own the
models of the steps, nor how they are called (``execution.ensemble``). Tensors are anything.

1. Only steps run that a requested output needs, and each is asked for needed outputs only.
2. A step runs as soon as all its inputs are there; what is ready at once starts at once.
3. Each answer of a decoupled step is a *flow* of its own, in which the steps behind it run; tensors
   of no flow are at hand in each. Responses leave in the order of the answers they come from.
4. A tensor may never come: the request left it out, or its step did not give it. A step that can
   do without runs without; else it does not run, and what it writes never comes either. Whose
   fault that is is kept (``fault``), except of a decoupled step, whose answers may differ.
5. At most ``most`` calls of one step are under way; more wait, in order.
6. After a failure nothing more starts; it is over when all that was under way has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

Value: TypeAlias = Any
#: the decoupled step that a tensor comes from last; this one for tensors that come from none
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Stage:
    """A step: tensors by the names that its model has for them. ``optional`` inputs may lack."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    decoupled: bool = False


@dataclass(frozen=True)
class Pipeline:
    """An ensemble: what it is given, its steps, what it gives. Its wiring is checked already."""

    name: str
    inputs: Sequence[str]
    stages: tuple[Stage, ...]
    outputs: Sequence[str]
    most: int = 0
    _plans: dict[frozenset[str], _Plan] = field(default_factory=dict, compare=False)

    @cached_property
    def writers(self) -> Mapping[str, int]:
        """Say which step writes a tensor."""
        return {
            tensor: place
            for place, stage in enumerate(self.stages)
            for tensor in stage.outputs.values()
        }

    @cached_property
    def origins(self) -> Mapping[str, int]:
        """Say which decoupled step a tensor comes from last; NOWHERE if from none."""
        found = dict.fromkeys(self.inputs, NOWHERE)
        waiting = list(enumerate(self.stages))
        while ready := [one for one in waiting if found.keys() >= set(one[1].inputs.values())]:
            for place, stage in ready:
                origin = (
                    place
                    if stage.decoupled
                    else max((found[tensor] for tensor in stage.inputs.values()), default=NOWHERE)
                )
                found.update(dict.fromkeys(stage.outputs.values(), origin))
            waiting = [one for one in waiting if one not in ready]
        return found

    def plan(self, wanted: frozenset[str]) -> _Plan:
        """Say what has to run for these outputs; none means all."""
        plan = self._plans.get(wanted)
        if plan is None:
            plan = self._plans[wanted] = _Plan(self, wanted or frozenset(self.outputs))
        return plan


class _Plan:
    """What has to run for some of a pipeline's outputs, and where (rule 1)."""

    def __init__(self, pipeline: Pipeline, wanted: frozenset[str]) -> None:
        stages, writers, origins = pipeline.stages, pipeline.writers, pipeline.origins
        self.wanted = tuple(name for name in pipeline.outputs if name in wanted)
        needed: set[int] = set()
        left = list(self.wanted)
        used = set(left)
        while left:
            place = writers.get(left.pop())
            if place is not None and place not in needed:
                needed.add(place)
                used.update(stages[place].inputs.values())
                left.extend(stages[place].inputs.values())
        self.asked = {
            place: tuple(name for name, tensor in stages[place].outputs.items() if tensor in used)
            for place in sorted(needed)
        }
        self.readers: dict[str, list[int]] = {}
        #: in which flows a step runs, and which steps run in them
        self.within: dict[int, int] = {}
        self.steps: dict[int, list[int]] = {NOWHERE: []}
        for place in self.asked:
            tensors = set(stages[place].inputs.values())
            for tensor in tensors:
                self.readers.setdefault(tensor, []).append(place)
            self.within[place] = max((origins[tensor] for tensor in tensors), default=NOWHERE)
            self.steps.setdefault(self.within[place], []).append(place)
        above: dict[int, tuple[int, ...]] = {NOWHERE: (NOWHERE,)}
        for place in self._in_order(stages):
            above[place] = (*above[self.within[place]], place)
        ends = {origins[name] for name in self.wanted}
        #: the flows that end in responses: no other wanted output lies further down
        self.last = frozenset(
            one for one in ends if not any(one in above[end] for end in ends - {one})
        )
        self.told = {
            one: tuple(name for name in self.wanted if origins[name] in above[one])
            for one in self.last
        }

    def _in_order(self, stages: Sequence[Stage]) -> Iterator[int]:
        """List the decoupled steps, each behind those that it comes from."""
        left = [place for place in self.asked if stages[place].decoupled]
        known = {NOWHERE}
        while left:
            ready = [place for place in left if self.within[place] in known]
            yield from ready
            known.update(ready)
            left = [place for place in left if place not in ready]


@dataclass(frozen=True, slots=True)
class Start:
    """Call a step: with these inputs, asking for those outputs."""

    number: int
    place: int
    inputs: tuple[tuple[str, Value], ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """What follows from an event: calls to make, responses to send (``over``: no more come)."""

    starts: Sequence[Start] = ()
    responses: Sequence[Mapping[str, Value]] = ()
    over: bool = False


class _Flow:
    """One answer of a decoupled step, or the request itself: the tensors, and what waits."""

    __slots__ = ("lacking", "origin", "outer", "values")

    def __init__(self, origin: int, outer: _Flow | None) -> None:
        self.origin = origin
        self.outer = outer
        #: the tensors that are there; None for those that never come
        self.values: dict[str, Value] = {}
        #: how many inputs each step still waits for
        self.lacking: dict[int, int] = {}


class Course:
    """One request's way through a pipeline."""

    def __init__(self, pipeline: Pipeline, wanted: frozenset[str] = frozenset()) -> None:
        self._pipeline = pipeline
        self._plan = pipeline.plan(wanted)
        self._root = _Flow(NOWHERE, None)
        self._flows: list[_Flow] = []
        self._ends: dict[int, deque[_Flow]] = {one: deque() for one in self._plan.last}
        self._calls: dict[int, tuple[int, _Flow]] = {}
        self._under_way: dict[int, int] = {}
        self._queued: dict[int, deque[_Flow]] = {}
        self._next = 0
        self._starts: list[Start] = []
        self._responses: list[Mapping[str, Value]] = []
        self._whys: dict[str, str] = {}
        #: why a requested output never comes; "" while nothing is known to lack
        self.fault = ""
        self.stopped = False

    @property
    def waiting(self) -> int:
        """How many calls wait for others of their step to end (rule 5)."""
        return sum(map(len, self._queued.values()))

    def begin(self, given: Mapping[str, Value]) -> Progress:
        """Take the tensors of the request."""
        self._open(self._root)
        for name in self._pipeline.inputs:
            self._settle(self._root, name, given.get(name), f"the request left out input '{name}'")
        return self._progress()

    def answered(
        self, number: int, outputs: Mapping[str, Value] | None, *, final: bool
    ) -> Progress:
        """Take an answer of a call; None says no more than that it was the last one."""
        place, flow = self._calls[number]
        stage = self._pipeline.stages[place]
        if outputs is not None and not self.stopped:
            within = flow
            if stage.decoupled:
                within = _Flow(place, flow)
                self._open(within)
            for name in self._plan.asked[place]:
                why = (
                    ""
                    if stage.decoupled
                    else (f"step {place} ('{stage.name}') did not give its output '{name}'")
                )
                self._settle(within, stage.outputs[name], outputs.get(name), why)
        if final:
            self._ended(number)
        return self._progress()

    def failed(self, number: int) -> Progress:
        """Learn that a call ended with an error (rule 6)."""
        self.stop()
        self._ended(number)
        return self._progress()

    def stop(self) -> None:
        """Start nothing more (rule 6)."""
        self.stopped = True
        self._queued.clear()
        self._starts.clear()

    def _ended(self, number: int) -> None:
        place, _ = self._calls.pop(number)
        self._under_way[place] -= 1
        queued = self._queued.get(place)
        if queued:
            self._start(place, queued.popleft())

    def _open(self, flow: _Flow) -> None:
        """Begin a flow: its steps wait for what is not at hand."""
        origin = flow.origin
        at_hand = self._root.values if flow is not self._root else {}
        ready = []
        for place in self._plan.steps.get(origin, ()):
            tensors = set(self._pipeline.stages[place].inputs.values())
            flow.lacking[place] = len(tensors - at_hand.keys())
            if not tensors:
                ready.append(place)
        if flow is not self._root:
            self._flows.append(flow)
        if origin in self._ends:
            self._ends[origin].append(flow)
        for place in ready:
            self._ready(place, flow)

    def _settle(self, flow: _Flow, tensor: str, value: Value, why: str) -> None:
        """Learn a tensor, or that it never comes (None), and what follows from it."""
        flow.values[tensor] = value
        if value is None and why:
            self._whys[tensor] = why
            if tensor in self._plan.wanted:
                self.fault = self.fault or why
        for place in self._plan.readers.get(tensor, ()):
            if self._plan.within[place] == flow.origin:
                self._arrived(place, flow)
            else:
                for other in [one for one in self._flows if place in one.lacking]:
                    self._arrived(place, other)

    def _arrived(self, place: int, flow: _Flow) -> None:
        flow.lacking[place] -= 1
        if not flow.lacking[place]:
            self._ready(place, flow)

    def _ready(self, place: int, flow: _Flow) -> None:
        """Run a step that has all it gets, or pass on that it cannot run (rule 4)."""
        flow.lacking.pop(place)
        stage = self._pipeline.stages[place]
        lacks = [
            name
            for name, tensor in stage.inputs.items()
            if self._value(flow, tensor) is None and name not in stage.optional
        ]
        if lacks:
            tensor = stage.inputs[lacks[0]]
            why = self._whys.get(tensor, "")
            if why and not self.fault:
                self.fault = (
                    f"{why}, and step {place} ('{stage.name}') needs it: tensor '{tensor}' is its "
                    f"input '{lacks[0]}'"
                )
            if not stage.decoupled:
                for name in self._plan.asked[place]:
                    self._settle(flow, stage.outputs[name], None, why)
        elif self._pipeline.most and self._under_way.get(place, 0) >= self._pipeline.most:
            self._queued.setdefault(place, deque()).append(flow)
        else:
            self._start(place, flow)

    def _start(self, place: int, flow: _Flow) -> None:
        if self.stopped:
            return
        number = self._next
        self._next = number + 1
        self._under_way[place] = self._under_way.get(place, 0) + 1
        self._calls[number] = (place, flow)
        inputs = tuple(
            (name, value)
            for name, tensor in self._pipeline.stages[place].inputs.items()
            if (value := self._value(flow, tensor)) is not None
        )
        self._starts.append(Start(number, place, inputs, self._plan.asked[place]))

    @staticmethod
    def _value(flow: _Flow, tensor: str) -> Value:
        """Find a tensor in a flow, or in those around it."""
        around: _Flow | None = flow
        while around is not None:
            if tensor in around.values:
                return around.values[tensor]
            around = around.outer
        return None

    def _progress(self) -> Progress:
        if not self.stopped:
            for origin, ends in self._ends.items():
                while ends and self._is_settled(ends[0], self._plan.told[origin]):
                    self._respond(ends.popleft(), self._plan.told[origin])
            self._flows = [flow for flow in self._flows if flow.lacking]
        starts, self._starts = self._starts, []
        responses, self._responses = self._responses, []
        return Progress(starts, responses, not self._calls and not self.waiting)

    @staticmethod
    def _is_settled(flow: _Flow, names: Sequence[str]) -> bool:
        for name in names:
            around: _Flow | None = flow
            while around is not None and name not in around.values:
                around = around.outer
            if around is None:
                return False
        return True

    def _respond(self, flow: _Flow, names: Sequence[str]) -> None:
        found = {name: value for name in names if (value := self._value(flow, name)) is not None}
        # A request that fails in the end is not answered as if all was there.
        if found and (len(found) == len(names) or not self.fault):
            self._responses.append(found)
