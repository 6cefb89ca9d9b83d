"""The verdict: one sentence in Model Analyzer's manner, and what stands behind it. Pure.

Owns what may be claimed of the best configuration. Rules:

1. "Better" is said only where the constraints hold and the whole 95 % interval of the gain
   lies above 0. Anything less is said as what it is: not proven, not verified, not better.
2. What it costs (latency, memory, processor) stands beside what it gains.
3. Whatever could make a reader doubt the number is in the bullets: failures, unstable
   measurements, journal lines that were lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from analyzer.metrics import BY_TAG, Direction
from analyzer.ranking.rank import Standing
from analyzer.record.doubt import doubt
from analyzer.record.row import Row
from analyzer.report import answers, wording
from analyzer.report.evidence import P99, THROUGHPUT, Evidence

#: what a configuration costs, in the order in which it is told
COSTS = (P99, "cpu_utilization", "cpu_used_ram", "gpu_used_memory", "gpu_power_usage")
_TWICE = 2.0
_SLIGHT = 0.005


class Finding(Enum):
    """What the measurements allow to say."""

    BETTER = "better"
    UNPROVEN = "unproven"
    DEFAULT = "default"
    ALONE = "alone"
    INFEASIBLE = "infeasible"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found: a headline, a sentence, its reasons. ``subject`` is the winner's name.

    ``caveats`` are those of the ``bullets``, at their end, that could make a reader doubt.
    """

    finding: Finding
    headline: str
    sentence: str
    bullets: tuple[str, ...]
    caveats: tuple[str, ...] = ()
    subject: str = ""


def judge(evidence: Evidence) -> Verdict:
    """Say what the evidence allows to say."""
    finding, headline, claim = _claim(evidence)
    caveats = tuple(_doubts(evidence))
    place = _place(evidence)
    # A claim of two parts would leave the machine hanging on the second.
    last = not {":", ";"} & set(claim)
    early, late = ("", f", on {place}") if last else (f" on {place}", "")
    sentence = f"In {_effort(evidence)}{early * bool(place)}, {claim}{late * bool(place)}."
    return Verdict(
        finding=finding,
        headline=headline,
        sentence=sentence,
        bullets=(*_reasons(evidence), *caveats),
        caveats=caveats,
        subject=evidence.chosen.variant if evidence.chosen else "",
    )


def _place(evidence: Evidence) -> str:
    """Say on what was measured; GPUs only if something other than CPU instances was served."""
    groups = {str(row.settings.get("instance_group", "")) for row in evidence.rows}
    kinds = {kind for group in groups for kind in re.findall(":([A-Z]+)", group)}
    machine = evidence.head.machine
    if kinds == {"CPU"}:
        machine = {name: value for name, value in machine.items() if name != "gpus"}
    return wording.hardware(machine)


def change(tag: str, value: float, reference: float) -> str:
    """Say how a metric differs from a reference: ``+21%``, ``10.7 times``, ``-3 points``."""
    if BY_TAG[tag].unit == "%":
        points = round(value - reference)
        return f"{points:+,} points" if points else "same"
    if reference <= 0:
        return ""
    ratio = value / reference
    if abs(ratio - 1) < _SLIGHT:
        return "same"
    if ratio >= _TWICE:
        return f"{ratio:.1f} times"
    return wording.percent(100 * (ratio - 1), signed=True)


def better(tag: str, value: float, reference: float) -> bool | None:
    """Whether a value is on the better side of a reference; None where they are about equal."""
    if reference <= 0 or abs(value / reference - 1) < _SLIGHT:
        return None
    return (value > reference) is (BY_TAG[tag].direction is Direction.MORE)


def _effort(evidence: Evidence) -> str:
    tried = {row.digest or row.variant for row in evidence.rows}
    measured = {row.digest or row.variant for row in evidence.measured}
    done = wording.count(len(evidence.measured), "measurement")
    if not measured:
        done = wording.count(len(evidence.rows), "attempt")
    return f"{done} across {wording.count(len(measured or tried), 'configuration')}"


_Claim = tuple[Finding, str, str]


