"""The loop: try what the campaign asks for until it asks no more; every try becomes a row.

Owns the order of things and the turning of any fault into a row with its reason. Does not
own what to try (``stages``), how to bring a server up (``launchers``) or how to load it
(``load``, ``measure``): those it is given.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, cast

from analyzer import assembly, metrics, together, variant
from analyzer.assembly import Assembly
from analyzer.errors import AnalyzerError, ServerLost
from analyzer.launcher import Endpoint, Launcher
from analyzer.metrics import Observed
from analyzer.record.accuracy import Accuracy
from analyzer.record.estimates import Estimates
from analyzer.record.journal import Journal
from analyzer.record.row import Failure, LoadSpec, Row, Trial
from analyzer.space import BATCH_SIZE, CONCURRENCY, REQUEST_RATE, Candidate
from analyzer.stages import Campaign
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig

#: an open loop's queue grows where answers fall short of what was due by this share, and by so many
#: standard deviations of arrivals that come by chance
_SHORT, _SIGMAS = 0.05, 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gauge brings back: the observations, whether they settled, and what ran.

    ``estimates``, ``histogram`` and ``goodput`` are the row's; ``remarks`` are the load client's,
    and ``invalid`` says that it was the bottleneck itself, if it was.
    """

    observed: Observed
    stable: bool
    runtime: Mapping[str, str] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=dict)
    histogram: str = ""
    remarks: tuple[str, ...] = ()
    goodput: Mapping[str, Any] = field(default_factory=dict)
    invalid: str = ""


#: Loads a server as told and observes it meanwhile.
#:
#: Raises LoadError when the load client failed, or no request succeeded.
Gauge = Callable[[Endpoint, LoadSpec], Measured]
#: The same of several models by name, all loaded at the same time.
Gauges = Callable[[Endpoint, Mapping[str, LoadSpec]], Mapping[str, Measured]]


class Up(NamedTuple):
    """A server that is up, and how long it took to come up."""

    endpoint: Endpoint
    seconds: float


class Guard(Protocol):
    """Judges whether variants answer as the default does (``accuracy.guard``)."""

    @property
    def wants_default(self) -> bool:
        """Whether the default has still to be asked."""
        ...

    def judges(self, configs: Mapping[str, ModelConfig]) -> bool:
        """Whether a variant may answer otherwise than the default."""
        ...

    def known(self, configs: Mapping[str, ModelConfig]) -> Accuracy | None:
        """Return what is known of a variant's answers already."""
        ...

    def learn(self, endpoint: Endpoint) -> None:
        """Ask the default, if that has still to be done."""
        ...

    def check(self, endpoint: Endpoint, configs: Mapping[str, ModelConfig]) -> Accuracy:
        """Ask a variant.

        Raises:
            AnalyzerError: it does not answer.
        """
        ...


class Spectator(Protocol):
    """Somebody who watches the sweep: the progress display, a log, a test."""

    def started(self, trial: Trial, variant_name: str) -> None:
        """A measurement begins."""
        ...

    def finished(self, row: Row) -> None:
        """A row has been written."""
        ...


