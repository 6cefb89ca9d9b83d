"""The figures of one level of load: what is shown, written and decided on. Pure.

Latency is counted from when a request was due, which in a closed loop is when it was sent. In an
open loop the service time beside it is counted from the actual send, as perf_analyzer counts all
its latencies. Percentiles are by nearest rank, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analyzer.load.driven import Driven, Times
from analyzer.load.records import Records
from analyzer.perf.options import Mode, PerfOptions
from analyzer.statistics.summary import Summary, summarise

if TYPE_CHECKING:
    import numpy.typing as npt

    from analyzer.metrics import GpuUse, ServerTimes
    from analyzer.statistics.estimate import Estimate

#: sent so much later than due, a request is delayed, as perf_analyzer counts, ns
DELAY_NS = 1_000_000
#: above so many per cent of the requests it warns
DELAYED_PERCENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """Of requests with several responses: when the first came, and how far apart they were, ns."""

    responses_per_second: float
    first: Times
    between: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One level. ``level`` is a concurrency, or a rate in requests a second.

    ``deviation_ns`` is the standard deviation of the latency. ``send_ns``, ``receive_ns`` and
    ``request_ns`` are means; the first two 0 where the protocol's library hides them.
    ``composing`` are the models behind the model by name and version. ``over`` says that the
    latency that counts reached the threshold. ``boundaries_ns`` are those of the windows, or of the
    whole.
    """

    mode: Mode
    level: float
    summary: Summary
    deviation_ns: float
    records: Records
    request_ns: float
    send_ns: float
    receive_ns: float
    service: Times
    send_lag: Times
    boundaries_ns: tuple[int, ...]
    stable: bool
    over: bool = False
    excused: bool = False
    windows: int = 0
    delayed: int = 0
    send_rate: float = 0.0
    dropped: int = 0
    failed: int = 0
    first_error: str = ""
    sequences: int = 0
    streamed: Streamed | None = None
    server: ServerTimes | None = None
    composing: Mapping[tuple[str, str], ServerTimes] = field(default_factory=dict)
    gpus: tuple[GpuUse, ...] = ()
    no_gpus: str = ""
    invalid: str = ""
    senders: int = 1
    client_cpu: float = 0.0
    warmup_requests: int = 0
    warmup_seconds: float = 0.0

    @property
    def throughput(self) -> float:
        """Inferences a second."""
        return self.summary.throughput.value

    @property
    def latencies(self) -> npt.NDArray[np.int64]:
        """The latencies that count, ns."""
        return self.records.latency_ns[self.records.succeeded]

    @property
    def delayed_percent(self) -> float:
        """The share of requests that were sent late."""
        return 100 * self.delayed / max(1, self.summary.requests)

    def counting(self, percentile: int | None) -> Estimate:
        """Return the latency that counts: of the percentile, or the average."""
        if percentile is None:
            return self.summary.latency_avg
        return self.summary.percentiles[float(percentile)]


def figures(
    driven: Driven,
    options: PerfOptions,
    level: float,
    *,
    span: tuple[int, ...] = (),
    decoupled: bool = False,
) -> Figures:
    """Make figures of what was driven at a level.

    Of a ``decoupled`` model responses are looked at one by one; send and receive mean nothing.
    ``span`` are the boundaries of the windows that count, where there are windows.
    """
    spans = ((span[0], span[-1]),) if span else driven.spans_ns
    start, end = spans[0][0], spans[-1][1]
    records = driven.records.within(spans)
    seconds = sum(ended - begun for begun, ended in spans) / 1e9
    good = records.array[records.succeeded]
    latency = records.latency_ns[records.succeeded]
    request_ns = float((good["last"] - good["began"]).mean()) if len(good) else 0.0
    late = good["began"] - good["planned"]
    return Figures(
        mode=options.mode,
        level=level,
        summary=_summary(good["last"], latency, options, spans),
        deviation_ns=float(latency.std(ddof=1)) if len(latency) > 1 else 0.0,
        records=records,
        request_ns=request_ns,
        send_ns=0.0 if decoupled else driven.send_ns or 0.0,
        receive_ns=0.0 if decoupled else driven.receive_ns or 0.0,
        service=driven.service,
        send_lag=driven.send_lag,
        boundaries_ns=span or (start, end),
        stable=driven.stable,
        windows=driven.windows,
        delayed=int((late > DELAY_NS).sum()) if not options.mode.closed else 0,
        send_rate=_rate_of(good["began"]) if len(spans) == 1 else len(good) / seconds,
        dropped=driven.dropped,
        failed=driven.failed,
        first_error=driven.first_error or "",
        sequences=len(np.unique(good["sequence"][good["sequence"] > 0])),
        streamed=_streamed(records, seconds) if decoupled else None,
        server=driven.server,
        invalid=driven.invalid,
        senders=driven.senders,
        client_cpu=driven.client_cpu,
        warmup_requests=driven.warmup_requests,
        warmup_seconds=driven.warmup_seconds,
    )


def _summary(
    done_ns: npt.NDArray[np.int64],
    latency_ns: npt.NDArray[np.int64],
    options: PerfOptions,
    spans_ns: tuple[tuple[int, int], ...],
) -> Summary:
    return summarise(
        done_ns,
        latency_ns,
        inferences=options.batch_size,
        percentiles=options.percentiles,
        spans_ns=spans_ns,
    )


def _rate_of(began_ns: npt.NDArray[np.int64]) -> float:
    """Return how many requests were sent a second."""
    if len(began_ns) < 2:  # noqa: PLR2004 - a rate needs a distance
        return 0.0
    seconds = float(began_ns.max() - began_ns.min()) / 1e9
    return (len(began_ns) - 1) / seconds if seconds else 0.0


def _streamed(records: Records, seconds: float) -> Streamed | None:
    """Look at responses one by one, where they were kept."""
    if not len(records.offsets):
        return None
    times = records.response_ns
    counts = np.diff(records.offsets)
    some = np.flatnonzero((counts > 0) & records.succeeded)
    firsts = times[records.offsets[:-1][some]] - records.array["began"][some]
    gaps = np.diff(times)
    inside = np.ones(len(gaps), dtype=np.bool_)
    inside[[at - 1 for at in records.offsets[1:-1] if 0 < at <= len(gaps)]] = False
    return Streamed(
        responses_per_second=len(times) / seconds if seconds else 0.0,
        first=Times.of(firsts),
        between=Times.of(gaps[inside]),
    )
