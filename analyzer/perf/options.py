"""What ``analyze perf`` was asked to do, frozen. Names and defaults are perf_analyzer's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from analyzer.load.inputs.source import Asked
from analyzer.statistics.summary import PERCENTILES

#: what stands for a range's end that has none, as perf_analyzer writes it
NO_LIMIT = 0


class Mode(Enum):
    """What sets the pace."""

    CONCURRENCY = "concurrency"
    PERIODIC = "periodic concurrency"
    RATE = "request rate"
    INTERVALS = "request intervals"
    SCHEDULE = "fixed schedule"

    @property
    def closed(self) -> bool:
        """Whether a request waits until another is answered."""
        return self in {Mode.CONCURRENCY, Mode.PERIODIC}


class Rule(Enum):
    """What says that enough was measured."""

    PRECISION = "precision"
    TIME_WINDOWS = "time_windows"
    COUNT_WINDOWS = "count_windows"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Levels of load: from ``start`` in ``step``s to ``end``; an end of 0 is none."""

    start: float = 1
    end: float = 1
    step: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What ``--slo`` promises: the percentile of the latency is at most ``limit_ms``."""

    percentile: float
    limit_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """When a level was measured enough. Precisions are half-widths as shares of the value."""

    rule: Rule = Rule.PRECISION
    throughput: float = 0.05
    latency: float = 0.10
    max_seconds: float = 30.0
    window_ms: int = 5000
    window_requests: int = 50
    tolerance: float = 0.10
    max_trials: int = 10
    request_count: int = 0
    warmup_requests: int = 0

    @property
    def judges(self) -> bool:
        """Whether a measurement that is not stable is a failure, as in perf_analyzer's windows."""
        return self.rule in {Rule.TIME_WINDOWS, Rule.COUNT_WINDOWS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """How the requests of a model that keeps sequences are made into such."""

    at_once: int = 4
    length: int | None = None
    variation: float = 20.0
    ids: tuple[int, int | None] = (1, None)
    serial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Encryption, in perf_analyzer's words; None of a file is none."""

    grpc: bool = False
    root: Path | None = None
    key: Path | None = None
    chain: Path | None = None
    verify_peer: bool = True
    verify_host: bool = True
    key_type: str = "PEM"
    chain_type: str = "PEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfOptions:
    """Everything ``analyze perf`` needs.

    ``percentile`` None is the average; ``extra`` are percentiles to be computed besides.
    ``promise_seconds`` is about what the search for a promise's rate may take. ``latency_ms`` 0 is
    no threshold. ``schedule_s`` are seconds from the start; () in the mode
    SCHEDULE leaves it to the input data. ``said`` are lines to say before anything is measured.
    """

    model: str
    version: str = ""
    url: str = "localhost:8000"
    protocol: str = "http"
    mode: Mode = Mode.CONCURRENCY
    range: Range = field(default_factory=Range)
    binary_search: bool = False
    latency_ms: float = 0.0
    percentile: int | None = None
    extra: tuple[float, ...] = ()
    promise: Promise | None = None
    promise_seconds: float = 120.0
    measuring: Measuring = field(default_factory=Measuring)
    distribution: str = "constant"
    distribution_cv: float = 1.0
    intervals: Path | None = None
    schedule_s: tuple[float, ...] = ()
    request_period: int = 10
    max_inflight: int = 0
    senders: int = 0
    seed: int = 0
    inputs: Asked = field(default_factory=Asked)
    parameters: Mapping[str, bool | int | str] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    compression: str = "none"
    json_inputs: bool = False
    json_outputs: bool = False
    shared_memory: str = "none"
    output_shared_memory_size: int = 102400
    streaming: bool = False
    sync: bool = False
    sequences: Sequences = field(default_factory=Sequences)
    composing: tuple[tuple[str, str], ...] = ()
    csv: Path | None = None
    verbose_csv: bool = False
    export: Path | None = None
    collect_metrics: bool = False
    metrics_url: str = ""
    metrics_ms: int = 1000
    tls: Tls = field(default_factory=Tls)
    histogram: bool = True
    verbose: int = 0
    said: tuple[str, ...] = ()

    @property
    def percentiles(self) -> tuple[float, ...]:
        """The percentiles that are computed and shown, in order."""
        own = () if self.percentile is None else (float(self.percentile),)
        return tuple(sorted({*PERCENTILES, *own, *self.extra}))

    @property
    def batch_size(self) -> int:
        """Samples in a request."""
        return self.inputs.batch_size
