"""Measures a check to its end: pairs of both sides, or the candidate alone, and its promises.

Owns the order of things and what is kept of them. Does not own when enough is known
(``sequential``), nor how a block is measured (``runner``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from analyzer.gate import history, plan, proxy, sequential
from analyzer.gate.baseline import Baseline
from analyzer.gate.checks import Check, words
from analyzer.gate.comparing import AA, ALONE, HISTORY, PROXY, SLO, Compared
from analyzer.gate.evidence import estimated
from analyzer.gate.fingerprint import fingerprint
from analyzer.gate.kept import Kept
from analyzer.gate.plan import Turn
from analyzer.gate.values import Block, Finding, Gate, Kind, Settings, Side, Verdict
from analyzer.record.row import LoadSpec
from analyzer.statistics.estimate import Estimate

#: blocks of the candidate alone, each in a process of its own: what a baseline is made of
SAMPLES = 6
#: the counters that blocks have (``runner``)
COUNTED = (
    "failed_requests", "batches_per_1000_requests", "model_load_bytes", "startup_memory",
)  # fmt: skip
#: a launch that takes longer than anything
_FOREVER = 1e9
#: pairs of one side against itself that tell its noise
TWINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of one check: findings, all blocks, and for how many pairs a launch lasted.

    ``own`` are the candidate's blocks under the check's own load; ``twins`` those of one side
    against itself.
    """

    findings: tuple[Finding, ...] = ()
    blocks: tuple[Block, ...] = ()
    own: tuple[Block, ...] = ()
    twins: tuple[Block, ...] = ()
    per_launch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a check is measured with: where blocks are kept, and who is told.

    ``others`` is how many gates other checks have; ``stop`` says that no block is to follow;
    ``say`` hears what goes on. ``environment`` describes this machine, ``commit`` what is measured.
    """

    kept: Kept
    settings: Settings
    attempt: int = 0
    others: int = 0
    mode: str = ""
    stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda _: None
    environment: Mapping[str, object] = field(default_factory=dict)
    taken_at: str = ""
    commit: str = ""


class Bench(Protocol):
    """Serves two sides by turns and measures blocks of them (``runner``)."""

    def warm(self) -> float:
        """Start each side once; return the longest seconds that took."""
        ...

    def launch(
        self, number: int, pairs: int, spec: LoadSpec, missing: Callable[[Turn], bool]
    ) -> Iterator[Block]:
        """Measure those turns of one launch of so many pairs that are ``missing``."""
        ...

    def keeps(self, side: Side, gate: Gate, settings: Settings) -> Finding:
        """Measure whether a side keeps a promise about a request rate."""
        ...


def measure(compared: Compared, means: Means, bench: Bench) -> Came:
    """Measure a check on a bench until it is decided, or ``means.stop`` says so.

    Raises:
        AnalyzerError: a side does not come up, or could not be loaded.
        JournalError: a block could not be kept.
    """
    check = compared.check
    came = Came()
    for spec, gates in groups(check, means.mode):
        if means.stop():
            break
        part = _group(compared, bench, spec, gates, means)
        own = spec == check.load
        came = replace(
            came,
            findings=(*came.findings, *part.findings),
            blocks=(*came.blocks, *part.blocks),
            own=part.own if own else came.own,
            twins=part.twins if own else came.twins,
            per_launch=part.per_launch if own else came.per_launch,
        )
    if compared.how != AA and means.mode != PROXY:
        for gate in check.promises:
            if not means.stop():
                means.say(f"{check.name}: the promise at {gate.rate:g} requests a second")
                found = bench.keeps(Side.CANDIDATE, gate, means.settings)
                came = replace(came, findings=(*came.findings, found))
    return came


def groups(check: Check, mode: str = "") -> Iterator[tuple[LoadSpec, tuple[Gate, ...]]]:
    """Yield the loads that blocks are measured under, the check's own first, and the gates of each.

    Counters alone are gates in the mode of that name: those that are declared, or all there are.
    """
    gates = check.compared if mode != SLO else ()
    if mode == PROXY:
        gates = tuple(gate for gate in gates if gate.kind is Kind.EXACT) or proxy.gates(COUNTED)
    at: dict[int, list[Gate]] = {}
    for gate in gates:
        at.setdefault(gate.concurrency or 0, []).append(gate)
    same = [] if check.load.is_open else at.pop(check.load.concurrency, [])
    if own := [*at.pop(0, []), *same]:
        yield check.load, tuple(own)
    for concurrency, found in at.items():
        yield replace(check.load, concurrency=concurrency, request_rate=0.0), tuple(found)


def _group(
    compared: Compared, bench: Bench, spec: LoadSpec, gates: Sequence[Gate], means: Means
) -> Came:
    check = compared.check
    series = _Series(
        f"{check.name} {words(spec, check.intervals)} #{means.attempt}", bench, spec, means
    )
    if compared.how in {HISTORY, ALONE}:
        blocks = series.alone(SAMPLES)
        if compared.how == ALONE:
            findings = _alone(check, gates, blocks, means.settings)
        else:
            findings = _by_past(compared, gates, blocks, means)
        return Came(findings=findings, blocks=blocks, own=blocks)
    per_launch = series.begin()
    if compared.how == AA:
        pairs = min(TWINS, means.settings.max_pairs)
        twins = series.pairs(per_launch, lambda found: len(found) < 2 * pairs)
        return Came(blocks=twins, twins=twins, per_launch=per_launch)
    decided: list[sequential.Decision] = []

    def undecided(blocks: Sequence[Block]) -> bool:
        decided[:] = [
            sequential.decide(
                check.name, gates, blocks, means.settings, per_launch=per_launch,
                others=means.others,
            )
        ]  # fmt: skip
        return decided[0].go_on

    bounds = all(gate.kind is Kind.BOUND for gate in gates)
    blocks = series.pairs(per_launch, undecided, (Side.CANDIDATE,) if bounds else tuple(Side))
    own = tuple(block for block in blocks if block.side is Side.CANDIDATE)
    findings = decided[0].findings if decided else ()
    return Came(findings=findings, blocks=blocks, own=own, per_launch=per_launch)


class _Series:
    """Blocks under one load, those that are kept already among them."""

    def __init__(self, key: str, bench: Bench, spec: LoadSpec, means: Means) -> None:
        self._key = key
        self._bench = bench
        self._spec = spec
        self._means = means

    def begin(self) -> int:
        """Return for how many pairs a launch lasts; starts both sides once, if that matters."""
        kept, key, settings = self._means.kept, self._key, self._means.settings
        if (known := kept.per_launch(key)) is not None:
            return known
        if plan.pairs_per_launch(_FOREVER, self._spec.max_seconds, settings) == 1:
            # So few pairs that each is a launch of its own, however long starting takes.
            kept.begin(key, 1)
            return 1
        self._means.say(f"{key}: both sides are started once")
        found = plan.pairs_per_launch(
            self._bench.warm(), self._spec.max_seconds, self._means.settings
        )
        kept.begin(key, found)
        return found

    def pairs(
        self,
        per_launch: int,
        more: Callable[[Sequence[Block]], bool],
        needed: Sequence[Side] = tuple(Side),
    ) -> tuple[Block, ...]:
        """Measure launch after launch of the sides ``needed`` while ``more`` says so."""
        for number in count():
            blocks = self._means.kept.blocks(self._key)
            there = {(block.side, block.pair) for block in blocks}
            if number and not more(blocks):
                break
            if self._means.stop():
                break
            self._means.say(f"{self._key}: pair {number * per_launch + 1}")
            self._measure(number, per_launch, there, needed)
        return tuple(self._means.kept.blocks(self._key))

    def alone(self, samples: int) -> tuple[Block, ...]:
        """Measure so many blocks of the candidate, each in a process of its own."""
        for number in range(samples):
            there = {(block.side, block.pair) for block in self._means.kept.blocks(self._key)}
            if self._means.stop():
                break
            self._means.say(f"{self._key}: block {number + 1} of {samples}")
            self._measure(number, 1, there, (Side.CANDIDATE,))
        return tuple(self._means.kept.blocks(self._key))

    def _measure(
        self,
        number: int,
        per_launch: int,
        there: set[tuple[Side, int]],
        needed: Sequence[Side],
    ) -> None:
        def missing(turn: Turn) -> bool:
            fresh = (turn.side, turn.pair) not in there
            return fresh and turn.side in needed and not self._means.stop()

        for block in self._bench.launch(number, per_launch, self._spec, missing):
            self._means.kept.append(self._key, block)


def _alone(
    check: Check, gates: Sequence[Gate], blocks: Sequence[Block], settings: Settings
) -> tuple[Finding, ...]:
    """Judge bounds; of the rest say that there is nothing to compare with."""
    found = []
    levels = history.levels(blocks)
    for gate in gates:
        if gate.kind is Kind.BOUND:
            found.append(_bound(check, gate, blocks, settings))
            continue
        value = levels.get(gate.quantity.tag)
        found.append(
            Finding(
                check=check.name, gate=gate, baseline=None,
                candidate=None if value is None else _level(gate, blocks),
                change=None, interval=None, confidence=0.0, margin=0.0, alpha=0.0, pairs=0,
                verdict=Verdict.PASS, reason="there is no baseline yet: measured, not compared",
            )
        )  # fmt: skip
    return tuple(found)


def _by_past(
    compared: Compared, gates: Sequence[Gate], blocks: Sequence[Block], means: Means
) -> tuple[Finding, ...]:
    """Judge by the runs that are stored; bounds by what was measured now."""
    check = compared.check
    assert compared.past is not None
    load = words(check.load, check.intervals)
    past = [
        each.run(check.name)
        for each in compared.past.history
        if check.name in each.checks and each.loads.get(check.name, load) == load
    ]
    now = history.Run(
        taken_at=means.taken_at, commit=means.commit, fingerprint=fingerprint(means.environment),
        values=history.levels(blocks),
    )  # fmt: skip
    hypotheses = len(gates) + means.others
    return tuple(
        _bound(check, gate, blocks, means.settings)
        if gate.kind is Kind.BOUND
        else replace(
            history.against(check.name, gate, past, now, means.settings, hypotheses),
            candidate=_level(gate, blocks),
        )
        for gate in gates
    )


def _bound(check: Check, gate: Gate, blocks: Sequence[Block], settings: Settings) -> Finding:
    """Judge an absolute bound by the candidate's blocks alone, which is all it looks at."""
    return sequential.decide(check.name, (gate,), blocks, settings, ended=True).findings[0]