def _claim(evidence: Evidence) -> _Claim:
    """Return the finding, its headline, and the middle of the sentence."""
    leader, default = evidence.leader, evidence.default
    if leader is None:
        return _nothing(evidence)
    if not leader.satisfies:
        limits = wording.listed(wording.limits(evidence.goal))
        claim = (
            f"no configuration keeps {limits}; {leader.variant} comes closest, with "
            f"{_broken(evidence, evidence.judged(leader))} at {wording.load(leader.best)}"
        )
        return Finding.INFEASIBLE, "No configuration keeps the constraints", claim
    if leader.is_default:
        return _unbeaten(evidence)
    name, where = wording.short(leader.variant, evidence.model), _where(evidence)
    if default is not None and not default.satisfies:
        claim = (
            f"{leader.variant} is the best {where}, which the default configuration does not "
            f"keep: it has {_broken(evidence, evidence.judged(default))} at "
            f"{wording.load(default.best)}"
        )
        return Finding.BETTER, f"{name} keeps the constraints, the default does not", claim
    if default is None or evidence.gain is None:
        reason = "was not measured" if default is None else "lacks the metrics to compare by"
        claim = (
            f"{leader.variant} is the best {where}; the default configuration {reason}, so there "
            "is no gain to state"
        )
        return Finding.ALONE, f"{name} is the best of what was measured", claim
    return _compared(leader, name, where, evidence)


def _unbeaten(evidence: Evidence) -> _Claim:
    """Say that the default leads, alone or among others."""
    where = _where(evidence)
    if len(evidence.standings) == 1:
        claim = "only the default configuration could be measured"
        return Finding.DEFAULT, "Only the default could be measured", claim
    claim = f"no configuration beats the default configuration {where}"
    return Finding.DEFAULT, "No configuration beats the default", claim


def _compared(leader: Standing, name: str, where: str, evidence: Evidence) -> _Claim:
    """Say how the leader compares with a default that keeps the constraints as well."""
    variant, gain = leader.variant, evidence.gain
    assert gain is not None
    if gain.percent <= 0 and not gain.pairs:
        return _unbeaten(evidence)
    place = "did best" if evidence.standings[0] == leader else "came closest"
    amount = wording.percent(abs(gain.percent))
    if gain.low is None or gain.high is None:
        claim = (
            f"{variant} measured {amount} better than the default configuration {where}, once, "
            "so without a confidence interval"
        )
        return Finding.UNPROVEN, f"{name} looks {amount} better than the default", claim
    bounds = f"95% CI {wording.interval(gain.low, gain.high)}"
    if not gain.pairs:
        bounds += ", not verified"
    if gain.proven:
        claim = f"{variant} is {amount} better than the default configuration ({bounds}) {where}"
        return Finding.BETTER, f"{name} is {amount} better than the default", claim
    way = "better" if gain.percent >= 0 else "worse"
    if gain.disproven:
        claim = (
            f"no configuration beats the default configuration {where}: {variant} {place} in "
            f"the search, but in the verification it came out {amount} {way} ({bounds})"
        )
        return Finding.DEFAULT, "No configuration beats the default", claim
    claim = (
        f"no configuration is proven better than the default configuration {where}: "
        f"{variant} {place}, {amount} {way} ({bounds}, which includes 0)"
    )
    return Finding.UNPROVEN, "No configuration is proven better than the default", claim


def _nothing(evidence: Evidence) -> _Claim:
    if evidence.measured:
        wanted = wording.listed([wording.title(tag) for tag, _ in evidence.goal.objectives])
        claim = f"none has a value for {wanted}"
        return Finding.NOTHING, "Nothing can be ranked under this goal", claim
    claim = "nothing could be measured; the reasons are below"
    return Finding.NOTHING, "Nothing could be measured", claim


def _where(evidence: Evidence) -> str:
    under = ", under the given constraints" if evidence.goal.constraints else ""
    return f"at {wording.aim(evidence.goal)}{under}"


def _broken(evidence: Evidence, metrics: Mapping[str, float]) -> str:
    """Say the values that break a constraint."""
    said = [
        f"{wording.title(each.tag)} {wording.measured(each.tag, metrics.get(each.tag))}"
        for each in evidence.goal.constraints
        if each.violation(metrics)
    ]
    return wording.listed(said) or "nothing broken"


def _reasons(evidence: Evidence) -> Iterator[str]:
    best, default = evidence.leader, evidence.default
    if best is not None:
        name = wording.short(best.variant, evidence.model)
        yield f"{name}: {wording.setup(best.best.settings)}."
    if best is not None and (near := answers.sentence(best.best)):
        yield near
    if best is not None and default is not None and best is not default:
        yield f"default: {wording.setup(default.best.settings)}."
        yield _at_best_loads(evidence, best, default)
        if (same := _at_same_load(best, default)) is not None:
            yield same
    if limits := wording.limits(evidence.goal):
        yield f"Constraints: {wording.listed(limits)}."
    for found in evidence.goodput:
        name = wording.short(found.row.variant, evidence.model)
        yield f"Verified goodput: {wording.goodput(found, name)}."
    if evidence.gain is not None:
        yield f"How sure: {evidence.gain.method}."


