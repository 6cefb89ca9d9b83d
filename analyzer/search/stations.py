"""How busy each model behind a pipeline was in one measurement. Pure.

Owns the reading of a row's server statistics as stations of a queueing network: each model is one,
with its instances for servers. Does not own what is tried next (``bottleneck``).

A request spends its demand, in instance-seconds, at each station: batches count once, however many
requests they carry. Stations serve at most instances / demand requests a second, so the one for
which that is least bounds them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyzer import assembly
from analyzer.metrics import ServerTimes, server_times_of
from analyzer.record.row import Row
from analyzer.space import INSTANCE_COUNT

#: from this share of the time on a station is as busy as it can be: batches have gaps between them
SATURATED = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One model in one measurement.

    ``model`` is "" for the profiled one. ``demand_s`` is what a request of the pipeline costs here,
    in instance-seconds; ``utilisation`` the share of the time for which its instances were busy, 0
    to 1; ``queue_s`` what a request waited here.
    """

    model: str
    instances: int
    demand_s: float
    utilisation: float
    queue_s: float

    @property
    def bound(self) -> float:
        """The most requests a second that it can serve as it is."""
        return self.instances / self.demand_s

    @property
    def saturated(self) -> bool:
        """Whether it can hardly do more."""
        return self.utilisation >= SATURATED


def stations(row: Row) -> tuple[Station, ...]:
    """Read the stations of a pipeline, or of a model that calls others, off a row.

    () where nothing was counted, or the model stands alone.
    """
    behind = assembly.shown(row.settings)
    rate = row.metrics.get("perf_throughput")
    if not behind or not rate or not row.server or row.failure is not None:
        return ()
    whole = server_times_of(row.server)
    if not whole.requests or not whole.inferences:
        return ()
    seconds = whole.inferences / rate
    times = {**whole.composing, row.model: whole}
    found = (
        _station("" if model == row.model else model, own, times[model], whole.requests, seconds)
        for model, own in behind.items()
        if model in times
    )
    return tuple(each for each in found if each is not None)


def _station(
    model: str, shown: Mapping[str, Any], times: ServerTimes, requests: int, seconds: float
) -> Station | None:
    """Make a station; None of a model that computed nothing."""
    instances, busy = shown.get(INSTANCE_COUNT), _busy_s(times)
    if not instances or busy <= 0.0:
        return None
    return Station(
        model=model,
        instances=instances,
        demand_s=busy / requests,
        utilisation=min(1.0, busy / seconds / instances),
        queue_s=times.queue_ns / 1e9 * times.requests / requests,
    )


def _busy_s(times: ServerTimes) -> float:
    """Return how long its instances computed, summed over them."""
    if times.batches:
        return sum(
            each.executions
            * (each.compute_input_ns + each.compute_infer_ns + each.compute_output_ns)
            for each in times.batches
        ) / 1e9  # fmt: skip
    # A server without statistics by batch size: what a request's batch took, once for each batch.
    each_ns = times.compute_input_ns + times.compute_infer_ns + times.compute_output_ns
    return times.executions * each_ns / 1e9


def narrowest(every: tuple[Station, ...]) -> Station | None:
    """Return the station that holds the others up; None of none.

    The busiest. A model that calls others is busy while it waits for them, so it is not the one as
    long as any of them is saturated.
    """
    behind = [each for each in every if each.model]
    if any(each.saturated for each in behind):
        every = tuple(behind)
    return max(every, key=lambda each: (each.utilisation, each.queue_s), default=None)