class Bench:
    """Measures one trial at a time on one launcher. A variant stays up while it is asked for."""

    def __init__(  # noqa: PLR0913 - a bench is made of as many parts
        self,
        *,
        base: ModelConfig | Assembly,
        launcher: Launcher,
        gauge: Gauge | Gauges,
        load: LoadSpec | Mapping[str, LoadSpec],
        rows: Iterable[Row] = (),
        as_found: bool = True,
        guard: Guard | None = None,
        up: Up | None = None,
        gpu: str = "",
        ready: Callable[[Trial], None] = lambda _: None,
    ) -> None:
        """Prepare to measure variants of ``base`` under loads made from ``load``.

        Of models side by side, ``gauge`` measures all at once, and ``load`` has one for each.

        ``as_found``: ``base`` is the model as its repository has it. ``rows`` are those measured
        before: names of variants and numbers go on from them. ``guard`` judges whether a variant's
        answers are the default's; None: nobody does. ``up`` is where the default is served already,
        and what that took is the first row's. ``gpu`` is the only one that servers see, "" where
        they see all. ``ready`` is called when a server is up, and loading begins when it returns.
        """
        self._guard = guard
        self._assembly = Assembly.of(base)
        self._launcher = launcher
        self._gauge = gauge
        self._load = load
        self._name = self._assembly.name
        self._default_digest = assembly.digest(self._assembly.configs)
        self._defaults = {
            name: variant.digest(config) for name, config in self._assembly.configs.items()
        }
        self._names = _Names({self._name: self._default_digest})
        self._parts = _Names(self._defaults)
        self._as_found = as_found
        self._number = 0
        self._gpu = gpu
        self._ready = ready
        self._served = None if up is None else ((self._default_digest, False), up.endpoint)
        self._owed = 0.0 if up is None else up.seconds
        self._started = False
        for row in rows:
            self._names.learn(self._name, row.digest, row.variant)
            for name, text in row.composing.items():
                named = row.settings.get(assembly.MODELS, {}).get(name, {}).get("variant", name)
                self._parts.learn(name, variant.digest_of(text), named)
            self._number = max(self._number, row.number + 1)

    def beside(self, launcher: Launcher, gauge: Gauge | Gauges, gpu: str) -> Bench:
        """Make one that measures the same on another GPU. Both name variants alike."""
        other = copy.copy(self)
        other._move(launcher, gauge, gpu)  # noqa: SLF001 - it is one of us
        return other

    def _move(self, launcher: Launcher, gauge: Gauge | Gauges, gpu: str) -> None:
        self._launcher, self._gauge, self._gpu = launcher, gauge, gpu
        self._served, self._owed = None, 0.0

    def serves(self, trial: Trial) -> bool:
        """Whether a trial's variant is up, as that trial would have it."""
        digest = assembly.digest(assembly.make(trial.candidate, self._assembly))
        return self._served is not None and self._served[0] == (digest, trial.beside > 1)

    def rest(self) -> None:
        """Stop what is served; the next measurement starts it again."""
        self._served = None
        self._launcher.close()

    def name(self, trial: Trial) -> str:
        """Name the variant that a trial is about; equal configurations have one name."""
        digest = assembly.digest(assembly.make(trial.candidate, self._assembly))
        return self._names.of(self._name, digest)

    def measure(self, trial: Trial, number: int | None = None) -> Row:
        """Serve, load and observe; whatever goes wrong is in the row's ``failure``.

        Rows have numbers of their own where none is given.

        Raises:
            ServerLost: there is no server to measure: that says nothing about the variant.
        """
        begun = time.perf_counter()
        configs = assembly.make(trial.candidate, self._assembly)
        others = {name: configs[name] for name in self._assembly.others}
        names = {name: self._parts.of(name, variant.digest(one)) for name, one in others.items()}
        row = Row(
            number=self._number if number is None else number,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            model=self._name,
            variant=self.name(trial),
            digest=assembly.digest(configs),
            trial=trial,
            load=_whole(self._loads_of(trial)),
            settings=assembly.settings(
                self._assembly, configs, {**names, self._name: self.name(trial)}
            ),
            config=convert.dumps(configs[self._name]) if self._name in configs else "",
            composing={name: convert.dumps(one) for name, one in others.items()},
            gpu=self._gpu,
        )
        self._number = max(self._number, row.number) + 1
        row = self._fill(row, configs)
        owed, self._owed = self._owed, 0.0
        if _overloaded(row):
            # What still waits in its queue would be part of the next measurement.
            self._served = None
        seconds = time.perf_counter() - begun + owed
        return replace(row, seconds=seconds, launch_seconds=row.launch_seconds + owed)

    def _fill(self, row: Row, configs: Mapping[str, ModelConfig]) -> Row:
        stage = "accuracy"
        try:
            if (found := self._known(row, configs)) is not None and found.fault:
                return self._failed(replace(row, accuracy=found), stage, found.fault)
            stage, begun = "launch", time.perf_counter()
            endpoint = self._serve(row, configs)
            if self._started:
                row = replace(row, launch_seconds=time.perf_counter() - begun)
            stage = "accuracy"
            row = replace(row, accuracy=self._compared(row, endpoint, configs))
            if row.accuracy is not None and row.accuracy.fault:
                return self._failed(row, stage, row.accuracy.fault)
            stage = "load"
            self._ready(row.trial)
            measured = self._gauged(endpoint, row)
        except ServerLost:
            raise
        except AnalyzerError as error:
            return self._failed(row, stage, error.message)
        except Exception as error:  # noqa: BLE001 - a candidate's fault must not end the sweep
            return self._failed(row, stage, f"{type(error).__name__}: {error}")
        return replace(row, **measured)

    def _gauged(self, endpoint: Endpoint, row: Row) -> Mapping[str, Any]:
        """Measure, and return the fields of a row that come of it."""
        if isinstance(self._load, LoadSpec):
            found = cast("Gauge", self._gauge)(endpoint, row.load)
            used = (found.observed.server_cpu or 0.0) + (found.observed.client_cpu or 0.0)
            return {
                **_fields(found), "load": _found(row.load, found.goodput), "cores_used": used
            }  # fmt: skip
        loads = self._loads_of(row.trial)
        measured = cast("Gauges", self._gauge)(endpoint, loads)
        return together.fields({
            model: {**_fields(each), "load": together.level(loads[model])}
            for model, each in measured.items()
        })  # fmt: skip

    def _serve(self, row: Row, configs: Mapping[str, ModelConfig]) -> Endpoint:
        """Reuse the running server if it has this variant; what proves something takes a new one.

        A new process each time makes what differs from start to start (memory layout, thread
        placement) part of the spread that the interval shows. What is measured beside others has
        fewer cores, so its server is another.
        """
        fresh = row.trial.fresh or not row.trial.phase.ranks
        wanted = row.digest, row.trial.beside > 1
        self._started = self._served is None or self._served[0] != wanted or fresh
        if self._served is not None and not self._started:
            return self._served[1]
        self._served = None
        asked = {
            name: None if self._is_as_found(name, config) else config
            for name, config in configs.items()
        }
        first = self._assembly.loaded[0]
        beside = {name: config for name, config in asked.items() if name != first}
        endpoint = self._launcher.serve(first, asked[first], variant=row.variant, beside=beside)
        self._served = (wanted, endpoint)
        return endpoint

    def _known(self, row: Row, configs: Mapping[str, ModelConfig]) -> Accuracy | None:
        """Return what is known of this variant's answers; have the default asked if need be."""
        if self._guard is None or not self._guard.judges(configs):
            return None
        found = self._guard.known(configs)
        if found is None and self._guard.wants_default:
            # The default was measured by a run whose record of its answers is gone.
            name = self._names.of(self._name, self._default_digest)
            default = replace(row, digest=self._default_digest, variant=name)
            self._guard.learn(self._serve(default, self._assembly.configs))
        return found

    def _compared(
        self, row: Row, endpoint: Endpoint, configs: Mapping[str, ModelConfig]
    ) -> Accuracy | None:
        """Compare a variant's answers with the default's; None where they cannot differ."""
        if self._guard is None:
            return None
        if row.digest == self._default_digest:
            self._guard.learn(endpoint)
        return self._guard.check(endpoint, configs) if self._guard.judges(configs) else None

    def _is_as_found(self, name: str, config: ModelConfig) -> bool:
        """Whether that is how the model's repository has it."""
        untouched = self._as_found and name not in self._assembly.altered
        return untouched and variant.digest(config) == self._defaults[name]

    def _failed(self, row: Row, stage: str, message: str) -> Row:
        # What served a failed trial is not trusted with the next one.
        self._served = None
        if stage != "launch" and (ended := self._launcher.why_ended()):
            message = f"{ended}\nThe load client said: {message}"
        return replace(row, failure=Failure(stage=stage, message=message))

    def _loads_of(self, trial: Trial) -> Mapping[str, LoadSpec]:
        """Return the load of each model that is loaded."""
        if isinstance(self._load, LoadSpec):
            load = _hurried(_loaded(self._load, trial.candidate), trial.haste)
            return {self._name: _promised(replace(load, bar=trial.bar), trial)}
        parts = trial.candidate.by_model()
        return {
            model: _hurried(_loaded(load, parts.get(model, Candidate(()))), trial.haste)
            for model, load in self._load.items()
        }


