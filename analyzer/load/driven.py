"""What one run of the load client found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analyzer.load.records import Records
from analyzer.load.window import WindowSample
from analyzer.metrics import ServerTimes
from analyzer.statistics.histogram import Histogram
from analyzer.statistics.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

_RANKS = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Times:
    """Mean and percentiles of some times, ns."""

    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0

    @classmethod
    def of(cls, values: npt.NDArray[np.int64] | Sequence[int]) -> Times:
        """Compute them, by nearest rank as perf_analyzer counts; zeros of nothing."""
        found = np.sort(np.asarray(values, dtype=np.int64))
        if not len(found):
            return cls()
        ranks = [int(rank / 100 * (len(found) - 1) + 0.5) for rank in _RANKS]
        return cls(float(found.mean()), *(float(found[rank]) for rank in ranks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """The part of a run that counts: after the warm-up, up to where the stopping rule ended it.

    ``started_ns`` and ``ended_ns`` bound it on the machine's monotonic clock, which all its
    processes share; within them only what ended in ``spans_ns`` counts, where it was begun several
    times (``statistics.episodes``). ``seconds`` is the length of what counts, and ``duty`` the
    rate of answers from start to end, pauses included, over that in the spans. ``latency_ns`` has
    one entry for each request that succeeded in it, from its planned arrival to its last byte.
    ``window_rates`` are in inferences a second. ``send_ns`` (first to last byte out) and
    ``receive_ns`` (first to last byte in) are means. ``failed`` counts the whole run, warm-up
    included, and ``first_error`` quotes the first. ``client_cpu`` is in cores. ``server`` is None
    where the server has no statistics extension.

    ``records`` are those of the requests that ended in it, failed ones included. ``service`` are
    the times from the send on, which a closed loop's user sees; ``send_lag`` is how late requests
    were sent. ``dropped`` were due when as many were in flight as may be. ``invalid`` says why the
    client itself was the bottleneck, "" where it was not. ``in_flight`` is the mean number of
    requests in flight, and ``little`` that number over rate times mean latency: 1, by Little's
    law, but for what began before or ended after. ``samples`` are the windows in order, where
    there are any. ``summary`` has the estimates with their intervals. Each of ``flags`` begins with
    its name and a colon.
    """

    protocol: str
    started_ns: int
    ended_ns: int
    latency_ns: npt.NDArray[np.int64]
    window_rates: tuple[float, ...]
    send_ns: float | None
    receive_ns: float | None
    failed: int
    first_error: str | None
    stable: bool
    client_cpu: float
    server: ServerTimes | None
    windows: int
    warmup_requests: int
    warmup_seconds: float
    records: Records = field(default_factory=Records.none)
    summary: Summary | None = None
    service: Times = field(default_factory=Times)
    send_lag: Times = field(default_factory=Times)
    dropped: int = 0
    invalid: str = ""
    senders: int = 1
    in_flight: float = 0.0
    little: float = 1.0
    flags: tuple[str, ...] = ()
    samples: tuple[WindowSample, ...] = ()
    parts_ns: tuple[tuple[int, int], ...] = ()
    duty: float = 1.0

    @property
    def spans_ns(self) -> tuple[tuple[int, int], ...]:
        """From when to when what counts ended; one after another."""
        return self.parts_ns or ((self.started_ns, self.ended_ns),)

    @property
    def seconds(self) -> float:
        """Length of what counts."""
        return sum(end - start for start, end in self.spans_ns) / 1e9

    @property
    def requests(self) -> int:
        """How many requests succeeded in it."""
        return len(self.latency_ns)

    @property
    def histogram(self) -> Histogram:
        """Their latencies, ns, to three significant digits."""
        return Histogram.of(self.latency_ns)
