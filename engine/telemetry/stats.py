"""What a model version did since it was loaded: the counters, and a frozen picture of them.

Owns the meaning of each number (Triton's statistics extension): ``success``, ``queue`` and the
three ``compute`` tallies count requests; each request of a batch is charged the whole batch's
durations, so that one request's queue and compute times never add up to more than its total;
``inference_count`` counts rows, ``execution_count`` counts runs of the backend. A request that
the response cache answered is a success that waited 0 ns; it counts in neither of these, nor in
the ``compute`` tallies. Does not own how any of it is rendered, nor where the times come from.
One thread uses a ledger.

Triton leaves requests that a full queue turns away out of its figures; here they are failures
with the reason REJECTED, so that no request vanishes from the numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.telemetry.pictures import SpreadPicture


class FailureReason(Enum):
    """Why a request failed; the value is the ``reason`` label of Triton's metrics."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


class Closing(Enum):
    """Why a batch left with no more in it (``schedulers.explained``)."""

    MAX = "max"
    PREFERRED = "preferred"
    DELAY = "delay"
    IDLE = "idle"
    SHAPE = "shape"
    ROOM = "room"
    OTHER = "other"


class ResponseKind(Enum):
    """What became of one response of a decoupled model; the value is the statistics' word."""

    SUCCESS = "success"
    FAIL = "fail"
    EMPTY = "empty_response"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened, and the sum of how long it took, ns."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchTally:
    """The runs of one batch size: how many, and how long their three parts took."""

    batch_size: int
    compute_input: Tally
    compute_infer: Tally
    compute_output: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTally:
    """The responses that were a request's first, or second ...: ``index`` counts from 0."""

    index: int
    compute_infer: Tally = Tally()
    compute_output: Tally = Tally()
    success: Tally = Tally()
    fail: Tally = Tally()
    empty_response: Tally = Tally()
    cancel: Tally = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTally:
    """What was done on one device: None is the CPU, a number is that GPU.

    Those of all devices add up to the model's. What the response cache answered is on None.
    """

    device: int | None
    inference_count: int = 0
    execution_count: int = 0
    success: Tally = Tally()
    queue: Tally = Tally()
    compute_input: Tally = Tally()
    compute_infer: Tally = Tally()
    compute_output: Tally = Tally()


