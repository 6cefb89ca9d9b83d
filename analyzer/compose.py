"""Wires the parts: the one module that knows them all.

``profile`` builds source, launcher, search, bench and journal, runs the loop and leaves
results behind (what can be done with them is ``results``'). Signals end here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from analyzer import (
    gauge,
    lanes,
    layout,
    placement,
    preview,
    provision,
    results,
    strategy,
    v2client,
    variant,
    workspace,
)
from analyzer import report as reports
from analyzer.accuracy.guard import Guard, Terms
from analyzer.assembly import Assembly
from analyzer.config import load, meaning, show
from analyzer.config.schema import LaunchMode, ProfileOptions
from analyzer.display import Display
from analyzer.errors import AnalyzerError, NothingMeasured, UsageError
from analyzer.interruption import INTERRUPTED, interruption
from analyzer.launcher import Endpoint, Launcher
from analyzer.launchers import local, remote
from analyzer.load.driver import DriverSettings
from analyzer.load.payload import KINDS
from analyzer.load.window import WindowSample
from analyzer.measure import attainable, scrape, side_by_side
from analyzer.measure.machine import describe
from analyzer.measure.observe import Watch, idle_gpus
from analyzer.measure.scrape import PageWatch
from analyzer.profiling import Bench, Gauge, Gauges, Up
from analyzer.profiling import profile as run
from analyzer.ranking.goal import Goal, parse_goal, together
from analyzer.ranking.rank import recommended
from analyzer.record import journal as journals
from analyzer.record.journal import Journal
from analyzer.record.row import SCHEMA, LoadSpec, Row, RunHead
from analyzer.stages import Campaign, Skipped
from analyzer.surface import recording as recorder
from analyzer.surface.grid import Grid
from analyzer.surface.recording import Record, Recording
from analyzer.surface.screen import Screen
from analyzer.surface.stored import base_of, with_grid
from analyzer.terminal import closing_words, gain_words, say_commands, say_config, say_skipped
from analyzer.workspace import Workspace
from engine.modelconfig import convert
from engine.modelconfig.schema import ModelConfig


def resolve(
    file: Path | None, flags: Mapping[str, Any], console: Console
) -> tuple[ProfileOptions, ...]:
    """Read the options of every model from a file and flags; say what has no effect.

    Raises:
        UsageError: every problem found, a line each.
    """
    found = load.resolve(file, flags, strategy.known())
    for warning in found.warnings:
        console.print(f"Warning: {warning}", style="yellow", highlight=False, markup=False)
    return load.options_of(found)


def show_config(file: Path, flags: Mapping[str, Any], console: Console, *, json: bool) -> int:
    """Print a file's configuration with the source of each value; return the exit code.

    Raises:
        UsageError: every problem found, a line each.
    """
    found = load.resolve(file, flags, strategy.known())
    if json:
        console.print(show.as_json(found), highlight=False, markup=False, soft_wrap=True)
    else:
        say_config(console, show.lines(found))
    return 0


def profile(every: Sequence[ProfileOptions], console: Console, *, dry_run: bool = False) -> int:
    """Profile models one after another, or only say what would be done; return the exit code."""
    goals = [goal_of(options) for options in every]
    if len(every) > 1 and every[0].concurrently:
        weighed = {each.model: (each.weighting, goal) for each, goal in
                   zip(every, goals, strict=True)}  # fmt: skip
        every, goals = (provision.joint(every),), [together(weighed)]
    for options in every:
        strategy.find(options.search_mode)
        remote_grpc = options.launch_mode is LaunchMode.REMOTE and options.protocol == "grpc"
        if remote_grpc and options.grpc_endpoint is None:
            raise UsageError(
                "--client-protocol grpc on a remote server needs its gRPC address: "
                "pass --triton-grpc-endpoint HOST:PORT"
            )
    code = 0
    for options, goal in zip(every, goals, strict=True):
        asked = _Profile(options, goal, console)
        code = asked.preview() if dry_run else asked.run()
        if code:
            break
    return code


def record(every: Sequence[ProfileOptions], asked: Record, console: Console) -> int:
    """Record the surface of a model, or go on with it; return the exit code.

    Raises:
        UsageError: several models are named, or options do not fit the model.
    """
    if len(every) != 1:
        raise UsageError(
            f"{len(every)} models are named; a surface is one model's: record them one by one"
        )
    return _Profile(every[0], goal_of(every[0]), console).record(asked)


def _driver(options: ProfileOptions) -> DriverSettings:
    """Say how a model's load client is run."""
    called = tuple(each.name for each in options.bls_composing)
    return DriverSettings(shapes=options.shapes, composing=called)


