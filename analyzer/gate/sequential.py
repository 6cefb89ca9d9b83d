"""When enough is known: verdicts on all gates of a check, or the word to go on measuring. Pure.

Owns when it is looked, how sure each look has to be, and what becomes of every gate. A function of
the blocks so far: told the same blocks it decides the same, so a run may be stopped and resumed.

Rules:

1. Looks come when a fifth, three tenths, half and seven tenths of the budget (pairs or time,
   whichever is further) are spent, from four launches on, and when all of it is.
2. Each look may err as often as the budget that it adds allows: ``alpha`` times the cube of what
   is spent. So all looks together err no more often than ``alpha``, however they depend on each
   other (Bonferroni), and most is left for the last, which decides what is hard. Budgets are not
   spent by what was measured, so it may be cut short at any time: the last look takes all.
3. What varies is judged by its interval (``evidence.judge``). Of several gates each may fail only
   as often as Holm's procedure lets it: the clearest is held to the n-th part of the look's error,
   the next to the (n-1)-th, and so on.
4. Memory and counters are judged after two launches where both say the same (``proxy``), else as
   all that varies is.
5. A verdict stays, once it is given. What cannot be compared is inconclusive at once.
6. It goes on until every gate has its verdict or the budget is spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from analyzer.gate import proxy
from analyzer.gate.evidence import Evidence, Launch, compared, judge, launches
from analyzer.gate.findings import Case, Judged, finding
from analyzer.gate.values import (
    FEWEST_PAIRS,
    Block,
    Finding,
    Gate,
    Kind,
    Settings,
    Side,
    Verdict,
)
from analyzer.ranking.interval import Interval

#: shares of the budget at which it is looked
LOOKS = (0.2, 0.3, 0.5, 0.7, 1.0)
#: of alpha, this power of the share of the budget is spent
POWER = 3.0
#: shares are quotients
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A moment at which it is judged, after so many launches.

    ``error`` is what this look may err, ``spent`` what all have until then; ``last`` says that the
    budget is spent.
    """

    launches: int
    error: float
    spent: float
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is known by now: one finding for each gate, in order, and whether to ``go_on``.

    Where it goes on, those that are not decided yet say what was seen at the last look.
    """

    findings: tuple[Finding, ...]
    go_on: bool
    pairs: int


def decide(  # noqa: PLR0913 - what was asked, what was seen, and how it was measured
    check: str,
    gates: Sequence[Gate],
    blocks: Sequence[Block],
    settings: Settings,
    *,
    per_launch: int = 1,
    ended: bool = False,
    others: int = 0,
) -> Decision:
    """Judge a check's gates by the blocks so far.

    ``per_launch`` is how many pairs a launch lasts for (``plan``); launches that are not through do
    not count. ``ended`` says that nothing more will come, so the whole error may be spent now.
    ``others`` is how many gates there are besides, in other checks of the same run.

    Raises:
        ValueError: a gate is a promise about a rate, which ``slo`` judges, or there is none.
    """
    if not gates or any(gate.kind is Kind.SLO for gate in gates):
        raise ValueError("blocks decide on one gate at least, and not on promises about a rate")
    bounds = all(gate.bound is not None for gate in gates)
    every = launches(blocks, per_launch, (Side.CANDIDATE,) if bounds else tuple(Side))
    cases = {
        place: Case(check=check, gate=gate, launches=every, settings=settings)
        for place, gate in enumerate(gates)
    }
    settled, pending = _verdicts(cases, every, looks(every, settings, ended=ended), others)
    go_on = len(settled) < len(gates)
    rulings = [
        settled.get(place) or pending.get(place) or (case, _nothing(0.0))
        for place, case in cases.items()
    ]
    return Decision(
        findings=tuple(finding(case, judged, through=not go_on) for case, judged in rulings),
        go_on=go_on,
        pairs=sum(len(launch.pairs) for launch in every),
    )


def looks(every: Sequence[Launch], settings: Settings, *, ended: bool = False) -> Iterator[Look]:
    """Yield the looks that there have been by now (rules 1 and 2)."""
    pairs, seconds, spent = 0, 0.0, 0.0
    due = list(LOOKS)
    for number, launch in enumerate(every, 1):
        pairs += len(launch.pairs)
        seconds += launch.seconds
        last = (
            pairs + len(launch.pairs) > settings.max_pairs
            or seconds + seconds / number > settings.max_seconds
            or (ended and number == len(every))
        )
        used = max(pairs / settings.max_pairs, seconds / settings.max_seconds) + _ROUNDING
        if last:
            used = 1.0
        elif number < FEWEST_PAIRS or used < due[0]:
            continue
        due = [share for share in due if share > used] or [1.0]
        before, spent = spent, settings.alpha * min(1.0, used) ** POWER
        yield Look(launches=number, error=spent - before, spent=spent, last=last)
        if last:
            return


#: a case as it was when it was judged, and how
Ruling = tuple[Case, Judged]


def _verdicts(
    cases: Mapping[int, Case], every: Sequence[Launch], at: Iterator[Look], others: int
) -> tuple[dict[int, Ruling], dict[int, Ruling]]:
    """Go through the looks; return what is settled by its place, and what was seen of the rest."""
    settled = _exactly(cases, tuple(every[: proxy.FEWEST]))
    hypotheses = len(cases) - len(settled) + others
    pending: dict[int, Ruling] = {}
    for look in at:
        left = {
            place: replace(case, launches=tuple(every[: look.launches]))
            for place, case in cases.items()
            if place not in settled
        }
        judged, pending, hypotheses = _judged(left, look, hypotheses)
        settled |= judged
        if look.last:
            return settled | pending, {}
    return settled, pending


def _exactly(cases: Mapping[int, Case], first: tuple[Launch, ...]) -> dict[int, Ruling]:
    """Judge what the first launches agree on, and what cannot be compared (rules 4 and 5)."""
    if len(first) < proxy.FEWEST:
        return {}
    found: dict[int, Ruling] = {}
    for place, each in cases.items():
        case = replace(each, launches=first)
        seen = compared(case.gate, first)
        if seen.why:
            found[place] = case, _nothing(0.0, seen.why)
        elif case.gate.quantity.exact:
            verdict = proxy.unanimous(seen.worsenings, case.gate.tolerance)
            if verdict is not None:
                low, *_, high = sorted(seen.worsenings)
                span = Interval(high, low, high)
                found[place] = (
                    case,
                    Judged(verdict=verdict, interval=span, error=None, spent=0.0),
                )
    return found


def _judged(
    cases: Mapping[int, Case], look: Look, hypotheses: int
) -> tuple[dict[int, Ruling], dict[int, Ruling], int]:
    """Judge all that is left at one look (rule 3).

    Return what is settled, what is not, and how many hypotheses are not refuted yet: what is worse
    than its margin leaves Holm's family, whether it fails or is within its gate.
    """
    settled: dict[int, Ruling] = {}
    pending: dict[int, Ruling] = {}
    chances: list[tuple[float, int, Evidence]] = []
    for place, case in cases.items():
        why, evidence = _evidence(case)
        if evidence is None:
            # Too few launches may still become enough; all else stays as it is.
            into = settled if why else pending
            into[place] = case, _nothing(look.spent, why)
            continue
        chances.append((evidence.chance(case.gate.margin(case.settings)), place, evidence))
    for _, place, evidence in sorted(chances, key=lambda each: each[:2]):
        case = cases[place]
        margin = case.gate.margin(case.settings)
        error = look.error / max(1, hypotheses)
        interval = evidence.interval(error)
        verdict = judge(interval, margin=margin, tolerance=case.gate.tolerance)
        into = pending if verdict is Verdict.INCONCLUSIVE else settled
        into[place] = (
            case,
            Judged(verdict=verdict, interval=interval, error=error, spent=look.spent),
        )
        hypotheses -= interval.low > margin
    return settled, pending, hypotheses


def _evidence(case: Case) -> tuple[str, Evidence | None]:
    """Sum up a case's launches; None where they are too few, or why they cannot be."""
    seen = compared(case.gate, case.launches)
    if seen.why:
        return seen.why, None
    if not all(map(isfinite, seen.worsenings)):
        of = case.gate.quantity.tag
        why = f"{of} is 0 in some pair, so there is no relative change; give it an absolute bound"
        return why, None
    if len(seen.worsenings) < FEWEST_PAIRS:
        return "", None
    return "", Evidence.of(seen.worsenings)


def _nothing(spent: float, why: str = "") -> Judged:
    return Judged(verdict=Verdict.INCONCLUSIVE, interval=None, error=None, spent=spent, why=why)
