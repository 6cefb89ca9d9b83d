"""How the times of single requests are spread: histograms and summaries of one model version.

Owns which of them a model has (``--metrics-config``, and the model's own ``model_metrics``) and
what each is told. Does not own the sketch (``quantiles``), nor how they look on the page
(``families``). A model for which nobody asked for any has no spread, and nothing is told to it.
Times come in ns; buckets are in ms. Pure: a time comes with every event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.telemetry.pictures import HistogramPicture, SpreadPicture, SummaryPicture
from engine.telemetry.quantiles import Window

if TYPE_CHECKING:
    from engine.metering import Metering
    from engine.modelconfig.schema import ModelConfig
    from engine.telemetry.stats import Timings

FIRST_RESPONSE = "nv_inference_first_response_histogram_ms"
QUEUE = "servetune_queue_duration_histogram_ms"
#: upper bounds in ms, where a model's configuration names no others; the first are Triton's
BUCKETS: Mapping[str, tuple[float, ...]] = {
    FIRST_RESPONSE: (100, 500, 2000, 5000),
    QUEUE: (0.1, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
}
#: the parts of a request's time that have a summary, in Triton's order
PARTS = ("request", "queue", "compute_input", "compute_infer", "compute_output")
LOOKUPS = ("hit", "miss")


class Histogram:
    """Counts values by their size."""

    __slots__ = ("_bounds", "_bounds_ns", "_counts", "_sum_ns")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._bounds_ns = [bound * 1e6 for bound in bounds]
        self._counts = [0] * (len(bounds) + 1)
        self._sum_ns = 0

    def add(self, ns: int) -> None:
        """Count a value; one that equals a bound is below it."""
        self._counts[bisect_left(self._bounds_ns, ns)] += 1
        self._sum_ns += ns

    def picture(self) -> HistogramPicture:
        """Freeze it."""
        counts, total = [], 0
        for count in self._counts:
            total += count
            counts.append(total)
        return HistogramPicture(self._bounds, tuple(counts), self._sum_ns / 1e6)


class Distributions:
    """A model version's histograms and summaries (``stats.Spread``)."""

    def __init__(
        self,
        histograms: Mapping[str, Histogram],
        summaries: Mapping[str, Window],
        quantiles: tuple[float, ...],
    ) -> None:
        self._histograms = histograms
        self._summaries = summaries
        self._quantiles = quantiles
        self._first = histograms.get(FIRST_RESPONSE)
        self._queue = histograms.get(QUEUE)

    def answered(self, arrived_ns: Sequence[int], timings: Timings, done_ns: int) -> None:
        """Learn of a batch whose requests arrived at these times."""
        started_ns = timings.started_ns
        if self._queue is not None:
            for arrived in arrived_ns:
                self._queue.add(started_ns - arrived)
        if "queue" in self._summaries:
            count = len(arrived_ns)
            self._extend("request", [done_ns - arrived for arrived in arrived_ns], done_ns)
            self._extend("queue", [started_ns - arrived for arrived in arrived_ns], done_ns)
            self._extend("compute_input", [timings.input_ns] * count, done_ns)
            self._extend("compute_infer", [timings.infer_ns] * count, done_ns)
            self._extend("compute_output", [timings.output_ns] * count, done_ns)

    def first_responded(self, ns: int) -> None:
        """Learn that a decoupled model's first response to a request left after ``ns``."""
        if self._first is not None:
            self._first.add(ns)

    def looked_up(self, ns: int, done_ns: int, *, hit: bool) -> None:
        """Learn how long the response cache was asked, and stored into."""
        self._extend("hit" if hit else "miss", [ns], done_ns)

    def picture(self, now_ns: int) -> SpreadPicture:
        """Freeze all of them as they are now."""
        return SpreadPicture(
            {name: one.picture() for name, one in self._histograms.items()},
            {
                name: SummaryPicture(one.seen(now_ns), self._quantiles)
                for name, one in self._summaries.items()
            },
        )

    def _extend(self, name: str, values: Sequence[int], now_ns: int) -> None:
        window = self._summaries.get(name)
        if window is not None:
            window.extend(values, now_ns)


def spread(config: ModelConfig, metering: Metering, *, cached: bool) -> Distributions | None:
    """Make what the command line and the model ask for; None if that is nothing.

    As in Triton, first responses are a decoupled model's, and a model with a response cache has
    summaries of lookups and none of whole requests.
    """
    names = []
    if metering.histogram_latencies and config.decoupled:
        names.append(FIRST_RESPONSE)
    if metering.queue_histogram:
        names.append(QUEUE)
    summaries: dict[str, Window] = {}
    if metering.summary_latencies:
        error = min(one.error for one in metering.summary_quantiles)
        kept = (*PARTS[1:], *LOOKUPS) if cached else PARTS
        summaries = {name: Window(error) for name in kept}
    if not names and not summaries:
        return None
    histograms = {name: Histogram(_bounds(config, name)) for name in names}
    return Distributions(
        histograms, summaries, tuple(one.quantile for one in metering.summary_quantiles)
    )


def _bounds(config: ModelConfig, family: str) -> tuple[float, ...]:
    for control in config.model_metrics or ():
        if control.family == family and control.buckets is not None:
            return tuple(sorted(set(control.buckets)))
    return BUCKETS[family]
