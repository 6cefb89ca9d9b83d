"""What is supposed of measurements that are not done yet, so that a search can go on. Pure.

Each is supposed to come out as the search foresees it ("the kriging believer"): that moves no
belief, but makes it sure there, so what is asked for besides lies elsewhere. None of them counts as
the best: nothing has been measured. What cannot be foreseen, as a first probe, only counts as asked
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from analyzer.record.outcome import Outcome
from analyzer.record.row import Trial
from analyzer.search.prior import loaded
from analyzer.search.quantities import Sheet
from analyzer.search.reasons import because
from analyzer.search.thinking import Thought
from analyzer.space import Candidate


def supposed(
    pending: Sequence[Candidate], told: Sequence[Outcome], sheet: Sheet, thought: Thought | None
) -> list[Outcome]:
    """Suppose an outcome of each that is pending; one at least of those told has a score."""
    return [_supposed(each, told, sheet, thought) for each in pending]


def _supposed(
    candidate: Candidate, told: Sequence[Outcome], sheet: Sheet, thought: Thought | None
) -> Outcome:
    scored = [each for each in told if each.score is not None]
    middle = median(each.score for each in scored if each.score is not None)
    if not sheet.metrics:
        return Outcome(candidate, middle)
    worst = Outcome(
        candidate,
        min(each.score for each in scored if each.score is not None),
        feasible=False,
        violation=1.0 + max(each.violation for each in scored),
    )
    like = next((each.row for each in reversed(scored) if each.row is not None), None)
    if thought is None or like is None or candidate not in thought.candidates:
        return worst
    place = thought.candidates.index(candidate)
    row = replace(
        like,
        trial=Trial(candidate=candidate),
        load=loaded(candidate, like.load),
        metrics=because(thought, place, other_load=False).predicted,
        # The server's own counters are those of another configuration.
        server={},
        estimates={},
        histogram="",
    )
    return replace(worst, row=row)
