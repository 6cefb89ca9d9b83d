"""Wires ``analyze perf``: the one module that knows all its parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from analyzer import v2client, workspace
from analyzer.counters import server_times
from analyzer.errors import AnalyzerError, UsageError
from analyzer.interruption import INTERRUPTED, interruption
from analyzer.launchers import local
from analyzer.load.arrivals import SECOND, Fixed, Staircase
from analyzer.load.driver import DriverSettings, run
from analyzer.load.inputs.example import example
from analyzer.load.inputs.source import Requests, prepare, workload
from analyzer.load.workload import Workload
from analyzer.measure.gpu_use import use_of
from analyzer.measure.scrape import PageWatch, default_url
from analyzer.measure.span import Span
from analyzer.perf import csv_text, text
from analyzer.perf.export import profile_export
from analyzer.perf.live import Terminal
from analyzer.perf.options import Mode, PerfOptions
from analyzer.perf.promise import Hunt
from analyzer.perf.runs import Aside, Found, Kind, Runs, intervals_of
from analyzer.perf.subject import Subject, find

if TYPE_CHECKING:
    from rich.console import Console

    from analyzer.launcher import Launcher
    from analyzer.load.driven import Driven
    from analyzer.load.share import Plan
    from analyzer.measure.glimpse import Seen
    from analyzer.metrics import GpuUse, ServerTimes
    from analyzer.record.row import LoadSpec
    from analyzer.statistics.stopping import StoppingRule

#: perf_analyzer's exit code where no measurement was stable
STABILITY_ERROR = 2


def perf(options: PerfOptions, console: Console, errors: Console) -> int:
    """Load a model as ``options`` say, print and write what came of it; return the exit code.

    Raises:
        UsageError: what is asked for does not fit the model, or a file of it does not.
        LaunchError: the server, or the model, is not there.
        LoadError: nothing was measured.
    """
    screen = Terminal(console, errors)
    for line in options.said:
        screen.warn(line)
    subject = find(options)
    _check(options, subject)
    requests = _asked_for(prepare(subject.described, subject.config, options.inputs), options)
    _check_answers(options, requests)
    schedule = _pace(options, requests)
    screen.say(*text.settings(options, decoupled=subject.decoupled, sequences=subject.sequences))
    stopping = "Stopping after the requests in flight; once more to stop at once."
    with interruption(lambda: screen.warn(stopping)) as stop:
        bench = _Bench(options, subject, workload(requests, options.batch_size, options.version))
        runs = Runs(
            options,
            bench.drive(stop),
            screen,
            stop=stop,
            aside=bench.aside,
            kind=Kind(sequences=subject.sequences, decoupled=subject.decoupled),
        )
        hunt = None if options.promise is None else Hunt(options, runs, stop)
        found = runs.run(schedule) if hunt is None else hunt.run()
    return _finish(found, options, subject, screen)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleInput:
    """What ``analyze make-input`` was asked to write; a ``repository`` means a model there."""

    model: str
    output: Path
    url: str = ""
    protocol: str = "http"
    repository: Path | None = None
    samples: int = 2
    seed: int = 0
    overwrite: bool = False


def make_input(asked: ExampleInput, console: Console) -> int:
    """Write an example of input data for a model; return the exit code.

    Raises:
        UsageError: the file is there already.
        LaunchError: the server, or the model, is not there.
    """
    if asked.output.exists() and not asked.overwrite:
        raise UsageError(f"{asked.output} exists; pass --overwrite, or another --output")
    with ExitStack() as stack:
        url, protocol = asked.url, asked.protocol
        if asked.repository is not None:
            source = workspace.require_model([asked.repository], asked.model)
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="servetune-")))
            launcher = stack.enter_context(closing(_launcher(source.parent, asked.model, logs)))
            url = launcher.serve(asked.model, None, variant="input").http
        plain = PerfOptions(model=asked.model, protocol=protocol)
        model = find(replace(plain, url=url or plain.url)).takes()
    _write(asked.output, example(model, asked.samples, asked.seed).encode())
    taken = ", ".join(f"{each.name} {each.words}" for each in model.inputs)
    console.print(f"{asked.output}: {asked.model} takes {taken}", highlight=False, markup=False)
    console.print(
        f"Use it with: analyze perf -m {asked.model} --input-data {asked.output}",
        highlight=False,
        markup=False,
    )
    return 0


def _launcher(repository: Path, model: str, logs: Path) -> Launcher:
    """Return what serves one model of a repository, and those it is made of."""
    flags = ("--model-control-mode=explicit", f"--load-model={model}")
    return local.make(lambda *_: repository, log_dir=logs, server_flags=flags)


def _finish(found: Found, options: PerfOptions, subject: Subject, screen: Terminal) -> int:
    """Print the levels side by side, and write the files."""
    every = found.every
    if every and options.mode is not Mode.PERIODIC:
        screen.say(*text.closing(every, options))
    if every and options.csv is not None:
        _write(options.csv, csv_text.main_file(every, options, cached=subject.cached).encode())
        files = csv_text.composing_files(every, options, cached=subject.cached)
        for path, content in files.items():
            _write(path, content.encode())
    if options.export is not None:
        epoch_ns = time.time_ns() - time.monotonic_ns()
        _write(options.export, profile_export(every, epoch_ns=epoch_ns))
    if found.interrupted:
        return INTERRUPTED
    stable = found.stable or not options.measuring.judges
    return 0 if stable and found.kept else STABILITY_ERROR


class _Bench:
    """One model on one server, ready to be loaded; and what is seen of the server meanwhile."""

    def __init__(self, options: PerfOptions, subject: Subject, work: Workload) -> None:
        self._options = options
        self._subject = subject
        self._workload = work
        names = [model for model, _ in options.composing]
        self._readers = {
            name: v2client.CounterReader(subject.endpoint, name) for name in sorted(set(names))
        }
        self._called: dict[str, ServerTimes] = {}
        self._seen: Seen | None = None

    def drive(
        self, stop: Callable[[], bool]
    ) -> Callable[[LoadSpec, Plan | None, Callable[[], StoppingRule]], Driven]:
        """Return what loads it."""

        def drive(
            load: LoadSpec, schedule: Plan | None, rule: Callable[[], StoppingRule]
        ) -> Driven:
            before = {name: read() for name, read in self._readers.items()}
            with self._watch() as watch:
                driven = run(
                    self._subject.endpoint,
                    self._workload,
                    load,
                    schedule,
                    rule=rule,
                    stop=stop,
                    settings=DriverSettings(seed=self._options.seed),
                )
            self._seen = watch.seen() if watch is not None else None
            self._called = {
                name: times
                for name, read in self._readers.items()
                if (times := server_times(before[name], read())) is not None
            }
            return driven

        return drive

    def _watch(self) -> AbstractContextManager[PageWatch | None]:
        """Return what reads the server's metrics page, if it is to be read."""
        options, endpoint = self._options, self._subject.endpoint
        if not options.collect_metrics:
            return nullcontext()
        url = options.metrics_url or default_url(endpoint.http or endpoint.grpc or "")
        return PageWatch(url, options.model, period_s=options.metrics_ms / 1000)

    def aside(self, driven: Driven) -> Aside:
        """Return the times of the models behind it, an ensemble's and those it calls, and GPUs."""
        inner = dict(driven.server.composing) if driven.server is not None else {}
        inner |= self._called
        gpus: tuple[GpuUse, ...] = ()
        if self._seen is not None and self._seen.glimpses:
            span = Span(self._seen.glimpses, driven.started_ns, driven.ended_ns)
            gpus = tuple(use_of(gpu, span) for gpu in self._seen.gpus)
        return Aside(
            composing={
                (name, version): inner[name]
                for name, version in self._subject.composing
                if name in inner
            },
            gpus=gpus,
            no_gpus=self._seen.gpu_reason if self._seen is not None else "",
        )