def _hurried(load: LoadSpec, haste: float) -> LoadSpec:
    """Make a load that is measured so many times shorter, and as much less precisely."""
    return replace(
        load,
        min_seconds=load.min_seconds / haste,
        max_seconds=load.max_seconds / haste,
        throughput_precision=min(1.0, load.throughput_precision * haste),
        latency_precision=min(1.0, load.latency_precision * haste),
    )


def _loaded(usual: LoadSpec, at: Candidate) -> LoadSpec:
    """Make the load of a candidate: an open loop where it has a request rate, else a closed one.

    How many requests come in a while is then given, and their chance no property of the server: a
    measurement is as long as the latency wants it.
    """
    rate = float(at.get(REQUEST_RATE) or 0.0)
    return replace(
        usual,
        request_rate=rate,
        throughput_precision=1.0 if rate else usual.throughput_precision,
        concurrency=int(at.get(CONCURRENCY) or usual.concurrency),
        batch_size=int(at.get(BATCH_SIZE) or usual.batch_size),
    )


def _promised(load: LoadSpec, trial: Trial) -> LoadSpec:
    """Return the load of a search for the highest rate that keeps a limit, where that is asked."""
    if (promise := trial.promise) is None:
        return load
    return replace(
        load,
        limit_ms=promise.limit_ms,
        percentile=promise.percentile,
        max_seconds=promise.seconds,
    )


