"""What a check is compared with: both sides, or one side and what was stored of the other.

Owns the choice of the sides and of the mode. Does not own the finding of folders (``sides``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.errors import UsageError
from analyzer.gate import sides, store
from analyzer.gate.checks import Check
from analyzer.gate.options import Options
from analyzer.gate.sides import Origin, Served, Source
from analyzer.gate.store import USUAL, Store, Stored
from analyzer.gate.values import Kind
from engine import __version__
from engine.modelconfig import convert
from engine.modelconfig.composition import is_decoupled

AB, HISTORY, SLO, PROXY, AUTO = "ab", "history", "slo", "proxy", "auto"
#: how a check without any baseline is measured: the candidate alone
ALONE, AA = "alone", "aa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One check with its sides; ``how`` it is compared is one of the words above.

    ``baseline`` is None where it is not served; ``past`` is then what was stored.
    """

    check: Check
    candidate: Served
    how: str
    baseline: Served | None = None
    past: Stored | None = None
    notes: tuple[str, ...] = ()

    @property
    def against(self) -> str:
        """What it is compared with, in words."""
        if self.baseline is not None:
            return self.baseline.label
        return "no baseline" if self.past is None else f"the runs of {self.past.name}"


class Sides:
    """Finds the sides of checks; git's go below ``into``."""

    def __init__(self, options: Options, into: Path) -> None:
        self._options = options
        self._into = into
        self._store = Store(options.baseline_dir)

    def of(self, check: Check) -> Compared:
        """Return a check with its sides.

        Raises:
            UsageError: a side is not to be found, or cannot be compared as asked.
        """
        options = self._options
        candidate = replace(self._candidate(check), python=options.candidate_python)
        check = _streaming(check, candidate)
        if options.aa:
            twin = replace(candidate, python=options.baseline_python)
            return Compared(check=check, candidate=candidate, how=AA, baseline=twin)
        if options.mode == SLO or not check.compared:
            if not check.promises:
                raise UsageError(
                    f"{check.name}: --mode slo judges promises such as "
                    "perf_latency_p99<=15ms@rate=400, and it has none"
                )
            return Compared(check=check, candidate=candidate, how=SLO)
        if all(gate.kind is Kind.BOUND for gate in check.compared):
            # What a bound is put on is the candidate alone.
            return Compared(check=check, candidate=candidate, how=AB)
        found, past = self._baseline(check, candidate)
        runnable = None if found is None else replace(found, python=options.baseline_python)
        return self._compared(check, candidate, runnable, past)

    def _compared(
        self, check: Check, candidate: Served, runnable: Served | None, past: Stored | None
    ) -> Compared:
        options = self._options
        known = past is not None and any(check.name in each.checks for each in past.history)
        if options.mode != HISTORY and runnable is not None:
            return Compared(
                check=check, candidate=candidate, how=AB, baseline=runnable, past=past,
                notes=(*runnable.notes, *_engines(candidate, runnable, past)),
            )  # fmt: skip
        if options.mode in {AB, PROXY} and past is not None:
            raise UsageError(
                f"{check.name}: --mode {options.mode} serves both sides, and the baseline cannot "
                "be served again: its model files are gone or have changed. Pass --baseline "
                "git:REF or model-repo:PATH, or --mode history"
            )
        if known:
            return Compared(check=check, candidate=candidate, how=HISTORY, past=past)
        if options.lenient or options.save:
            note = f"{check.name}: there is no baseline yet, so it is measured and not compared"
            return Compared(check=check, candidate=candidate, how=ALONE, notes=(note,))
        raise UsageError(
            f"{check.name}: there is no baseline to compare with: pass --baseline git:REF, "
            "model-repo:PATH, or the name or file of a stored one; --save-baseline NAME keeps one, "
            "and --baseline-lenient goes on without"
        )

    def _candidate(self, check: Check) -> Served:
        if not self._options.candidate:
            return sides.present(check.options, check.configs)
        source = Source.read(self._options.candidate)
        if not source.runnable:
            raise UsageError(
                f"--candidate {self._options.candidate}: a candidate is served, so it is git:REF "
                "or model-repo:PATH"
            )
        return self._place(check, source)

    def _place(self, check: Check, source: Source) -> Served:
        """Return a side that is a place with models."""
        if source.origin is Origin.REPOSITORY:
            return sides.repository(check.options, check.configs, Path(source.where))
        now = sides.present(check.options, check.configs)
        return sides.at_revision(
            now, check.options, source.where, self._into / source.where.replace("/", "_"),
            check.config_file,
        )  # fmt: skip

    def _baseline(self, check: Check, candidate: Served) -> tuple[Served | None, Stored | None]:
        """Return the baseline as it can be served, and what is stored of it."""
        options = self._options
        if options.baseline:
            source = Source.read(options.baseline)
            if source.runnable:
                return self._place(check, source), None
            past = self._stored(source)
            return self._again(check, candidate, past), past
        past = self._store.find(USUAL)
        if past is not None and past.baseline is not None and check.name in past.baseline.checks:
            return self._again(check, candidate, past), past
        if check.chosen:
            label = f"what the profile chose ({check.chosen_name})"
            note = (
                f"{check.name}: the profile keeps no model files, so both sides have those of now"
            )
            folders = sides.present(check.options, {}).folders
            return Served(
                label=label, folders=folders, configs=dict(check.chosen), notes=(note,)
            ), None
        return None, None

    def _stored(self, source: Source) -> Stored | None:
        if source.origin is Origin.FILE:
            path = Path(source.where)
            if self._options.lenient and not path.is_file():
                return None
            return store.read(path)
        lenient = self._options.lenient or bool(self._options.save)
        return self._store.find(source.where) if lenient else self._store.require(source.where)

    def _again(self, check: Check, candidate: Served, past: Stored | None) -> Served | None:
        """Return a stored baseline as it can be served again; None where it cannot."""
        if past is None or past.baseline is None:
            return None
        models = past.baseline.served.get(check.name, {})
        configs = {name: one["config"] for name, one in models.items() if one.get("config")}
        digests = {name: one["files"] for name, one in models.items()}
        where = (
            *(Path(one["folder"]) for one in models.values()),
            *candidate.folders.values(),
            *check.options.model_repository,
        )
        commit = past.baseline.commit[:12] or past.baseline.taken_at
        return sides.again(f"{past.name} ({commit})", configs, digests, where)


def _engines(candidate: Served, runnable: Served, past: Stored | None) -> tuple[str, ...]:
    """Say that a stored baseline is served by the engine of now, where it was another one's."""
    then = None if past is None or past.baseline is None else past.baseline.engine_version
    if then in {None, __version__} or runnable.python != candidate.python:
        return ()
    return (
        (
            f"the baseline was measured with version {then}, and is served by {__version__} here; "
            "--baseline-python compares the engines"
        ),
    )


def _streaming(check: Check, candidate: Served) -> Check:
    """Have a model that answers any number of times spoken to by a stream.

    Raises:
        UsageError: it is spoken to over HTTP.
    """
    texts: Mapping[str, str] = candidate.texts
    read = {name: convert.loads(text, name) for name, text in texts.items() if text}
    own = read.get(check.model)
    if own is None:
        return check
    steps = [each for name, each in read.items() if name != check.model]
    if not is_decoupled(own, steps if own.is_ensemble else []):
        return check
    if check.load.protocol == "http":
        raise UsageError(
            f"{check.model} is decoupled: it answers a request any number of times, which takes a "
            "gRPC stream: pass --client-protocol grpc"
        )
    return replace(check, load=replace(check.load, streaming=True))
