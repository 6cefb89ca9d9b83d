"""What a model version did since it was loaded: the counters, and a frozen picture of them.

Owns the meaning of each number (Triton's statistics extension): ``success``, ``queue`` and the
three ``compute`` tallies count requests; each request of a batch is charged the whole batch's
durations, so that one request's queue and compute times never add up to more than its total;
``inference_count`` counts rows, ``execution_count`` counts runs of the backend. Does not own
how any of it is rendered, nor where the times come from. One thread uses a ledger.

Triton leaves requests that a full queue turns away out of its figures; here they are failures
with the reason REJECTED, so that no request vanishes from the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FailureReason(Enum):
    """Why a request failed; the value is the ``reason`` label of Triton's metrics."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


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
class ModelStatistics:
    """A picture of a ledger, in the words of the statistics extension.

    ``last_inference`` is in ms since 1970-01-01 UTC, 0 before the first inference.
    ``batch_stats`` is in order of batch size. ``failures`` has a number for every reason, and
    they add up to ``fail.count``. ``pending`` requests wait for an instance at this moment.
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
    failures: Mapping[FailureReason, int] = field(
        default_factory=lambda: dict.fromkeys(FailureReason, 0)
    )
    pending: int = 0


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


class Ledger:
    """Counts what one model version does. Its cost grows with batches, not with requests."""

    def __init__(self, name: str, version: int) -> None:
        self.model = name
        self._version = str(version)
        self._last_inference = 0
        self._rows = 0
        self._runs = 0
        self._success = _Count()
        self._fail = _Count()
        self._queue = _Count()
        self._compute = _Compute()
        self._sizes: dict[int, _Compute] = {}
        self._failures = dict.fromkeys(FailureReason, 0)

    def executed(self, rows: int, timings: Timings, wall_ms: int) -> None:
        """Count one run of the backend on ``rows`` rows, whether or not it succeeded."""
        self._runs += 1
        self._last_inference = wall_ms
        size = self._sizes.get(rows)
        if size is None:
            size = self._sizes[rows] = _Compute()
        size.add(1, timings)

    def succeeded(
        self, requests: int, rows: int, arrived_sum_ns: int, timings: Timings, done_ns: int
    ) -> None:
        """Count a batch's requests as answered.

        ``arrived_sum_ns`` is the sum of the times at which they arrived.
        """
        self._rows += rows
        self._success.add(requests, requests * done_ns - arrived_sum_ns)
        self._queue.add(requests, requests * timings.started_ns - arrived_sum_ns)
        self._compute.add(requests, timings)

    def failed(self, reason: FailureReason, ns: int) -> None:
        """Count a request that ended with an error after ``ns``."""
        self._fail.add(1, ns)
        self._failures[reason] += 1

    def picture(self, pending: int = 0) -> ModelStatistics:
        """Freeze the numbers as they are now."""
        return ModelStatistics(
            name=self.model,
            version=self._version,
            last_inference=self._last_inference,
            inference_count=self._rows,
            execution_count=self._runs,
            success=self._success.picture(),
            fail=self._fail.picture(),
            queue=self._queue.picture(),
            compute_input=self._compute.input.picture(),
            compute_infer=self._compute.infer.picture(),
            compute_output=self._compute.output.picture(),
            batch_stats=tuple(
                BatchTally(rows, size.input.picture(), size.infer.picture(), size.output.picture())
                for rows, size in sorted(self._sizes.items())
            ),
            failures=dict(self._failures),
            pending=pending,
        )