def _check(options: PerfOptions, subject: Subject) -> None:
    """Check that what is asked for goes with the model.

    Raises:
        UsageError: it does not.
    """
    model = options.model
    if subject.decoupled and not options.streaming:
        raise UsageError(
            f"{model} is decoupled: it answers a request any number of times, which takes "
            "-i grpc --streaming"
        )
    if subject.sequences and options.batch_size > 1:
        raise UsageError(f"{model} keeps sequences: expected -b 1, found {options.batch_size}")
    start, end = options.sequences.ids
    most = options.range.end if options.mode is Mode.CONCURRENCY else options.sequences.at_once
    if subject.sequences and end is not None and end - start < most:
        raise UsageError(
            f"--sequence-id-range {start}:{end} has fewer ids than there may be sequences at a "
            f"time, {most:g}; widen it"
        )


def _check_answers(options: PerfOptions, requests: Requests) -> None:
    """Check that answers that are expected can be looked at.

    Raises:
        UsageError: they would not be in the messages, or not one to a request.
    """
    if not any(one.expected for one in requests.every):
        return
    if options.shared_memory != "none" or options.streaming:
        flag = "--streaming" if options.streaming else f"--shared-memory {options.shared_memory}"
        raise UsageError(
            f"{flag}: answers are not compared there; leave it out, or validation_data (of a "
            "folder or .npz: the outputs)"
        )


def _asked_for(requests: Requests, options: PerfOptions) -> Requests:
    """Put into the requests what the flags say of each: parameters, and the form of outputs."""
    if not options.parameters and not options.json_outputs:
        return requests
    streams = tuple(
        tuple(
            replace(
                one,
                request=replace(
                    one.request,
                    parameters={**one.request.parameters, **options.parameters},
                    binary_default=not options.json_outputs,
                ),
            )
            for one in stream
        )
        for stream in requests.streams
    )
    return replace(requests, streams=streams)


def _pace(options: PerfOptions, requests: Requests) -> Plan | None:
    """Return the pace, where it is recorded or grows by itself.

    Raises:
        UsageError: the input data says no times.
        LoadError: the file of intervals is none.
    """
    if options.intervals is not None:
        return intervals_of(options.intervals.read_text(), str(options.intervals))
    if options.mode is Mode.PERIODIC:
        steps = options.range
        return Staircase(
            start=int(steps.start),
            end=int(steps.end),
            step=int(steps.step),
            period=options.request_period,
        )
    if options.mode is not Mode.SCHEDULE:
        return None
    if options.schedule_s:
        return Fixed(tuple(round(second * SECOND) for second in options.schedule_s))
    times = [one.at_ms for one in requests.every]
    if any(at is None for at in times):
        place = next(one.place for one in requests.every if one.at_ms is None)
        raise UsageError(
            f"--fixed-schedule: expected a timestamp (ms) in every sample of --input-data; "
            f"{place or 'generated data'} has none"
        )
    return Fixed(tuple(round(at * 1e6) for at in times if at is not None))


def _write(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        AnalyzerError: that fails.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise AnalyzerError(f"{path}: cannot be written: {error.strerror or error}") from error
