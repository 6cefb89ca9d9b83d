"""What the search asks for: several at a time, and what is told in which order. Pure.

Rules:

1. With ``width`` measurements at a time, a question is asked knowing the outcomes of all but the
   last ``width - 1`` before it: those count as pending, whether they have come by then or not. So
   what is asked depends on what was measured alone, never on which measurement ended first, and a
   journal that is read anew leads to the same questions.
2. Outcomes are told in the order in which they were asked for.
3. What is not worth measuring is listed with its reason and told as failed at once; what is the
   same setting as something measured is told its outcome; a variant that did not come up is not
   launched again for another load; and where one's answers were not the default's, none that is run
   by the same is tried again.
4. What does not run on a GPU of its own is measured by itself. So is, again, what turns out to need
   more cores than it has beside others; and after two of those, all that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analyzer import variant
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Row, Why
from analyzer.space import Candidate
from analyzer.stages.plan import Plan, Skipped
from analyzer.stages.told import Told
from analyzer.strategy import Asked, Strategy, ahead

#: measurements that were short of cores, after which no more are tried beside others
_SHORT = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """A question whose outcome was not told yet; ``same`` is what is measured for it.

    ``pending`` is how many before it were not told when it was asked.
    """

    candidate: Candidate
    same: Candidate
    why: Why | None
    alone: bool
    pending: int
    repetition: int = 0


class Questions:
    """Asks a strategy, and tells it what came.

    ``told`` has all rows, those of later stages too. ``heard`` are those that count when the next
    question is asked: with a width of 1 all of them, else those that were told in their turn.
    """

    def __init__(
        self,
        strategy: Strategy,
        goal: Goal,
        plan: Plan,
        told: Told,
        *,
        reference: Row | None,
        width: int,
    ) -> None:
        self._strategy = strategy
        self._goal = goal
        self._plan = plan
        self._told = told
        self._reference = reference
        self._width = width
        self._open: list[Slot] = []
        self._short = 0
        self.skipped: list[Skipped] = []
        self.heard = told if width == 1 else Told()
        if width > 1:
            self.heard.rows += told.rows
        # The default's measurements show a strategy more than their scores.
        for row in (one for each in plan.default if (one := told.searched(each)) is not None):
            strategy.tell(goal.outcome(row, reference))

    def due(self) -> Sequence[Slot]:
        """Return what is asked for and not measured yet, in the order in which it was asked for."""
        return [each for each in self._open if self._row(each) is None]

    def settle(self, over: Callable[[int], bool]) -> None:
        """Tell all that is known, and ask for as many as may run at a time.

        ``over(pending)``: whether the search may measure no more besides so many.
        """
        if self.heard is self._told:
            # Rows that came in between may have used up what there was.
            self._open = [one for one in self._open if self._row(one) is not None]
        while True:
            width = 1 if any(each.alone for each in self._open) else self._width
            if len(self._open) >= width:
                if not self._hear():
                    return
                continue
            asked = ahead(self._strategy, [each.candidate for each in self._open])
            if asked is None:
                # It waits for what is pending, if it has not ended.
                if not self._hear():
                    return
                continue
            if (outcome := self._known(asked)) is not None:
                self._strategy.tell(outcome)
                continue
            same = variant.canonical(asked.candidate)
            alone = self._width > 1 and (
                self._short >= _SHORT or bool(variant.why_alone(same, self._plan.means))
            )
            waits = any(alone or each.same == same for each in self._open)
            slot = Slot(asked.candidate, same, asked.why, alone, len(self._open), asked.repetition)
            if waits or (self._row(slot) is None and over(len(self._open))):
                if not self._hear():
                    return
                continue
            self._open.append(slot)

    def _hear(self) -> bool:
        """Tell the outcome that was asked for first; whether there was one, and it has come."""
        if not self._open:
            return False
        first = self._open[0]
        row = self._row(first)
        if row is None:
            return False
        del self._open[0]
        self._short += self._told.was_short(first.same)
        if self.heard is not self._told:
            self.heard.rows.append(row)
        self._strategy.tell(self._outcome(row, first.candidate))
        return True

    def _row(self, slot: Slot) -> Row | None:
        return self._told.searched(slot.same, slot.repetition)

    def _outcome(self, row: Row, candidate: Candidate) -> Outcome:
        whole = self.heard.repeated(row) if row.trial.repetition else row
        return replace(self._goal.outcome(whole, self._reference), candidate=candidate)

    def _known(self, asked: Asked) -> Outcome | None:
        """Return the outcome of a candidate if it need not be measured."""
        candidate = asked.candidate
        same = variant.canonical(candidate)
        if (row := self.heard.searched(same, asked.repetition)) is not None:
            return self._outcome(row, candidate)
        reason = variant.reason_not_possible(same, self._plan.cores, self._plan.means)
        if reason is None and self.heard.does_not_launch(same):
            reason = "this variant did not come up at another load"
        if reason is None and (row := self.heard.answers_otherwise(same)) is not None:
            reason = f"it answers as measurement {row.number} did: not as the default does"
        if reason is None:
            return None
        self.skipped.append(Skipped(candidate, reason))
        return Outcome(candidate, None, feasible=False)
