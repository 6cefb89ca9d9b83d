"""Level after level: what is asked of the load client, and what is said of what it found.

Owns the order of things. Which level comes next is ``levels``' to say, when one was measured enough
the stopping rules', and how requests are sent the load client's, which is given as ``drive``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Protocol

from analyzer.errors import LoadError
from analyzer.load.arrivals import Fixed, Intervals
from analyzer.load.records import Records
from analyzer.perf import text
from analyzer.perf.figures import Figures, figures
from analyzer.perf.levels import levels_of
from analyzer.perf.options import Mode, PerfOptions, Rule
from analyzer.perf.watch import Look, Watched
from analyzer.perf.windows import CountRule, WindowsRule
from analyzer.record.row import LoadSpec
from analyzer.statistics.stopping import Precision, PrecisionRule, StoppingRule, episodes_of

if TYPE_CHECKING:
    from analyzer.load.driven import Driven
    from analyzer.load.share import Plan
    from analyzer.metrics import GpuUse, ServerTimes

MICROSECOND = 1000


#: loads the server once, as a load and a recorded pace say, until a rule that is made has enough
Drive = Callable[["LoadSpec", "Plan | None", Callable[[], "StoppingRule"]], "Driven"]


class Screen(Protocol):
    """Shows what happens."""

    width: int
    #: whether it shows more than ASCII
    unicode: bool

    def say(self, *lines: str) -> None:
        """Print lines."""
        ...

    def warn(self, line: str) -> None:
        """Print a line on standard error."""
        ...

    def began(self, heading: str, options: PerfOptions) -> None:
        """Show that a level is being measured."""
        ...

    def looked(self, look: Look) -> None:
        """Show how it goes."""
        ...

    def ended(self) -> None:
        """Show it no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a model is: whether its requests belong to sequences, and have any number of answers."""

    sequences: bool = False
    decoupled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is seen of the server beside a measurement; ``no_gpus`` says why no GPU was."""

    composing: Mapping[tuple[str, str], ServerTimes]
    gpus: tuple[GpuUse, ...] = ()
    no_gpus: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of all levels; ``kept`` says that a promise was, where one was asked about."""

    every: tuple[Figures, ...]
    interrupted: bool = False
    kept: bool = True

    @property
    def stable(self) -> bool:
        """Whether any level was."""
        return any(each.stable for each in self.every)


class Runs:
    """Measures one level after another. ``aside`` turns what was driven into what else was seen."""

    def __init__(
        self,
        options: PerfOptions,
        drive: Drive,
        screen: Screen,
        *,
        stop: Callable[[], bool],
        aside: Callable[[Driven], Aside],
        kind: Kind,
    ) -> None:
        self._options = options
        self._drive = drive
        self._screen = screen
        self._stop = stop
        self._aside = aside
        self._kind = kind

    def run(self, schedule: Plan | None = None) -> Found:
        """Measure; ``schedule`` sets the pace of the modes whose pace is recorded."""
        levels = levels_of(self._options, _recorded_rate(schedule))
        every: list[Figures] = []
        while not self._stop() and (level := levels.ask()) is not None:
            each = self.measure(level, schedule)
            # Records are many, and only the export writes them.
            kept_records = each.records if self._options.export is not None else Records.none()
            every.append(replace(each, records=kept_records))
            kept = not each.over and (each.stable or not self._options.binary_search)
            if each.over:
                self._screen.warn(text.over_limit(self._options))
            levels.tell(level, kept=kept)
        return Found(every=tuple(every), interrupted=self._stop())

    def measure(self, level: float, schedule: Plan | None) -> Figures:
        """Measure one level, and say what came of it.

        Raises:
            LoadError: nothing was measured.
        """
        options, rules = self._options, list[StoppingRule]()

        def make_rule() -> StoppingRule:
            rules.append(rule_of(options, level))
            return rules[-1]

        self._screen.say(text.heading(options, level))
        each = self.once(options, level, schedule, make_rule)
        # A run that was begun anew with more senders has had a rule before.
        rule = rules[-1]
        if isinstance(rule, WindowsRule) and options.verbose:
            self._screen.say(*_passes(rule, options))
        self.tell(each, options)
        return each

    def once(
        self,
        options: PerfOptions,
        level: float,
        schedule: Plan | None,
        make_rule: Callable[[], StoppingRule],
    ) -> Figures:
        """Measure a level until a rule that is made has enough, and say nothing.

        Raises:
            LoadError: nothing was measured.
        """
        driven, rule = self.drive(options, level, schedule, make_rule)
        each = self.figures(driven, options, level, rule)
        if not each.summary.requests:
            reason = f"; the first failed with: {each.first_error}" if each.first_error else ""
            raise LoadError(f"no request succeeded{reason}")
        return each

    def drive(
        self,
        options: PerfOptions,
        level: float,
        schedule: Plan | None,
        make_rule: Callable[[], StoppingRule],
    ) -> tuple[Driven, StoppingRule]:
        """Load the server at a level, and show how it goes; return also the rule that ended it.

        Raises:
            LoadError: nothing was measured.
        """
        screen, rules = self._screen, list[StoppingRule]()

        def watched() -> StoppingRule:
            rules.append(make_rule())
            return Watched(rules[-1], screen.looked)

        screen.began(text.heading(options, level), options)
        try:
            return self._drive(load_of(options, level), schedule, watched), rules[-1]
        finally:
            screen.ended()

    def tell(self, each: Figures, options: PerfOptions) -> None:
        """Say what came of a level."""
        screen, sequences = self._screen, self._kind.sequences
        self.say(
            *text.report(
                each, options, sequences=sequences, width=screen.width, unicode=screen.unicode
            )
        )

    def say(self, *lines: str) -> None:
        """Say lines."""
        self._screen.say(*lines)

    def figures(
        self, driven: Driven, options: PerfOptions, level: float, rule: StoppingRule
    ) -> Figures:
        """Make figures of what was driven until ``rule`` had enough."""
        span: tuple[int, ...] = ()
        if isinstance(rule, WindowsRule) and rule.merged:
            span = (rule.merged[0].start_ns, *(window.end_ns for window in rule.merged))
        aside = self._aside(driven)
        each = replace(
            figures(driven, options, level, span=span, decoupled=self._kind.decoupled),
            composing=aside.composing,
            gpus=aside.gpus,
            no_gpus=aside.no_gpus,
        )
        over = False
        if isinstance(rule, WindowsRule):
            excused = rule.latency_unsteady and each.stable
            each = replace(each, excused=excused, windows=len(rule.windows))
            over = rule.over_threshold
        if options.latency_ms:
            # perf_analyzer compares whole milliseconds.
            counting_ms = int(each.counting(options.percentile).value / 1e6)
            over = over or counting_ms >= options.latency_ms
        return replace(each, over=over)


def load_of(options: PerfOptions, level: float) -> LoadSpec:
    """Return what the load client is to do at a level."""
    measuring, sequences = options.measuring, options.sequences
    start, end = sequences.ids
    rules = {Rule.PRECISION: "precision", Rule.COUNT: "count"}
    made_up = options.inputs.sources[0] in {"random", "zero"}
    return LoadSpec(
        protocol=options.protocol,
        concurrency=int(level) if options.mode.closed else 1,
        batch_size=options.batch_size,
        window_seconds=measuring.window_ms / 1000,
        max_windows=measuring.max_trials,
        tolerance=measuring.tolerance,
        warmup_requests=measuring.warmup_requests,
        data=",".join(options.inputs.sources),
        request_rate=0.0 if options.mode.closed else level,
        distribution=options.distribution,
        distribution_cv=options.distribution_cv,
        max_inflight=options.max_inflight,
        request_count=measuring.request_count,
        rule=rules.get(measuring.rule, "windows"),
        percentile=options.percentile or 99,
        throughput_precision=measuring.throughput,
        latency_precision=measuring.latency,
        max_seconds=measuring.max_seconds if measuring.rule is Rule.PRECISION else 0.0,
        # One sender has all requests in their order, as a schedule of theirs does.
        senders=1 if options.mode is Mode.SCHEDULE else options.senders,
        input_tensor_format="json" if options.json_inputs else "binary",
        seed=options.seed,
        streaming=options.streaming,
        shared_memory=options.shared_memory,
        output_shared_memory_size=options.output_shared_memory_size,
        num_of_sequences=sequences.at_once,
        sequence_length=sequences.length or (20 if made_up else 0),
        sequence_length_variation=sequences.variation,
        sequence_id_range=f"{start}" if end is None else f"{start}:{end}",
        serial_sequences=sequences.serial,
        compression=options.compression,
        headers=options.headers,
    )


def rule_of(options: PerfOptions, level: float) -> StoppingRule:
    """Return the rule that says when a level was measured enough."""
    measuring = options.measuring
    match measuring.rule:
        case Rule.PRECISION:
            precision = Precision(
                throughput=measuring.throughput,
                percentile=float(options.percentile or 99),
                latency=measuring.latency,
                max_seconds=measuring.max_seconds,
            )
            slots = int(level) if options.mode is Mode.CONCURRENCY else 0
            return PrecisionRule(
                precision,
                inferences=options.batch_size,
                episodes=episodes_of(precision, slots),
            )
        case Rule.COUNT:
            return CountRule(percentile=options.percentile, inferences=options.batch_size)
        case _:
            return WindowsRule(
                measuring,
                percentile=options.percentile,
                threshold_ns=options.latency_ms * 1e6,
                sync=options.mode.closed and not options.streaming,
                inferences=options.batch_size,
            )


def intervals_of(content: str, file: str) -> Intervals:
    """Read recorded distances between requests, us, one a line.

    Raises:
        LoadError: a line is no number, or there is none.
    """
    ns = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            interval = float(line)
        except ValueError:
            interval = -1.0
        if not 0 <= interval < inf:
            raise LoadError(f"{file}:{number}: expected microseconds, found {line.strip()!r}")
        ns.append(round(interval * MICROSECOND))
    if not sum(ns):
        raise LoadError(f"{file}: expected at least one interval above 0, in microseconds a line")
    return Intervals(tuple(ns))


def _recorded_rate(schedule: Plan | None) -> float:
    """Return the mean rate of a recorded pace, requests a second; 0 where there is none."""
    match schedule:
        case Intervals(ns=ns):
            return len(ns) / (sum(ns) / 1e9)
        case Fixed(ns=ns) if len(ns) > 1 and max(ns):
            return len(ns) / (max(ns) / 1e9)
        case Fixed(ns=ns):
            return float(len(ns))
        case _:
            return 0.0


def _passes(rule: WindowsRule, options: PerfOptions) -> list[str]:
    lines = []
    for number, window in enumerate(rule.windows, 1):
        counting = (
            f"Avg latency: {int(window.average_ns / 1000)} usec "
            f"(std {int(window.deviation_ns / 1000)} usec). "
            if options.percentile is None
            else f"p{options.percentile} latency: {int(window.latency_ns / 1000)} usec"
        )
        lines.append(text.pass_line(number, window.rate * options.batch_size, counting))
    return lines
