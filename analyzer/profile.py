"""The loop: try what the campaign asks for until it asks no more; every try becomes a row.

Owns the order of things and the turning of any fault into a row with its reason. Does not
own what to try (``stages``), how to bring a server up (``launchers``) or how to load it
(``load``, ``measure``): those it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from analyzer import metrics, variant
from analyzer.errors import AnalyzerError, ServerLost
from analyzer.launcher import Endpoint, Launcher
from analyzer.metrics import Observed
from analyzer.record.estimates import Estimates
from analyzer.record.journal import Journal
from analyzer.record.row import Failure, LoadSpec, Phase, Row, Trial
from analyzer.space import BATCH_SIZE, CONCURRENCY
from analyzer.stages import Campaign
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gauge brings back: the observations, whether they settled, and what ran.

    ``estimates`` and ``histogram`` are the row's; ``remarks`` are the load client's own.
    """

    observed: Observed
    stable: bool
    runtime: Mapping[str, str] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=dict)
    histogram: str = ""
    remarks: tuple[str, ...] = ()


#: Loads a server as told and observes it meanwhile.
#:
#: Raises LoadError when the load client failed, or no request succeeded.
Gauge = Callable[[Endpoint, LoadSpec], Measured]


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

    def __init__(
        self,
        *,
        base: ModelConfig,
        launcher: Launcher,
        gauge: Gauge,
        load: LoadSpec,
        rows: Iterable[Row] = (),
        as_found: bool = True,
    ) -> None:
        """Prepare to measure variants of ``base`` under loads made from ``load``.

        ``as_found``: ``base`` is the model as its repository has it. ``rows`` are those measured
        before: names of variants and numbers go on from them.
        """
        self._base = base
        self._launcher = launcher
        self._gauge = gauge
        self._load = load
        self._default_digest = variant.digest(base)
        self._names = {self._default_digest: f"{base.name}_config_default"}
        self._as_found = as_found
        self._number = 0
        self._served: tuple[str, Endpoint] | None = None
        self._started = False
        for row in rows:
            self._names.setdefault(row.digest, row.variant)
            self._number = max(self._number, row.number + 1)

    def name(self, trial: Trial) -> str:
        """Name the variant that a trial is about; equal configurations have one name."""
        digest = variant.digest(variant.make(trial.candidate, self._base))
        # The first name is the default's, so the others count from 0.
        return self._names.setdefault(digest, f"{self._base.name}_config_{len(self._names) - 1}")

    def measure(self, trial: Trial) -> Row:
        """Serve, load and observe; whatever goes wrong is in the row's ``failure``.

        Raises:
            ServerLost: there is no server to measure: that says nothing about the variant.
        """
        begun = time.perf_counter()
        config = variant.make(trial.candidate, self._base)
        row = Row(
            number=self._number,
            taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            model=self._base.name,
            variant=self.name(trial),
            digest=variant.digest(config),
            trial=trial,
            load=self._load_of(trial),
            settings=variant.settings(config),
            config=convert.dumps(config),
        )
        self._number += 1
        row = self._fill(row, config)
        return replace(row, seconds=time.perf_counter() - begun)

    def _fill(self, row: Row, config: ModelConfig) -> Row:
        stage, begun = "launch", time.perf_counter()
        try:
            endpoint = self._serve(row, config)
            if self._started:
                row = replace(row, launch_seconds=time.perf_counter() - begun)
            stage = "load"
            measured = self._gauge(endpoint, row.load)
        except ServerLost:
            raise
        except AnalyzerError as error:
            return self._failed(row, stage, error.message)
        except Exception as error:  # noqa: BLE001 - a candidate's fault must not end the sweep
            return self._failed(row, stage, f"{type(error).__name__}: {error}")
        server = measured.observed.server
        return replace(
            row,
            stable=measured.stable,
            metrics=metrics.evaluate(measured.observed),
            window_rates=measured.observed.window_rates,
            requests=len(measured.observed.latency_ns),
            gpus={gpu.uuid: metrics.of_gpu(gpu) for gpu in measured.observed.gpus},
            runtime=measured.runtime,
            absent=measured.observed.absent,
            remarks=(*measured.observed.remarks, *measured.remarks),
            server={} if server is None else metrics.plain(server),
            series=measured.observed.series,
            estimates=measured.estimates,
            histogram=measured.histogram,
        )

    def _serve(self, row: Row, config: ModelConfig) -> Endpoint:
        """Reuse the running server if it has this variant; verification always takes a new one.

        A new process each time makes what differs from start to start (memory layout, thread
        placement) part of the spread that the interval shows.
        """
        fresh = row.trial.phase is Phase.VERIFY
        self._started = self._served is None or self._served[0] != row.digest or fresh
        if self._served is not None and not self._started:
            return self._served[1]
        self._served = None
        as_found = self._as_found and row.digest == self._default_digest
        asked = None if as_found else config
        endpoint = self._launcher.serve(self._base.name, asked, variant=row.variant)
        self._served = (row.digest, endpoint)
        return endpoint

    def _failed(self, row: Row, stage: str, message: str) -> Row:
        # What served a failed trial is not trusted with the next one.
        self._served = None
        if stage == "load" and (ended := self._launcher.why_ended()):
            message = f"{ended}\nThe load client said: {message}"
        return replace(row, failure=Failure(stage=stage, message=message))

    def _load_of(self, trial: Trial) -> LoadSpec:
        concurrency = trial.candidate.get(CONCURRENCY) or self._load.concurrency
        batch_size = trial.candidate.get(BATCH_SIZE) or self._load.batch_size
        return replace(self._load, concurrency=int(concurrency), batch_size=int(batch_size))


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