def _found(load: LoadSpec, goodput: Mapping[str, Any]) -> LoadSpec:
    """Return the load with the rate that a search for it found, if it found one."""
    rate = goodput.get("rate")
    return load if rate is None else replace(load, request_rate=float(rate))


def _whole(loads: Mapping[str, LoadSpec]) -> LoadSpec:
    """Say in one what several models are loaded with: all that is in flight, or due."""
    first, *others = loads.values()
    return replace(
        first,
        concurrency=first.concurrency + sum(each.concurrency for each in others),
        request_rate=first.request_rate + sum(each.request_rate for each in others),
    )


def _fields(measured: Measured) -> dict[str, Any]:
    """Return the fields of a row that come of a measurement."""
    server = measured.observed.server
    return {
        "stable": measured.stable,
        "metrics": metrics.evaluate(measured.observed),
        "window_rates": measured.observed.window_rates,
        "requests": len(measured.observed.latency_ns),
        "gpus": {gpu.uuid: metrics.of_gpu(gpu) for gpu in measured.observed.gpus},
        "runtime": measured.runtime,
        "absent": measured.observed.absent,
        "remarks": (*measured.observed.remarks, *measured.remarks),
        "server": {} if server is None else metrics.plain(server),
        "series": measured.observed.series,
        "estimates": measured.estimates,
        "histogram": measured.histogram,
        "goodput": measured.goodput,
    }


def _overloaded(row: Row) -> bool:
    """Whether requests came faster than they were answered, by more than their own chance."""
    rate = row.metrics.get("perf_throughput", 0.0) / row.load.batch_size
    if not row.load.is_open or not rate:
        return False
    due = row.requests / rate * row.load.request_rate
    return due - row.requests > max(_SHORT * due, _SIGMAS * math.sqrt(due))


class _Names:
    """Names variants in Model Analyzer's way: ``MODEL_config_default``, then ``MODEL_config_0`` ...

    Equal digests of one model have one name.
    """

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._known = {
            model: {digest: f"{model}_config_default"} for model, digest in defaults.items()
        }

    def learn(self, model: str, digest: str, name: str) -> None:
        """Keep a name that was given before."""
        self._known.setdefault(model, {}).setdefault(digest, name)

    def of(self, model: str, digest: str) -> str:
        """Name a variant."""
        known = self._known[model]
        with self._lock:
            # The first name is the default's, so the others count from 0.
            return known.setdefault(digest, f"{model}_config_{len(known) - 1}")


def profile(
    campaign: Campaign,
    bench: Bench,
    journal: Journal,
    stop: Callable[[], bool],
    spectator: Spectator,
) -> None:
    """Measure what ``campaign`` asks for until it asks no more, or ``stop`` says so.

    The campaign must have been told the journal's rows already: the journal is the checkpoint.

    Raises:
        ServerLost: a server that is not ours is gone; the rows so far are in the journal.
        JournalError: a row could not be written.
    """
    while not stop() and (trial := campaign.ask()) is not None:
        spectator.started(trial, bench.name(trial))
        row = bench.measure(trial)
        journal.append(row)
        campaign.tell(row)
        spectator.finished(row)
