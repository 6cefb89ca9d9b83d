"""What somebody who decides asks first: what is gained, how sure that is, what it costs. Pure.

Owns the three answers in a word or two, each with its sentence. Says nothing that the verdict does
not allow (``verdict``).
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.metrics import BY_TAG, COST, Direction
from analyzer.ranking.rank import Gain
from analyzer.report import wording
from analyzer.report.evidence import Evidence
from analyzer.report.tiles import Tile, tiles
from analyzer.report.verdict import Finding, Verdict

_MOST_COSTS = 3


@dataclass(frozen=True, slots=True)
class Span:
    """An interval on a line that 0 is on: all four in per cent of the line's length."""

    zero: float
    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question, its answer in a word or two, and what that means.

    ``tone`` is good, bad or "" (neither); ``span`` is the gain's interval, where there is one.
    """

    question: str
    answer: str
    said: str
    tone: str = ""
    span: Span | None = None


def brief(evidence: Evidence, verdict: Verdict) -> tuple[Answer, ...]:
    """Return the answers; () where nothing could be measured."""
    if evidence.chosen is None:
        return ()
    return _gained(evidence, verdict), _sure(evidence, verdict), _costs(evidence)


def _gained(evidence: Evidence, verdict: Verdict) -> Answer:
    question, gain, default = "What is gained", evidence.gain, evidence.default
    match verdict.finding:
        case Finding.BETTER if default is not None and not default.satisfies:
            said = "The constraints are kept, which the default does not do"
            return Answer(question=question, answer="Within limits", said=said, tone="good")
        case Finding.BETTER if gain is not None:
            amount = wording.percent(abs(gain.percent))
            sign = "" if _is_less(evidence) else "+"
            said = _in_what(evidence, gain)
            answer = f"{sign}{amount}"
            return Answer(
                question=question, answer=answer, said=said, tone="good", span=_span(gain)
            )
        case Finding.UNPROVEN if gain is not None:
            amount = wording.percent(gain.percent, signed=True)
            said = f"{_in_what(evidence, gain)}; {amount} measured"
            return Answer(question=question, answer="Not proven", said=said, span=_span(gain))
        case Finding.ALONE:
            said = "There is no default to compare with"
            return Answer(question=question, answer="Not known", said=said)
        case Finding.INFEASIBLE:
            said = "No configuration keeps the constraints"
            return Answer(question=question, answer="Nothing", said=said, tone="bad")
        case _:
            said = "Nothing measured beats the default"
            return Answer(question=question, answer="Nothing", said=said)


def _is_less(evidence: Evidence) -> bool:
    """Whether the one objective is to be low: its gain is then said as what it fell by."""
    tags = [tag for tag, _ in evidence.goal.objectives]
    return len(tags) == 1 and BY_TAG[tags[0]].direction is Direction.LESS


def _in_what(evidence: Evidence, gain: Gain) -> str:
    """Say what the gain is in, and its interval."""
    if len(evidence.goal.objectives) > 1:
        name = "Better in the objectives together than the default"
    else:
        ((tag, _),) = evidence.goal.objectives
        less = f"Less {wording.title(tag)} than the default"
        name = less if _is_less(evidence) else f"{wording.heading(tag)} over the default"
    if gain.low is None or gain.high is None:
        return f"{name}, measured once"
    return f"{name}; 95% interval {wording.interval(gain.low, gain.high)}"


def _span(gain: Gain) -> Span | None:
    if gain.low is None or gain.high is None:
        return None
    left, right = min(0.0, gain.low), max(0.0, gain.high)
    room = 0.08 * (right - left) or 1.0
    left, right = left - room, right + room

    def place(value: float) -> float:
        return round(100.0 * (value - left) / (right - left), 2)

    return Span(place(0.0), place(gain.low), place(gain.percent), place(gain.high))


def _sure(evidence: Evidence, verdict: Verdict) -> Answer:
    question, gain = "How sure that is", evidence.gain
    many = len(verdict.caveats)
    doubts = f" See the {wording.count(many, 'caveat')} below." * bool(many)
    if gain is None:
        said = "There was nothing to verify against."
        return Answer(question=question, answer="Not verified", said=said + doubts)
    if not gain.pairs:
        said = "The figures are the search's own; whoever wins a search was partly lucky."
        return Answer(question=question, answer="Not verified", said=said + doubts, tone="bad")
    pairs = (
        f"Best and default measured again {wording.count(gain.pairs, 'time')} in turn, each time "
        "on a new server"
    )
    if gain.proven or gain.disproven:
        said = f"{pairs}; the whole 95% interval is {'above' if gain.proven else 'below'} 0."
        return Answer(question=question, answer="Proven", said=said + doubts, tone="good")
    said = f"{pairs}; the interval includes 0."
    return Answer(question=question, answer="Undecided", said=said + doubts, tone="bad")


def _costs(evidence: Evidence) -> Answer:
    """Say what got worse against the default, and what inferences cost."""
    question, chosen = "What it costs", evidence.chosen
    assert chosen is not None
    price = evidence.typical(chosen).get(COST)
    paid = "" if price is None else f" A million inferences cost {wording.number(price)}."
    if chosen.is_default:
        return Answer(question=question, answer="Nothing new", said=f"It is the default.{paid}")
    if evidence.default is None:
        said = f"There is no default to compare with.{paid}"
        return Answer(question=question, answer="Not known", said=said)
    worse = [tile for tile in tiles(evidence, chosen) if tile.good is False and tile.change]
    if not worse:
        return Answer(
            question=question,
            answer="Nothing",
            said=f"No figure below is worse than the default's.{paid}",
            tone="good",
        )
    first, rest = worse[0], worse[1:_MOST_COSTS]
    said = f"{first.label}, {_against(first)}"
    if rest:
        said += f"; also {wording.listed([f'{one.label} {one.change}' for one in rest])}"
    return Answer(question=question, answer=first.change, said=f"{said}.{paid}")


def _against(tile: Tile) -> str:
    space = "" if tile.unit == "%" else " "
    return f"{tile.value}{space}{tile.unit} instead of {tile.reference}"
