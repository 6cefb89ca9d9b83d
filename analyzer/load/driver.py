"""Drives a server: makes the requests, has senders send them, and says what came of it.

Owns the order of things in one run: senders are started and connect, begin at one moment, tell what
ended, and are stopped when the rule says so; the server's counters are read meanwhile. Does not own
the senders' life (``crew``), what counts (``course``), nor what is made of it (``outcome``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer import v2client
from analyzer.errors import LoadError
from analyzer.load.alongside import OTHERS, Alongside
from analyzer.load.arrivals import schedule_of
from analyzer.load.conductor import Conductor, Crowded
from analyzer.load.crew import Crew, DriverSettings
from analyzer.load.driven import Driven
from analyzer.load.inputs.source import Asked, prepare
from analyzer.load.inputs.source import workload as workload_of
from analyzer.load.regions import regions_of
from analyzer.load.share import Plan, jobs_of, most_senders
from analyzer.load.window import MIN_REQUESTS, UntilEnd, WindowSample, WindowsRule
from analyzer.statistics.stopping import Precision, PrecisionRule, StoppingRule, episodes_of

if TYPE_CHECKING:
    from analyzer.launcher import Endpoint
    from analyzer.load.workload import Workload
    from analyzer.record.row import LoadSpec
    from engine.modelconfig.schema import ModelConfig

__all__ = [
    "Driven",
    "DriverSettings",
    "drive",
    "drive_together",
    "rule_of",
    "run",
    "workload_for",
]

RULES = ("precision", "windows", "count")


def drive(
    endpoint: Endpoint,
    model: str,
    load: LoadSpec,
    *,
    stop: Callable[[], bool],
    on_window: Callable[[WindowSample], None],
    settings: DriverSettings | None = None,
) -> Driven:
    """Load ``model`` as ``load`` says, with its data, until its rule says stop.

    ``on_window`` hears of each window as it ends. When ``stop()`` turns true the run ends
    early, with what there is.

    Raises:
        LoadError: nothing was measured; the text holds the server's or the client's own.
        LaunchError: the server does not describe the model.
        UsageError: the data does not fit the model.
    """
    settings = settings or DriverSettings()
    requests = workload_for(endpoint, model, load, settings)
    return run(endpoint, requests, load, stop=stop, on_progress=on_window, settings=settings)


def workload_for(
    endpoint: Endpoint, model: str, load: LoadSpec, settings: DriverSettings
) -> Workload:
    """Make the requests of a load, with its data, as the server describes the model.

    Raises:
        LaunchError: the server does not describe the model.
        UsageError: the data does not fit the model.
    """
    metadata = v2client.model_metadata(endpoint, model)
    config = _config(endpoint, model)
    asked = Asked(
        sources=tuple(load.data.split(",")),
        batch_size=load.batch_size,
        shapes=settings.shapes,
        seed=settings.seed,
    )
    return workload_of(prepare(metadata, config, asked), load.batch_size)


def drive_together(
    endpoint: Endpoint,
    loads: Mapping[str, tuple[LoadSpec, DriverSettings]],
    *,
    on_window: Callable[[WindowSample], None],
) -> Mapping[str, Driven]:
    """Load several models of a server at the same time, each as its load says.

    They begin together, and all go on until each has been measured. ``on_window`` hears of the
    first one's windows.

    Raises:
        LoadError: one could not be measured; the text names it.
    """
    others = Alongside(len(loads))

    def one(place: int, model: str) -> Driven:
        load, settings = loads[model]
        settings = replace(settings, others=others)
        heard = on_window if place == 0 else _unheard
        # How many senders there are is settled: a run that is begun anew would begin alone.
        load = replace(load, senders=load.senders or 1)
        try:
            return drive(
                endpoint, model, load, stop=lambda: False, on_window=heard, settings=settings
            )
        except BaseException:
            others.give_up()
            raise

    with ThreadPoolExecutor(len(loads), thread_name_prefix="load") as pool:
        running = {model: pool.submit(one, place, model) for place, model in enumerate(loads)}
    failed = {model: error for model, each in running.items() if (error := each.exception())}
    # Of several the one that is not the others' doing.
    for model, error in sorted(failed.items(), key=lambda each: str(each[1]) == OTHERS):
        raise LoadError(f"{model}: {error}") from error
    return {model: each.result() for model, each in running.items()}


def _unheard(_: WindowSample) -> None:
    pass


def run(  # noqa: PLR0913 - what a run is has as many parts
    endpoint: Endpoint,
    workload: Workload,
    load: LoadSpec,
    schedule: Plan | None = None,
    *,
    rule: Callable[[], StoppingRule] | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[WindowSample], None] = lambda _: None,
    settings: DriverSettings | None = None,
) -> Driven:
    """Send ``workload`` as ``load`` says, or on a given ``schedule``, until the rule says stop.

    ``rule`` makes a stopping rule in place of the load's. ``on_progress`` hears of each window as
    it ends, or under another rule every half second. When ``stop()`` turns true the run ends early,
    with what there is. A run whose senders are too busy is begun anew with more of them, as far as
    the machine allows it.

    Raises:
        LoadError: nothing was measured; the text holds the server's or the client's own.
    """
    settings = settings or DriverSettings()
    plan = schedule if schedule is not None else schedule_of(load)
    senders = load.senders or 1
    most = load.senders or most_senders(endpoint, len(os.sched_getaffinity(0)))
    with regions_of(endpoint, workload, load) as regions:
        while True:
            jobs = jobs_of(endpoint, workload, load, plan, senders, regions)
            # A run that is begun anew has a rule that knows nothing of what was before.
            judge = rule() if rule is not None else rule_of(load, workload, settings)
            conductor = Conductor(endpoint, workload, load, plan, judge, settings)
            with Crew(jobs, settings) as crew:
                try:
                    return conductor.go(crew, stop, on_progress, last=senders >= most)
                except Crowded:
                    senders = min(most, 2 * senders)


def rule_of(load: LoadSpec, workload: Workload, settings: DriverSettings) -> StoppingRule:
    """Make the stopping rule that a load names.

    A closed loop of several clients is begun anew while it is measured, but not beside other runs:
    they would be measured while this one pauses.

    Raises:
        LoadError: there is no such rule.
    """
    inferences = min(workload.inferences)
    match load.rule:
        case "precision":
            precision = Precision(
                throughput=load.throughput_precision,
                percentile=float(load.percentile) if load.percentile else None,
                latency=load.latency_precision,
                min_seconds=load.min_seconds or Precision().min_seconds,
                max_seconds=load.max_seconds or Precision().max_seconds,
            )
            slots = 0 if load.is_open or not settings.others.alone else load.concurrency
            episodes = episodes_of(precision, slots, hurried=load.bar > 0)
            return PrecisionRule(precision, inferences=inferences, bar=load.bar, episodes=episodes)
        case "windows":
            in_flight = 0 if load.request_rate else load.concurrency
            return WindowsRule(
                seconds=load.window_seconds,
                max_windows=load.max_windows,
                tolerance=load.tolerance,
                requests=max(MIN_REQUESTS, 2 * in_flight),
                inferences=inferences,
            )
        case "count":
            return UntilEnd()
        case other:
            raise LoadError(f"no stopping rule {other!r}; there are: {', '.join(RULES)}")


def _config(endpoint: Endpoint, model: str) -> ModelConfig | None:
    """Return the model's configuration, or None from a server that has no such extension."""
    try:
        return v2client.model_config(endpoint, model)
    except v2client.Refused:
        return None