def _level(gate: Gate, blocks: Sequence[Block]) -> Estimate | None:
    values = [block.value(gate.quantity.tag) for block in blocks]
    return estimated([value for value in values if value is not None])


def stored(every: Mapping[str, tuple[Compared, Came]], means: Means, version: str) -> Baseline:
    """Make what is stored of a run: the candidates' blocks, and what it takes to serve them."""
    checks = {name: came.own for name, (_, came) in every.items() if came.own}
    served = {
        name: {
            model: {"config": compared.candidate.texts[model], "files": digest,
                    "folder": str(compared.candidate.folders[model])}
            for model, digest in compared.candidate.digests.items()
        }
        for name, (compared, _) in every.items()
        if name in checks
    }  # fmt: skip
    return Baseline(
        taken_at=means.taken_at,
        commit=means.commit,
        engine_version=version,
        environment=dict(means.environment),
        checks=checks,
        configs={name: _digest(served[name]) for name in served},
        loads={
            name: words(compared.check.load, compared.check.intervals)
            for name, (compared, _) in every.items()
            if name in checks
        },
        served=served,
    )


def _digest(served: Mapping[str, Mapping[str, str]]) -> str:
    """Return what tells apart what was served, wherever it lay."""
    told = {model: [one["config"], one["files"]] for model, one in served.items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
