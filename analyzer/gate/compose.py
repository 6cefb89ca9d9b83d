"""Wires ``analyze check``: the one module that knows all its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from analyzer.config import document
from analyzer.errors import AnalyzerError, UsageError
from analyzer.gate import acknowledge, detectable, guard, revision, runner, telling
from analyzer.gate.acknowledge import Acknowledgement
from analyzer.gate.checks import Check, Place, read, words
from analyzer.gate.comparing import AA, ALONE, HISTORY, SLO, Compared, Sides
from analyzer.gate.exit import again
from analyzer.gate.exit import code as code_of
from analyzer.gate.fingerprint import differences, fingerprint
from analyzer.gate.gates import spelled
from analyzer.gate.kept import Kept
from analyzer.gate.measuring import (
    SAMPLES,
    TWINS,
    Bench,
    Came,
    Means,
    groups,
    measure,
    stored,
)
from analyzer.gate.options import Options
from analyzer.gate.outputs.noise import Noise
from analyzer.gate.outputs.told import Subject, Told
from analyzer.gate.sides import Origin, Source
from analyzer.gate.store import USUAL, Store
from analyzer.gate.values import Finding, OnInconclusive, Report, Verdict, overall
from analyzer.interruption import INTERRUPTED, interruption
from analyzer.metrics import Direction
from engine import __version__

#: where acknowledgements are looked for, if nothing is said
_ACKNOWLEDGED = Path("perf-ack.yaml")
#: what a launch takes, where nothing was launched yet
_LAUNCH_SECONDS = 1.5
_IMPROVED = "improved"
_MINUTE = 60.0

#: makes what measures a check, with a folder for what it writes
Benches = Callable[[Compared, Path], AbstractContextManager[Bench]]


def check(options: Options, console: Console, benches: Benches = runner.of) -> int:
    """Measure the checks that are asked for, tell what came of them; return the exit code.

    ``benches`` makes what serves and loads the sides of a check.

    Raises:
        UsageError: what is asked for cannot be.
        AnalyzerError: a side could not be measured, or a file not be written.
    """
    checks = read(options.asked)
    borne = _acknowledged(options.acknowledge)
    with ExitStack() as stack:
        into = Path(stack.enter_context(TemporaryDirectory(prefix="servetune-check-")))
        found = Sides(options, into)
        every = tuple(found.of(each) for each in checks)
        if options.dry_run:
            _preview(every, options, console)
            return 0
        run = _Run(options, every, borne, console, benches)
        stop = stack.enter_context(interruption(run.say_stopping))
        kept = stack.enter_context(
            Kept.open(options.work_dir, _question(every, options), resume=options.resume)
        )
        try:
            return run.run(kept, stop)
        except UsageError:
            raise
        except AnalyzerError as error:
            # A CI shows what is in its file of tests, whatever the log says.
            telling.write_broken({each.name: each.model for each in checks}, error, options.outputs)
            raise


def _acknowledged(file: Path | None) -> tuple[Acknowledgement, ...]:
    """Read what is borne.

    Raises:
        UsageError: the file is not there, though it was named, or has mistakes.
    """
    if file is None and not _ACKNOWLEDGED.is_file():
        return ()
    source = file or _ACKNOWLEDGED
    return acknowledge.read(document.read(source).values, str(source))


def _question(every: Sequence[Compared], options: Options) -> dict[str, Any]:
    """Say what makes blocks comparable: what is served, under which load, on what."""
    return {
        "version": __version__,
        "mode": options.mode,
        "checks": {
            each.check.name: [
                words(each.check.load, each.check.intervals),
                each.check.load.max_seconds,
                each.how,
                each.candidate.identity,
                "" if each.baseline is None else each.baseline.identity,
                repr(each.check.options.server_flags),
            ]
            for each in every
        },
    }


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one attempt measured, by the check's name, and the report on it."""

    came: Mapping[str, tuple[Compared, Came]]
    report: Report