def goal_of(options: ProfileOptions) -> Goal:
    """Read the goal out of the options.

    Raises:
        UsageError: it names metrics that do not exist, or bounds that cannot hold.
    """
    return parse_goal(
        options.objectives, options.constraints, options.latency_budget, options.min_throughput,
        options.cost_per_hour,
    )  # fmt: skip


class _Profile:
    """One model's profile, from its source to its report."""

    def __init__(self, options: ProfileOptions, goal: Goal, console: Console) -> None:
        self._options = options
        self._goal = goal
        self._console = console
        self._place = Workspace(options.export_path / options.model)
        self._up: Up | None = None
        self._places: tuple[placement.Place, ...] = ()

    def run(self) -> int:
        """Measure, choose, report; return the exit code."""
        machine = self._machine()
        if machine.get("gpus") and self._options.launch_mode is LaunchMode.LOCAL:
            # Model Analyzer's server-only figures: the GPUs before a model is on them.
            machine["server_only"] = idle_gpus()
        for warning in machine.get("warnings", ()):
            self._console.print(f"Warning: {warning}", style="yellow", highlight=False)
        if self._options.launch_mode is LaunchMode.REMOTE:
            self._say_unmeasured(scrape.why_unreadable(self._metrics_url()))
        sources = self._sources()
        head = self._head(sources, machine)
        with ExitStack() as stack:
            stop = stack.enter_context(interruption(self._say_stopping))
            journal = stack.enter_context(self._journal(head))
            launcher = stack.enter_context(closing(self._launcher(sources)))
            campaign = self._sweep(journal, launcher, sources, stop)
            contents = journals.Contents(journal.head, journal.rows, journal.damage, 0)
        if stop() and campaign.ask() is not None:
            self._console.print(
                f"Interrupted; {len(contents.rows)} measurements are kept in {self._place.journal}."
                " The same command goes on from there.",
                highlight=False,
            )
            return INTERRUPTED
        self._console.print(f"Search ended: {campaign.why_stopped()}.", highlight=False)
        say_skipped(self._console, campaign.skipped())
        try:
            return self._finish(contents, sources, campaign.skipped())
        except OSError as error:
            raise AnalyzerError(
                f"{error.filename or self._place.root}: cannot write the results: "
                f"{error.strerror or error}; the {len(contents.rows)} measurements are safe in "
                f"{self._place.journal}. Repair the cause, then run the same command again: it "
                "measures nothing twice"
            ) from error

    def preview(self) -> int:
        """Say what would be measured; start a server to know the model, and measure nothing."""
        machine = self._machine()
        sources = self._sources()
        rows = self._rows_of(self._head(sources, machine))
        with closing(self._launcher(sources)) as launcher:
            began = time.monotonic()
            base = self._base(rows, launcher, sources)
            start = None if rows or not sources else time.monotonic() - began
        provision.check_inputs(self._options, base)
        options = self._options
        laid = self._laid(base, machine)
        room, plan = laid.space, laid.plan
        make = strategy.find(options.search_mode)
        first = preview.foreseen(plan, lambda: make(laid.problem))
        if rows:
            campaign = self._campaign(laid)
            for row in rows:
                campaign.tell(row)
            trial = campaign.ask()
            first = () if trial is None else (preview.next_of(trial),)
        windows = options.rule == "windows"
        preview.say(self._console, preview.Preview(
            model=options.model, mode=options.search_mode, goal=self._goal, space=room, plan=plan,
            distinct=preview.distinct(room), first=first, taken=len(rows),
            skipped=preview.impossible(room, plan.cores, plan.means),
            shortest=3 * options.window_seconds if windows else options.min_seconds / plan.haste,
            longest=options.max_windows * options.window_seconds if windows
            else options.max_seconds / plan.haste,
            start_seconds=start,
        ))  # fmt: skip
        return 0

    def record(self, asked: Record) -> int:
        """Measure the whole grid, or what is left of it; return the exit code."""
        began = time.monotonic()
        options, machine, sources = self._options, describe(), self._sources()
        with ExitStack() as stack:
            stopped = stack.enter_context(interruption(self._say_stopping))
            launcher = stack.enter_context(closing(self._launcher(sources)))
            found = base_of(asked.output)
            base = (
                self._base((), launcher, sources)
                if found is None
                else provision.placed(options, found)
            )
            provision.check_inputs(self._options, base)
            laid = self._laid(base, machine)
            grid = Grid(laid.space, laid.plan.cores, laid.plan.means)
            head = with_grid(self._head(sources, machine), grid, base, options.seed)
            asked.output.parent.mkdir(parents=True, exist_ok=True)
            journal = stack.enter_context(Journal.resume(asked.output, head))
            recording = Recording(grid, asked.repetitions, asked.first, options.seed)
            screen = stack.enter_context(Screen(self._console, options.model, recording))

            def fresh(rows: Sequence[Row]) -> Bench:
                return Bench(
                    base=base, launcher=launcher, gauge=self._gauge(screen.window),
                    load=self._load(base), rows=rows,
                )  # fmt: skip

            def stop() -> bool:
                late = asked.max_time is not None and time.monotonic() - began >= asked.max_time
                return late or stopped()

            whole = recorder.record(recording, fresh, journal, stop, screen)
            measured = len(journal.rows)
        more = "" if whole else "; it is not complete: the same command goes on from there"
        self._console.print(
            f"{measured} measurements are in {asked.output}{more}.", highlight=False, soft_wrap=True
        )
        return INTERRUPTED if stopped() and not whole else 0

    def _machine(self) -> dict[str, Any]:
        """Describe this machine.

        Raises:
            UsageError: the goal names what cannot be measured on it.
        """
        machine = describe()
        remote = self._options.launch_mode is LaunchMode.REMOTE
        goal = attainable.settled(self._goal, machine, remote=remote)
        for each in self._goal.constraints:
            if each not in goal.constraints:
                self._say_unmeasured(f"{each}: holds by itself, this machine shows no GPU")
        self._goal = goal
        attainable.refuse(goal.wanted, machine, remote=remote)
        if self._options.gpus_side_by_side:
            self._place_measurements(machine)
        return machine

    def _place_measurements(self, machine: Mapping[str, Any]) -> None:
        """Find the GPUs to measure on side by side; from here on a configuration has one."""
        options = self._options
        found = side_by_side.place(options.gpus_side_by_side, options.gpus, int(machine["cores"]))
        self._say_unmeasured(found.said)
        self._options, self._places = provision.on_one_gpu(options, found), found.places

    def _rows_of(self, head: RunHead) -> tuple[Row, ...]:
        """Return what was measured before under these options; () where it would begin anew."""
        if self._options.fresh or not self._place.journal.is_file():
            return ()
        contents = journals.read(self._place.journal)
        same = contents.head.options_digest == head.options_digest
        return tuple(contents.rows) if same else ()

    def _say_unmeasured(self, reason: str) -> None:
        if reason:
            self._console.print(f"Note: {reason}", style="yellow", highlight=False, markup=False)

    def _say_stopping(self) -> None:
        self._console.print(
            "Stopping after the running measurement; once more to stop at once.", style="yellow"
        )

    def _sweep(
        self,
        journal: Journal,
        launcher: Launcher,
        sources: Mapping[str, Path],
        stop: Callable[[], bool],
    ) -> Campaign:
        """Go on from the journal's rows until the campaign is over or ``stop()`` turns true."""
        rows = journal.rows
        self._say_resumed(journal)
        base = self._base(rows, launcher, sources)
        provision.check_inputs(self._options, base)
        self._say_unknown(base)
        laid = self._laid(base, journal.head.machine)
        campaign = self._campaign(laid)
        for row in rows:
            campaign.tell(row)
        rows_each = self._options.limits.batch_size
        with Display(self._console, campaign, self._options.model, rows_each) as display:
            meeting, guard = lanes.Meeting(), self._guard(base, laid, journal)
            bench = Bench(
                base=base, launcher=launcher, gauge=self._gauge(display.window),
                load=self._load(base), rows=rows, up=None if base.altered else self._up,
                guard=lanes.Shared(guard) if guard and laid.plan.abreast > 1 else guard,
                gpu=self._places[0].gpu if self._places else "", ready=meeting.come,
            )  # fmt: skip
            if laid.plan.abreast <= 1:
                run(campaign, bench, journal, stop, display)
                return campaign
            with ExitStack() as stack:

                def beside(gpu: str) -> Bench:
                    own = stack.enter_context(closing(self._launcher(sources, gpu)))
                    return bench.beside(own, self._gauge(display.window, gpu), gpu)

                several = lanes.several(self._places, bench, beside, side_by_side.lost)
                heard = lanes.Heard(display, meeting, self._say_unmeasured)
                lanes.profile(campaign, several, journal, stop, heard)
        self._say_unmeasured(campaign.said_of_gpus())
        return campaign

    def _sources(self) -> Mapping[str, Path]:
        """Find the folders of the model and those behind it, or build the example of its name.

        Of a remote server's models nobody knows the folders: {}.
        """
        options = self._options
        if options.launch_mode is LaunchMode.REMOTE:
            return {}
        found: dict[str, Path] = {}
        for each in options.members:
            found |= provision.sources(each, self._source(each))
        return found

    def _source(self, options: ProfileOptions) -> Path:
        """Find a model's folder, or build the example of its name."""
        if options.model_repository:
            return workspace.require_model(options.model_repository, options.model)
        repository = options.export_path / "model_repository"
        if (there := workspace.find_model((repository,), options.model)) is not None:
            return there
        with self._console.status(f"Building the example model {options.model} ..."):
            return workspace.build_example(options.model, repository)

    def _head(self, sources: Mapping[str, Path], machine: Mapping[str, Any]) -> RunHead:
        """Say what is true of every row: the model, the machine, how it was measured."""
        options = self._options
        digests = {name: workspace.fingerprint(folder) for name, folder in sources.items()}
        kept = {
            "model_digest": digests.pop(options.model, None), **meaning.of_rows(options, machine)
        }  # fmt: skip
        if digests:
            kept["composing_digests"] = digests
        given = [source for each in options.members for source in each.input_data]
        if not set(given) <= set(KINDS):
            files = [Path(source) for source in given if source not in KINDS]
            kept["input_digest"] = workspace.fingerprint_of(files)
        now = datetime.now(UTC)
        return RunHead(
            schema=SCHEMA,
            run=now.strftime("%Y%m%dT%H%M%SZ"),
            model=options.model,
            started_at=now.isoformat(timespec="seconds"),
            versions=machine.get("versions", {}),
            machine=machine,
            options=kept,
            options_digest=journals.options_digest(kept),
            command=meaning.command(options),
        )

    def _journal(self, head: RunHead) -> Journal:
        """Open the journal that is there, or begin one; ``--fresh`` moves the old one aside."""
        path = self._place.journal
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._options.fresh and path.exists():
            path.rename(path.with_name(f"journal.before-{head.run}.jsonl"))
        return Journal.resume(path, head)

    def _say_resumed(self, journal: Journal) -> None:
        for damage in journal.damage:
            self._console.print(
                f"{self._place.journal}:{damage.line}: skipped, not a whole row: {damage.reason}",
                style="yellow",
                markup=False,
                highlight=False,
            )
        if journal.rows:
            self._console.print(
                f"Resuming: {len(journal.rows)} measurements are in {self._place.journal} already"
                " (--fresh starts over).",
                highlight=False,
            )

    def _launcher(self, sources: Mapping[str, Path], gpu: str = "") -> Launcher:
        """Make what starts servers; those on another ``gpu`` than the first have folders there."""
        options, place = self._options, self._place
        if not sources:
            return remote.make(options.http_endpoint, options.grpc_endpoint)
        if gpu:
            options = replace(options, gpus=(gpu,))

        def repository_of(configs: Mapping[str, ModelConfig | None], name: str) -> Path:
            return workspace.write_variant(place.variants / gpu / name, sources, configs)

        return local.make(
            repository_of,
            log_dir=place.logs / gpu,
            server_flags=options.server_flags,
            environment=meaning.environment(options),
            startup_timeout_s=options.startup_timeout_s,
        )

    def _base(
        self, rows: Sequence[Row], launcher: Launcher, sources: Mapping[str, Path]
    ) -> Assembly:
        """Return the complete default configurations: the journal's, or the server's own word."""
        model = self._options.model
        name = f"{model}_config_default"
        for row in rows:
            if row.variant == name and row.configs:
                where = f"{self._place.journal}: row {row.number}"
                read = Assembly.read(model, row.configs, where)
                return provision.placed(self._options, read)
        first, *members = (each.model for each in self._options.members)
        with self._console.status("Starting the server with the default configuration ..."):
            beside = dict.fromkeys((*members, *(each for each in sources if each != first)))
            began = time.monotonic()
            endpoint = launcher.serve(first, None, variant=name, beside=beside)
            self._up = Up(endpoint, time.monotonic() - began)
            if not sources:
                named = [each.name for each in self._options.bls_composing]
                called = (*v2client.composing_models(endpoint, first), *named)
                beside |= dict.fromkeys(called)
            asked = {each: v2client.model_config(endpoint, each) for each in (first, *beside)}
        if self._options.together:
            whole = Assembly.beside(asked)
        else:
            whole = Assembly(first, asked.pop(first), asked)
        provision.check(self._options, whole)
        return provision.placed(self._options, whole)

    def _guard(self, base: Assembly, laid: layout.Layout, journal: Journal) -> Guard | None:
        """Make what compares answers with the default's; None where no variant can differ."""
        options = self._options
        if not options.accuracy_samples or not variant.may_answer_otherwise(laid.space):
            return None
        every = {each.input_data for each in options.members}
        shapes = {name: sizes for each in options.members for name, sizes in each.shapes.items()}
        terms = Terms(
            asked=base.loaded, place=self._place.answers, count=options.accuracy_samples,
            sources=options.input_data if len(every) == 1 else ("random",), shapes=shapes,
            tolerances=options.accuracy_tolerance, meaning=journal.head.options_digest,
        )  # fmt: skip
        return Guard(base.configs, terms, journal.rows)

    def _say_unknown(self, base: Assembly) -> None:
        """Say which models options speak of that have no part in this one."""
        if names := provision.unknown(self._options, base.others):
            self._console.print(
                f"Warning: {', '.join(names)}: named as composing models, but {base.name} is made "
                f"of {', '.join(base.others) or 'no others'}; what is said of them has no effect",
                style="yellow", highlight=False, markup=False,
            )  # fmt: skip

    def _campaign(self, laid: layout.Layout) -> Campaign:
        make = strategy.find(self._options.search_mode)

        def beside(width: int) -> strategy.Strategy:
            return make(replace(laid.problem, abreast=width))

        return Campaign(make(laid.problem), self._goal, laid.plan, beside)

    def _laid(self, base: Assembly, machine: Mapping[str, Any]) -> layout.Layout:
        options = self._options
        remote_server = options.launch_mode is LaunchMode.REMOTE
        as_it_is = remote_server and not self._controls_models()
        files = {
            name: workspace.version_files(folder, base.configs[name].version_policy)
            for name, folder in self._sources().items()
        }
        laid = layout.lay_out(
            options, self._goal, base, machine, settings=not as_it_is, files=files
        )
        return replace(laid, plan=replace(laid.plan, abreast=max(1, len(self._places))))

    def _controls_models(self) -> bool:
        """Whether the remote server loads and unloads models when told to."""
        http = self._options.http_endpoint
        if self._options.reload_disabled:
            return False
        if remote.controls_models(http):
            return True
        self._console.print(
            f"{http} does not load models on demand: only the load is varied. "
            "Start it with --model-control-mode=explicit to have configurations searched.",
            style="yellow",
            highlight=False,
        )
        return False

    def _watch(self, endpoint: Endpoint, gpu: str = "") -> Watch | PageWatch:
        """Watch the server's processes and machine; one elsewhere by its metrics page."""
        if gpu:
            return Watch(endpoint.pid, nvml=side_by_side.look_at(gpu))
        if endpoint.pid is not None:
            return Watch(endpoint.pid)
        seconds = self._options.monitoring_seconds
        return PageWatch(self._metrics_url(), self._options.model, period_s=seconds)

    def _metrics_url(self) -> str:
        return self._options.metrics_url or scrape.default_url(self._options.http_endpoint)

    def _gauge(self, heard: Callable[[WindowSample], None], gpu: str = "") -> Gauge | Gauges:
        """Make what measures: one model, or all that are loaded at the same time."""
        first = self._places[0].gpu if self._places else ""
        watch = partial(self._watch, gpu=gpu or first)
        settings = {each.model: _driver(each) for each in self._options.members}
        if self._options.together:
            return gauge.together(watch, settings, heard)
        model = self._options.model
        return gauge.make(model, watch, settings[model], heard)

    def _load(self, whole: Assembly) -> LoadSpec | Mapping[str, LoadSpec]:
        """Say how the model is loaded, or each of several."""
        loads = {
            each.model: replace(layout.load(each), streaming=True)
            if provision.decoupled(each.model, whole)
            else layout.load(each)
            for each in self._options.members
        }
        return loads if self._options.together else loads[self._options.model]

    def _finish(
        self,
        contents: journals.Contents,
        sources: Mapping[str, Path],
        skipped: tuple[Skipped, ...],
    ) -> int:
        """Leave the report and the winner behind, and say what was found."""
        rows, place, model = contents.rows, self._place, self._options.model
        winner = recommended(rows, self._goal)
        # The report names the commands that use the choice, so the choice comes first.
        if winner is not None and sources:
            where = f"{place.journal}: row {winner.best.number}"
            served = winner.best.configs
            configs = {name: convert.loads(text, where) for name, text in served.items()}
            words = f"{winner.variant}: {gain_words(rows, self._goal, winner)}"
            workspace.write_chosen(place, sources, configs, words)
        reports.write_skipped(place.root, contents.head.run, skipped)
        omitted = reports.Omissions(torn=len(contents.damage), skipped=skipped)
        written = reports.write(contents.head, rows, self._goal, place.root, omitted=omitted)
        if winner is None:
            raise NothingMeasured(
                f"no configuration of {model} could be measured; {written[0]} gives the reasons"
            )
        results.write_goal(place, self._goal)
        closing_words(self._console, rows, self._goal, winner)
        say_commands(self._console, place, model, local=bool(sources))
        return 0