@dataclass(frozen=True, slots=True)
class MemoryTally:
    """How much memory of a device is a model's: ``device`` None is the CPU, a number that GPU."""

    device: int | None
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """A picture of a ledger, in the words of the statistics extension.

    ``last_inference`` is in ms since 1970-01-01 UTC, 0 before the first inference.
    ``batch_stats`` is in order of batch size, ``response_stats`` of index (decoupled models only).
    ``failures`` has a number for every reason, and they add up to ``fail.count``. ``devices`` are
    those that its ``instances`` are on. ``pending`` requests wait for an instance at this moment.
    ``caches`` says that a response cache is asked first. ``closings`` says why batches left, where
    that is asked for. ``runtime`` is what really runs the model, in its own words. ``memory`` is
    there for models whose instances have processes of their own: nobody else's is told apart.
    """

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Tally = Tally()
    fail: Tally = Tally()
    queue: Tally = Tally()
    compute_input: Tally = Tally()
    compute_infer: Tally = Tally()
    compute_output: Tally = Tally()
    cache_hit: Tally = Tally()
    cache_miss: Tally = Tally()
    batch_stats: tuple[BatchTally, ...] = ()
    response_stats: tuple[ResponseTally, ...] = ()
    failures: Mapping[FailureReason, int] = field(
        default_factory=lambda: dict.fromkeys(FailureReason, 0)
    )
    devices: tuple[DeviceTally, ...] = (DeviceTally(device=None),)
    pending: int = 0
    instances: int = 1
    caches: bool = False
    closings: Mapping[Closing, int] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)
    memory: tuple[MemoryTally, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """When a batch began to be computed, and how long its three parts took, ns."""

    started_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int

    @property
    def total_ns(self) -> int:
        """From the beginning to the end."""
        return self.input_ns + self.infer_ns + self.output_ns


class Spread(Protocol):
    """Learns the times of each single request, where more than their sums is asked for."""

    def answered(self, arrived_ns: Sequence[int], timings: Timings, done_ns: int) -> None:
        """Learn of a batch whose requests arrived at these times."""
        ...

    def first_responded(self, ns: int) -> None:
        """Learn that a decoupled model's first response to a request left after ``ns``."""
        ...

    def looked_up(self, ns: int, done_ns: int, *, hit: bool) -> None:
        """Learn how long the response cache was asked, and stored into."""
        ...

    def picture(self, now_ns: int) -> SpreadPicture:
        """Freeze what was learnt as it is now."""
        ...


class _Count:
    """A tally that grows."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0

    def add(self, count: int, ns: int) -> None:
        self.count += count
        self.ns += ns

    def picture(self) -> Tally:
        return Tally(self.count, self.ns)


class _Compute:
    """The three parts of computing, counted together."""

    __slots__ = ("infer", "input", "output")

    def __init__(self) -> None:
        self.input = _Count()
        self.infer = _Count()
        self.output = _Count()

    def add(self, count: int, timings: Timings) -> None:
        self.input.add(count, count * timings.input_ns)
        self.infer.add(count, count * timings.infer_ns)
        self.output.add(count, count * timings.output_ns)


class _Responses:
    """The responses of one index."""

    __slots__ = ("infer", "kinds", "output")

    def __init__(self) -> None:
        self.infer = _Count()
        self.output = _Count()
        self.kinds = {kind: _Count() for kind in ResponseKind}

    def add(self, kind: ResponseKind, infer_ns: int, output_ns: int) -> None:
        if kind is not ResponseKind.CANCEL:
            self.infer.add(1, infer_ns)
            if kind is not ResponseKind.EMPTY:
                self.output.add(1, output_ns)
        self.kinds[kind].add(1, infer_ns + output_ns)

    def picture(self, index: int) -> ResponseTally:
        kinds = {kind.value: count.picture() for kind, count in self.kinds.items()}
        return ResponseTally(
            index=index,
            compute_infer=self.infer.picture(),
            compute_output=self.output.picture(),
            **kinds,
        )


class _Device:
    """What is done on one device."""

    __slots__ = ("compute", "queue", "rows", "runs", "success")

    def __init__(self) -> None:
        self.rows = 0
        self.runs = 0
        self.success = _Count()
        self.queue = _Count()
        self.compute = _Compute()

    def picture(self, device: int | None) -> DeviceTally:
        return DeviceTally(
            device=device,
            inference_count=self.rows,
            execution_count=self.runs,
            success=self.success.picture(),
            queue=self.queue.picture(),
            compute_input=self.compute.input.picture(),
            compute_infer=self.compute.infer.picture(),
            compute_output=self.compute.output.picture(),
        )


class Ledger:
    """Counts what one model version does. Its cost grows with batches, not with requests.

    ``devices`` says where each instance that gets requests is, by its number: None is the CPU,
    and where an instance is that is not listed. ``spread`` is told of each request, if it is set;
    ``caches`` says that a response cache is asked first.
    """

    spread: Spread | None = None
    caches: bool = False

    def __init__(self, name: str, version: int, devices: Sequence[int | None] = (None,)) -> None:
        self.model: str = name
        self.version: str = str(version)
        self._last_inference = 0
        self._fail = _Count()
        self._sizes: dict[int, _Compute] = {}
        self._responses: dict[int, _Responses] = {}
        self._failures = dict.fromkeys(FailureReason, 0)
        self._closings: dict[Closing, int] = {}
        self._hits = _Count()
        self._misses = _Count()
        self._devices: dict[int | None, _Device] = {}
        self._instances = 0
        self._on: dict[int, _Device] = defaultdict(lambda: self._device(None))
        self.place(dict(enumerate(devices)))

    def place(self, devices: Mapping[int, int | None]) -> None:
        """Learn which instances there are, by number, and where; what was counted before stays.

        One that is gone may still end what it was given: it counts where it was.
        """
        self._instances = len(devices)
        self._on.update((number, self._device(device)) for number, device in devices.items())

    def _device(self, device: int | None) -> _Device:
        return self._devices.setdefault(device, _Device())

    def executed(self, rows: int, timings: Timings, wall_ms: int, instance: int = 0) -> None:
        """Count one run of the backend on ``rows`` rows, whether or not it succeeded."""
        self._on[instance].runs += 1
        self._last_inference = wall_ms
        size = self._sizes.get(rows)
        if size is None:
            size = self._sizes[rows] = _Compute()
        size.add(1, timings)

    def succeeded(
        self,
        requests: int,
        rows: int,
        arrived_sum_ns: int,
        timings: Timings,
        done_ns: int,
        instance: int = 0,
    ) -> None:
        """Count a batch's requests as answered.

        ``arrived_sum_ns`` is the sum of the times at which they arrived.
        """
        on = self._on[instance]
        on.rows += rows
        on.success.add(requests, requests * done_ns - arrived_sum_ns)
        on.queue.add(requests, requests * timings.started_ns - arrived_sum_ns)
        on.compute.add(requests, timings)

    def failed(self, reason: FailureReason, ns: int) -> None:
        """Count a request that ended with an error after ``ns``."""
        self._fail.add(1, ns)
        self._failures[reason] += 1

    def responded(self, index: int, kind: ResponseKind, infer_ns: int, output_ns: int = 0) -> None:
        """Count one response of a decoupled model; ``index`` says which of its request, from 0.

        ``infer_ns`` is the time that the model took for it: since the request's run began, or
        since the response before it. ``output_ns`` is the time to hand it over. An empty
        response hands nothing over; one cancelled counts in no ``compute`` tally.
        """
        responses = self._responses.get(index)
        if responses is None:
            responses = self._responses[index] = _Responses()
        responses.add(kind, infer_ns, output_ns)

    def explain(self) -> Callable[[Closing], None]:
        """Count from now on why batches left; the answer is what to tell it."""
        counts = self._closings = dict.fromkeys(Closing, 0)

        def closed(reason: Closing) -> None:
            counts[reason] += 1

        return closed

    def first_responded(self, ns: int) -> None:
        """Learn that a decoupled model's first response to a request left ``ns`` after it came."""
        if self.spread is not None:
            self.spread.first_responded(ns)

    def hit(self, lookup_ns: int, total_ns: int) -> None:
        """Count a request that the response cache answered, after ``total_ns`` in all."""
        self._hits.add(1, lookup_ns)
        device = self._device(None)
        device.success.add(1, total_ns)
        device.queue.add(1, 0)

    def missed(self, ns: int, *, succeeded: bool = True) -> None:
        """Count a request that the cache could not answer; ``ns`` went into looking and storing.

        They are a part of the request's time, though the pump, which counts it, did not see them.
        """
        self._misses.add(1, ns)
        if succeeded:
            self._device(None).success.add(0, ns)

    def picture(self, pending: int = 0) -> ModelStatistics:
        """Freeze the numbers as they are now."""
        devices = tuple(one.picture(device) for device, one in self._devices.items())
        return ModelStatistics(
            name=self.model,
            version=self.version,
            last_inference=self._last_inference,
            inference_count=sum(one.inference_count for one in devices),
            execution_count=sum(one.execution_count for one in devices),
            success=_sum(one.success for one in devices),
            fail=self._fail.picture(),
            queue=_sum(one.queue for one in devices),
            compute_input=_sum(one.compute_input for one in devices),
            compute_infer=_sum(one.compute_infer for one in devices),
            compute_output=_sum(one.compute_output for one in devices),
            cache_hit=self._hits.picture(),
            cache_miss=self._misses.picture(),
            batch_stats=tuple(
                BatchTally(rows, size.input.picture(), size.infer.picture(), size.output.picture())
                for rows, size in sorted(self._sizes.items())
            ),
            response_stats=tuple(
                one.picture(index) for index, one in sorted(self._responses.items())
            ),
            failures=dict(self._failures),
            devices=devices,
            pending=pending,
            instances=self._instances,
            caches=self.caches,
            closings=dict(self._closings),
        )


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = _Count()
    for tally in tallies:
        total.add(tally.count, tally.ns)
    return total.picture()