class _Run:
    """One run of all checks: measured once, or twice where the first says nothing."""

    def __init__(
        self,
        options: Options,
        every: Sequence[Compared],
        borne: Sequence[Acknowledgement],
        console: Console,
        benches: Benches,
    ) -> None:
        self._options = options
        self._every = every
        self._borne = borne
        self._console = console
        self._benches = benches
        self._taken_at = datetime.now(UTC)
        flags = every[0].check.options.server_flags
        # Before anything of ours runs: the load of the machine is then others'.
        self._machine = guard.look(flags)

    def run(self, kept: Kept, stop: Callable[[], bool]) -> int:
        """Measure, judge, tell; return the exit code."""
        attempt: _Attempt | None = None
        for number in range(2):
            came = self._measured(kept, stop, number)
            if stop():
                self._say(
                    f"Interrupted; {len(kept)} blocks are kept in {kept.path}. The same command "
                    "with --resume goes on from them."
                )
                return INTERRUPTED
            if self._options.aa:
                return self._noise(came, kept)
            attempt = _Attempt(came, self._report(came))
            if number or not again(attempt.report, self._options.settings):
                break
            why = attempt.report.tainted[:1] or ("nothing is sure",)
            self._say(f"{attempt.report.verdict.value}, but {why[0]}; measuring all once more")
        assert attempt is not None
        return self._tell(attempt, kept)

    def say_stopping(self) -> None:
        """Say that the end was heard of."""
        self._say("Stopping after the running block; once more to stop at once.")

    def _measured(
        self, kept: Kept, stop: Callable[[], bool], number: int
    ) -> dict[str, tuple[Compared, Came]]:
        gates = {
            each.check.name: sum(len(one) for _, one in groups(each.check, self._options.mode))
            for each in self._every
        }
        found: dict[str, tuple[Compared, Came]] = {}
        for each in self._every:
            if stop():
                break
            name = each.check.name
            with ExitStack() as stack:
                shown = f"{name}: {each.candidate.label} against {each.against}"
                status = stack.enter_context(self._console.status(shown))
                means = replace(
                    self._means(kept, stop), attempt=number, say=status.update,
                    others=sum(gates.values()) - gates[name],
                )  # fmt: skip
                bench = stack.enter_context(self._benches(each, self._folder(name)))
                found[name] = each, measure(each, means, bench)
        return found

    def _folder(self, check: str) -> Path:
        return self._options.work_dir / check.replace("/", "_")

    def _means(self, kept: Kept, stop: Callable[[], bool]) -> Means:
        return Means(
            kept=kept,
            settings=self._options.settings,
            mode=self._options.mode,
            stop=stop,
            environment=self._machine,
            taken_at=self._taken_at.isoformat(timespec="seconds"),
            commit=self._commit(),
        )

    def _commit(self) -> str:
        folder = next(iter(self._every[0].candidate.folders.values())).parent
        return revision.commit_of(folder) or revision.commit_of(Path.cwd())

    def _report(self, came: Mapping[str, tuple[Compared, Came]]) -> Report:
        findings: tuple[Finding, ...] = tuple(
            finding for _, one in came.values() for finding in one.findings
        )
        today = self._taken_at.date()
        findings = acknowledge.applied(findings, self._borne, self._options.settings, today)
        blocks = [block for _, one in came.values() for block in one.blocks]
        tainted = guard.tainted(self._machine, blocks, self._options.accepted)
        before = self._before()
        if any(each.how == HISTORY for each in self._every) and guard.ALL not in (
            self._options.accepted
        ):
            tainted = (*tainted, *differences(before, self._machine))
        return Report(
            verdict=overall(findings),
            findings=findings,
            baseline_environment=before,
            candidate_environment={
                **self._machine, "served": self._every[0].candidate.label,
                "python": self._every[0].candidate.python,
            },
            tainted=tainted,
            commit=self._commit(),
            reproduce=(self._options.command,),
        )  # fmt: skip

    def _before(self) -> dict[str, Any]:
        """Describe what the baseline was measured on."""
        first = self._every[0]
        if first.how == HISTORY and first.past is not None:
            every = first.past.history
            alike = [run for run in every if run.fingerprint == fingerprint(self._machine)]
            newest = (alike or every)[-1]
            return {**newest.environment, "served": first.against}
        python = {} if first.baseline is None else {"python": first.baseline.python}
        return {**self._machine, "served": first.against, **python}

    def _tell(self, attempt: _Attempt, kept: Kept) -> int:
        report, options = attempt.report, self._options
        code = int(code_of(report, options.settings))
        notes = tuple(dict.fromkeys(note for each in self._every for note in each.notes))
        told = Told(
            report=report,
            subjects={each.check.name: _subject(each, kept) for each in self._every},
            baseline=_both(
                [each.against for each in self._every if each.how != SLO] or ["its promises"]
            ),
            candidate=_both([each.candidate.label for each in self._every]),
            code=code,
            taken_at=self._taken_at.isoformat(timespec="seconds"),
            version=__version__,
            notes=(*notes, *self._saved(attempt, kept)),
            strict=options.settings.on_inconclusive is OnInconclusive.FAIL,
        )
        telling.say(self._console, told)
        telling.annotate(self._console, told, options.annotations)
        for path in telling.write(told, options.outputs):
            self._say(str(path))
        return code

    def _saved(self, attempt: _Attempt, kept: Kept) -> tuple[str, ...]:
        """Keep what was measured, where that is asked for; say what was kept."""
        options, report = self._options, attempt.report
        measured = stored(attempt.came, self._means(kept, lambda: False), __version__)
        if not measured.checks:
            return ()
        store, said = Store(options.baseline_dir), []
        if options.save:
            promote = report.verdict is not Verdict.FAIL
            path = store.keep(options.save, measured, promote=promote)
            said.append(
                f"kept as {options.save}: {path}"
                if promote
                else f"kept in the history of {options.save}, not as its baseline: {path}"
            )
        if options.update_if and report.verdict is Verdict.PASS:
            source = Source.read(options.baseline) if options.baseline else None
            name = source.where if source and source.origin is Origin.NAMED else USUAL
            better = [each for each in report.findings if _improved(each)]
            if options.update_if != _IMPROVED or better:
                path = store.keep(name, measured, promote=True)
                said.append(f"the baseline {name} is now {path}")
        return tuple(said)

    def _noise(self, came: Mapping[str, tuple[Compared, Came]], kept: Kept) -> int:
        """Say what gates can see here."""
        found = {}
        for name, (each, one) in came.items():
            gates = [gate for _, every in groups(each.check, self._options.mode) for gate in every]
            found[name] = detectable.detectable(
                gates, one.twins, self._options.settings, per_launch=one.per_launch
            )
        blocks = [block for _, one in came.values() for block in one.blocks]
        seen = Noise(
            found=found,
            subjects={each.check.name: _subject(each, kept) for each in self._every},
            served=_both([each.candidate.label for each in self._every]),
            tainted=guard.tainted(self._machine, blocks, self._options.accepted),
            environment=self._machine,
            taken_at=self._taken_at.isoformat(timespec="seconds"),
            version=__version__,
            commit=self._commit(),
            command=self._options.command,
        )
        telling.say_noise(self._console, seen)
        for path in telling.write_noise(seen, self._options.outputs):
            self._say(str(path))
        return 0

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _improved(finding: Finding) -> bool:
    """Whether a metric is surely better than the baseline's."""
    if finding.interval is None or finding.baseline is None:
        return False
    low, high = finding.interval
    return low > 0 if finding.direction is Direction.MORE else high < 0


