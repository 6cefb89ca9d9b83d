"""What measures a server that is up: the load client and the watch on the machine, together.

Owns how the two become one measurement, of one load or of the search for the highest rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from analyzer import v2client
from analyzer.load import goodput
from analyzer.load.driver import (
    Driven,
    DriverSettings,
    drive_together,
    run,
    workload_for,
)
from analyzer.load.slo import at_rate
from analyzer.load.window import WindowSample
from analyzer.measure.aggregate import estimates_of, observed
from analyzer.measure.observe import Watch
from analyzer.measure.scrape import PageWatch
from analyzer.profiling import Gauge, Gauges, Measured
from analyzer.record.row import Promise

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.load.share import Plan
    from analyzer.measure.glimpse import Seen
    from analyzer.record.row import LoadSpec


def make(
    model: str,
    watched: Callable[[Endpoint], Watch | PageWatch],
    settings: DriverSettings,
    on_window: Callable[[WindowSample], None],
    schedule: Plan | None = None,
) -> Gauge:
    """Make what loads ``model`` as told and observes it meanwhile; ``on_window`` hears of windows.

    A load with a limit is the search for the highest rate that keeps it (``load.goodput``).
    Requests of any other come as it says, or on a ``schedule`` of their own.
    """

    def gauge(endpoint: Endpoint, load: LoadSpec) -> Measured:
        found: Mapping[str, Any] = {}
        with watched(endpoint) as watch:
            # Ctrl-C lets the running measurement finish, so it does not stop the client.
            if load.limit_ms:
                search = _search(endpoint, model, load, settings)
                driven, found = search.driven, search.plain
                load = replace(load, request_rate=search.rate)
            else:
                requests = workload_for(endpoint, model, load, settings)
                driven = run(
                    endpoint, requests, load, schedule, on_progress=on_window, settings=settings
                )
        return _measured(driven, watch.seen(), load, v2client.runtime(endpoint, model), found)

    return gauge


def together(
    watched: Callable[[Endpoint], Watch | PageWatch],
    settings: Mapping[str, DriverSettings],
    on_window: Callable[[WindowSample], None],
) -> Gauges:
    """Make what loads several models at the same time, and observes the server meanwhile."""

    def gauge(endpoint: Endpoint, loads: Mapping[str, LoadSpec]) -> Mapping[str, Measured]:
        asked = {model: (load, settings[model]) for model, load in loads.items()}
        with watched(endpoint) as watch:
            driven = drive_together(endpoint, asked, on_window=on_window)
        seen = watch.seen()
        return {
            model: _measured(each, seen, loads[model], v2client.runtime(endpoint, model), {})
            for model, each in driven.items()
        }

    return gauge


def _search(
    endpoint: Endpoint, model: str, load: LoadSpec, settings: DriverSettings
) -> goodput.Found:
    requests = workload_for(endpoint, model, load, settings)
    promise = Promise(percentile=load.percentile, limit_ms=load.limit_ms, seconds=load.max_seconds)
    send = at_rate(endpoint, requests, load, settings=settings)
    return goodput.highest(send, load.request_rate, promise, seed=load.seed)


def _measured(
    driven: Driven, seen: Seen, load: LoadSpec, ran: Mapping[str, str], found: Mapping[str, Any]
) -> Measured:
    return Measured(
        observed(driven, seen, load),
        bool(found["confirmed"]) if found else driven.stable,
        ran,
        estimates=estimates_of(driven),
        histogram=driven.histogram.text,
        remarks=tuple(filter(None, (driven.invalid, *driven.flags))),
        invalid=driven.invalid,
        goodput=found,
    )
