"""What is said of a gate once it is judged: levels, change, interval, and why, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from analyzer.gate.evidence import Launch, estimated
from analyzer.gate.quantiles import pooled
from analyzer.gate.values import REQUESTS, Block, Finding, Gate, Kind, Settings, Side, Verdict
from analyzer.ranking.interval import Interval
from analyzer.statistics.estimate import Estimate
from analyzer.statistics.order import certifying

#: of intervals that every pair agreed on, and that have no ends by luck
SURE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One gate of a check before the judge, and what was measured until then."""

    check: str
    gate: Gate
    launches: tuple[Launch, ...]
    settings: Settings

    def blocks(self, side: Side) -> tuple[Block, ...]:
        """Return a side's blocks in order."""
        return tuple(block for launch in self.launches for block in launch.of(side))

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return sum(len(launch.pairs) for launch in self.launches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a case was judged: by which interval of the worsening, and how sure its ends are.

    Each end fails with ``error``; None where every pair said the same, or nothing could be compared
    (``interval`` is None), and ``why`` says why not. ``spent`` is the probability of error spent so
    far.
    """

    verdict: Verdict
    interval: Interval | None
    error: float | None
    spent: float
    why: str = ""


def finding(case: Case, judged: Judged, *, through: bool = True) -> Finding:
    """Put a judgement into words; of one that is ``through`` with notes, which take a while."""
    of, interval = case.gate.quantity, judged.interval
    ends = None
    if interval is not None:
        low, high = sorted((of.change(interval.low), of.change(interval.high)))
        ends = low, high
    change = None if interval is None else of.change(interval.middle)
    margin = case.gate.margin(case.settings) if case.gate.kind is Kind.RELATIVE else 0.0
    return Finding(
        check=case.check,
        gate=case.gate,
        baseline=_level(case, Side.BASELINE),
        candidate=_level(case, Side.CANDIDATE),
        change=change,
        interval=ends,
        confidence=SURE if judged.error is None else 1.0 - 2.0 * judged.error,
        margin=abs(of.change(margin)),
        alpha=judged.spent,
        pairs=case.pairs,
        verdict=judged.verdict,
        reason=judged.why or _reason(case, judged, change, ends),
        notes=tuple(_notes(case, judged)) if through and not judged.why else (),
    )


def _level(case: Case, side: Side) -> Estimate | None:
    values = [block.value(case.gate.quantity.tag) for block in case.blocks(side)]
    return estimated([value for value in values if value is not None])


def _reason(
    case: Case, judged: Judged, change: float | None, ends: tuple[float, float] | None
) -> str:
    if change is None or ends is None:
        return f"{case.pairs} of at least {_FEWEST[case.gate.kind]} pairs are measured"
    limit = _limit(case.gate)
    if judged.error is None:
        where = "within" if judged.verdict is Verdict.PASS else "beyond"
        return f"changed by {_percent(change)}, every pair {where} {limit}"
    seen = f"changed by {_percent(change)} [{_percent(ends[0])}, {_percent(ends[1])}]"
    if case.gate.kind is Kind.BOUND:
        seen = f"is {_percent(change)} [{_percent(ends[0])}, {_percent(ends[1])}] from {limit}"
    match judged.verdict:
        case Verdict.PASS:
            return f"{seen}: all of it within {limit}"
        case Verdict.FAIL if case.gate.kind is Kind.RELATIVE:
            margin = abs(case.gate.quantity.change(case.gate.margin(case.settings)))
            return (
                f"{seen}: all of it worse than the margin of {margin * 100:.3g}%, and it reaches "
                f"beyond {limit}"
            )
        case Verdict.FAIL:
            return f"{seen}: all of it beyond {limit}"
        case Verdict.INCONCLUSIVE:
            return (
                f"{seen} after {case.pairs} pairs: neither within {limit} nor a regression for "
                "sure; more pairs, longer blocks or a quieter machine would tell"
            )


_FEWEST = {Kind.EXACT: 2, Kind.RELATIVE: 4, Kind.BOUND: 4, Kind.SLO: 0}


def _notes(case: Case, judged: Judged) -> list[str]:
    gate, notes = case.gate, []
    margin = gate.margin(case.settings)
    interval = judged.interval
    if interval is not None and judged.verdict is Verdict.PASS and gate.kind is Kind.RELATIVE:
        if interval.low > margin:
            notes.append("it is worse for sure, though by less than the gate bears")
        if interval.high < 0:
            notes.append("it is better for sure")
    percent = gate.quantity.percentile
    if percent is None:
        return notes
    every = [block.counts.get(REQUESTS) for side in Side for block in case.blocks(side)]
    fewest = min((count for count in every if count is not None), default=None)
    needed = certifying(percent)
    if fewest is not None and fewest < needed:
        notes.append(
            f"p{percent:g} not certifiable: a block had {fewest:.0f} requests, and it takes "
            f"{needed}; measure longer blocks"
        )
    if (whole := pooled(case.launches, percent)) is not None:
        notes.append(
            f"p{percent:g} of all requests together changed by {_percent(whole.middle)} "
            f"[{_percent(whole.low)}, {_percent(whole.high)}] (95% bootstrap of launches)"
        )
    return notes


def _limit(gate: Gate) -> str:
    if gate.change is not None:
        return f"{gate.change * 100:+g}%"
    assert gate.bound is not None
    return f"the bound of {gate.bound:g} {gate.quantity.unit}"


def _percent(share: float) -> str:
    return f"{share:+.1%}" if isfinite(share) else ("+" if share > 0 else "-") + "infinity"