def _at_best_loads(evidence: Evidence, best: Standing, default: Standing) -> str:
    """Set both at their best loads side by side."""
    tags = [tag for tag, _ in evidence.goal.objectives]
    tags += [tag for tag in (THROUGHPUT, P99) if tag not in tags]

    def said(standing: Standing) -> str:
        metrics = evidence.typical(standing)
        values = [
            f"{wording.title(tag)} {wording.measured(tag, metrics[tag])}"
            for tag in tags
            if tag in metrics
        ]
        return f"{wording.load(standing.best)}: {', '.join(values)}"

    pairs = len(evidence.pairs())
    means = f" (means of {pairs} repetitions)" if pairs > 1 else ""
    return f"At its best load, {said(best)}; the default at its own, {said(default)}{means}."


def _at_same_load(best: Standing, default: Standing) -> str | None:
    """Compare the two at a load at which both were measured: the best's own, else the nearest."""

    def by_load(rows: Sequence[Row]) -> dict[tuple[int, bool, float], Row]:
        return {
            row.load.same: row for row in rows if THROUGHPUT in row.metrics and P99 in row.metrics
        }

    ours, theirs = by_load(best.rows), by_load(default.rows)
    wanted = best.best.load
    both = sorted(ours.keys() & theirs.keys(), key=lambda load: abs(load[-1] - wanted.level))
    if not both or wanted.same == default.best.load.same:
        return None
    one, other = ours[both[0]], theirs[both[0]]
    values = [
        f"{wording.title(tag)} {wording.measured(tag, one.metrics[tag])} against "
        f"{wording.measured(tag, other.metrics[tag])}"
        for tag in (THROUGHPUT, P99)
    ]
    return f"At the same load ({wording.load(one)}): {wording.listed(values)} for the default."


def _doubts(evidence: Evidence) -> Iterator[str]:
    for each in evidence.refuted:
        yield (
            f"{wording.short(each.row.variant, evidence.model)} at {wording.load(each.row)} kept "
            f"the constraints in the search, but not in the verification: "
            f"{_broken(evidence, each.metrics)} on average of {each.times} repetitions."
        )
    yield from _unsure(evidence)
    failed = evidence.failed
    if failed and evidence.measured:
        variants = len({row.digest or row.variant for row in failed})
        yield (
            f"{wording.count(len(failed), 'measurement')} of "
            f"{wording.count(variants, 'configuration')} failed; the reasons are below."
        )
    yield from _imprecise(evidence)
    yield from _disturbances(evidence)
    for warning in evidence.head.machine.get("warnings") or ():
        yield f"{str(warning).removesuffix('.')}."
    if evidence.omitted.torn:
        yield (
            f"{wording.count(evidence.omitted.torn, 'line')} of the journal could not be read and "
            f"{'is' if evidence.omitted.torn == 1 else 'are'} left out."
        )


def _unsure(evidence: Evidence) -> Iterator[str]:
    """Say which limits lie within the interval of the chosen one's measurement."""
    chosen = evidence.chosen
    if chosen is None:
        return
    for each in evidence.goal.unsure(chosen.best):
        verified = evidence.typical(chosen).get(each.tag)
        again = ""
        if evidence.pairs() and verified is not None:
            again = f"; in the verification it was {wording.measured(each.tag, verified)}"
        said = wording.uncertain(each, chosen.best)
        yield f"Not certain: {said} ({wording.short(chosen.variant, evidence.model)}){again}."


def _imprecise(evidence: Evidence) -> Iterator[str]:
    """Say how many measurements are less sure than they were to be."""
    shaky = [row for row in evidence.measured if not row.stable]
    wide = [row for row in shaky if row.load.rule == "precision"]
    if wide:
        many = wording.count(len(wide), "measurement")
        yield (
            f"{many} {'is' if len(wide) == 1 else 'are'} less precise than asked for, and marked "
            f"with how far the interval reaches; the last: {doubt(wide[-1])}."
        )
    if len(wide) < len(shaky):
        yield (
            f"{wording.count(len(shaky) - len(wide), 'measurement')} did not settle within the "
            "tolerance, marked unstable."
        )


def _disturbances(evidence: Evidence) -> Iterator[str]:
    """Say that something besides the server shaped numbers: of the chosen one's rather."""
    chosen = () if evidence.chosen is None else (evidence.chosen.best,)
    marked = [row for row in evidence.measured if row.remarks]
    if marked:
        first = next((row for row in (*chosen, *marked) if row.remarks), marked[0])
        yield (
            f"{wording.count(len(marked), 'measurement')} of {len(evidence.measured)} did not have "
            f"the machine to themselves, or not at full speed; so number {first.number}: "
            f"{'; '.join(first.remarks)}."
        )