def _subject(each: Compared, kept: Kept) -> Subject:
    check = each.check
    return Subject(
        model=check.model,
        load=_load_words(check),
        file=_relative(check.place).as_posix(),
        line=check.place.line,
        samples=str(kept.path),
    )


def _load_words(check: Check) -> str:
    spec = check.load
    rows = f", {spec.batch_size} rows each" if spec.batch_size > 1 else ""
    if check.intervals is not None:
        return f"requests as in {check.intervals}{rows}"
    if spec.is_open:
        return f"{spec.request_rate:g} requests/s{rows}"
    return f"{spec.concurrency} in flight{rows}"


def _relative(place: Place) -> Path:
    """Name a file from where the command runs, as annotations need it."""
    try:
        return place.file.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return place.file


def _both(labels: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(labels))


def _preview(every: Sequence[Compared], options: Options, console: Console) -> None:
    """Say what would be measured, and for how long at most."""
    total = 0.0
    for each in every:
        check = each.check
        console.print(
            f"{check.name}: {check.model}, {_load_words(check)}, {each.how}: "
            f"{each.candidate.label} against {each.against}",
            highlight=False, markup=False,
        )  # fmt: skip
        for spec, gates in groups(check, options.mode):
            blocks = _blocks(each, options)
            most = min(blocks * (spec.max_seconds + _LAUNCH_SECONDS), options.settings.max_seconds)
            total += most
            named = ", ".join(spelled(gate) for gate in gates)
            console.print(
                f"  {named}: at most {blocks} blocks of {spec.max_seconds:g} s, each in a process "
                f"of its own, about {math.ceil(most)} s; less where it is clear sooner",
                highlight=False, markup=False,
            )  # fmt: skip
        for gate in check.promises:
            console.print(f"  {spelled(gate)}: an open loop, until it is decided",
                          highlight=False, markup=False)  # fmt: skip
        for note in each.notes:
            console.print(f"  {note}", style="dim", highlight=False, markup=False)
    console.print(f"{total / _MINUTE:.1f} minutes at most; nothing was measured.", highlight=False)


def _blocks(each: Compared, options: Options) -> int:
    if each.how in {HISTORY, ALONE}:
        return SAMPLES
    pairs = options.settings.max_pairs
    return 2 * (min(TWINS, pairs) if each.how == AA else pairs)
