"""Budgets, and the time left: how a campaign divides what it may take among its stages. Pure.

Rules:

1. Time is that of the rows, never a clock's: where a campaign stands is a function of its rows.
   What goes by between them is estimated (``Plan.overhead_*``), and counts where everything is
   bounded. Of rows that were taken side by side it is the time from the first to the last
   (``told.elapsed``).
2. Default and search end when their time is spent or their measurements are taken. Where
   everything is bounded they leave enough for three rounds of verification (an interval of two is
   hardly ever narrow enough to prove anything), as far as a third of the whole will do for them;
   but while there is any time at all the search may take two measurements, or there would be
   nothing to compare.
3. The verification has its own time, or all that the others left of the whole. A round is begun
   only if it can be ended in time; the first two are taken whatever they cost, unless the whole
   time was spent before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from analyzer.ranking.race import FEWEST
from analyzer.record.outcome import Outcome
from analyzer.record.row import Phase, Row
from analyzer.stages.plan import Plan, Stage
from analyzer.stages.told import Told, elapsed

#: rounds of the verification that the stages before it leave time for
_DUE_ROUNDS = 3
#: what default and search may take of the whole, however long a measurement is
_LEAST_SHARE = 0.35
#: measurements of the search that are taken while there is time at all; and of which nobody can
#: say that they were many
_FEWEST_TRIALS, _FEW_TRIALS = 2, 8
#: how many new points a load curve takes as a rule, for the estimate of time left
_USUAL_POINTS = 3


class Pace:
    """Judges what was told by a plan's budgets."""

    def __init__(self, plan: Plan, told: Told) -> None:
        self._plan = plan
        self._told = told

    def search_over(self, pending: int = 0) -> str:
        """Say why the search may not go on; "" where it may. Some measurements may be pending."""
        plan, taken = self._plan, len(self._told.of(Phase.SEARCH)) + pending
        if plan.max_trials is not None and taken >= plan.max_trials:
            return f"the {taken} measurements that it may take were taken"
        limit, spent = self._search_limit(), self._spent(Phase.SEARCH)
        if plan.whole_seconds is None or not taken:
            over = limit is not None and spent >= limit
        else:
            # Half of the next would be too much on average, so on average the end is in time.
            over = limit is not None and spent + self._usual(Phase.SEARCH) / 2 >= limit
            due = taken < len(plan.default) + _FEWEST_TRIALS
            over = over and (not due or self.whole_over())
        if not over or limit is None:
            return ""
        return f"its {limit:.3g} s were spent after {taken} measurements{self._advice(taken)}"

    def _advice(self, taken: int) -> str:
        """Say how much time would have been enough, where it was plainly too little."""
        whole = self._plan.whole_seconds
        if whole is None or taken >= len(self._plan.default) + _FEW_TRIALS:
            return ""
        more = math.ceil((whole + _FEW_TRIALS * self._usual()) / 10) * 10
        return (
            f", {self._usual():.2g} s each; --max-time {more} would let it take "
            f"some {_FEW_TRIALS} more"
        )

    def curves_over(self) -> bool:
        """Whether the load curves' time is spent.

        Where everything is bounded, what is kept back is a point of the default's and the rounds.
        """
        limit, spent = self._plan.curve_seconds, self._spent(Phase.CURVE)
        if limit is not None and spent >= limit:
            return True
        left = self._left_of_whole()
        if left is None or not self._told.rows:
            return False
        before = Phase.SEARCH, Phase.CURVE
        usual, each = self._usual(*before), self._cost(self._told.of(*before))
        late = limit is not None and spent + usual + each > limit
        return late or left < usual + (1 + 2 * _DUE_ROUNDS) * each

    def affordable(self) -> int | None:
        """Return how many more measurements the search has time for, as long as those before took.

        None where no time bounds it, or nothing was measured yet.
        """
        left = self.search_left()
        if left is None or not self._told.of(Phase.SEARCH):
            return None
        # As ``search_over`` has it: where all is bounded, half of the last one may be too much.
        spare = 0.5 if self._plan.whole_seconds is not None else 0.0
        each = self._usual(Phase.SEARCH) + self._besides / self._at_once
        return max(0, math.ceil(self._at_once * left / each - spare)) if each else None

    @property
    def _at_once(self) -> int:
        """How many of the search are measured at a time."""
        return max((row.trial.beside for row in self._told.of(Phase.SEARCH)), default=1)

    @property
    def _besides(self) -> float:
        """What goes by with each measurement and is in no row, where that counts."""
        return 0.0 if self._plan.whole_seconds is None else self._plan.overhead_each

    def whole_over(self) -> bool:
        """Whether the time for everything is spent."""
        left = self._left_of_whole()
        return left is not None and left <= 0.0

    def rounds(self, runners: int) -> float:
        """Return how many rounds of so many measurements the verification still has time for."""
        left, cost = self._verify_left(), runners * self.each()
        return math.inf if left is None or not cost else max(0.0, left / cost)

    def verifications(self) -> float:
        """Return how many measurements the verification has time for as a whole.

        A function of what was told before it began, so that it stays the same from then on.
        """
        room, cost = self._verify_room(), self._cost(self._told.of(Phase.SEARCH, Phase.CURVE))
        return math.inf if room is None or not cost else room / cost

    def each(self) -> float:
        """Return about how long a measurement of the verification takes; 0 if nobody knows."""
        proofs = self._told.of(Phase.VERIFY)
        return self._cost(proofs or self._told.rows)

    def seconds_left(self, stage: Stage, verifications: int) -> float | None:
        """Estimate the time to the end; ``verifications`` are those known to come."""
        plan = self._plan
        if stage in {Stage.GOODPUT, Stage.DONE}:
            return 0.0
        if not self._told.rows:
            return self._left_of_whole()
        if stage is Stage.VERIFY:
            return self.each() * verifications
        proof = _within(self.each() * 2 * plan.verify_pairs, self._verify_room())
        curves = _within(
            self._usual() * 2 * min(_USUAL_POINTS, len(plan.curve)), plan.curve_seconds
        )
        if stage is Stage.CURVE:
            taken = len(self._told.of(Phase.CURVE))
            return max(self._usual(), curves - self._usual() * taken) + proof
        search = self.search_left()
        if search is None:
            return None
        # What the whole may take bounds what its parts would.
        return _within(search + curves + proof, self._left_of_whole())

    def measurements_left(self, stage: Stage, verifications: int) -> int | None:
        """Estimate how many measurements are to come; None where nothing bounds them."""
        plan = self._plan
        if stage in {Stage.GOODPUT, Stage.DONE, Stage.VERIFY}:
            return verifications
        if not self._told.rows:
            return plan.max_trials
        proof = 2 * plan.verify_pairs
        if (time := self._verify_room()) is not None and self.each():
            proof = min(proof, max(2 * FEWEST, int(time / self.each())))
        points = 2 * min(_USUAL_POINTS, len(plan.curve))
        if plan.curve_seconds is not None:
            points = min(points, math.ceil(plan.curve_seconds / self._usual()))
        if stage is Stage.CURVE:
            return max(1, points - len(self._told.of(Phase.CURVE))) + proof
        bounds = []
        if (left := self.search_left()) is not None:
            bounds.append(math.ceil(self._at_once * left / self._usual()))
        if plan.max_trials is not None:
            bounds.append(max(0, plan.max_trials - len(self._told.of(Phase.SEARCH))))
        return min(bounds) + points + proof if bounds else None

    def _search_limit(self) -> float | None:
        plan = self._plan
        if plan.whole_seconds is None:
            return plan.search_seconds
        room = plan.whole_seconds - plan.overhead_seconds
        # By what the search itself has seen: were it judged by what follows it, a verification that
        # is cheaper than expected would have it begin again in the middle of a round.
        proof = 2 * _DUE_ROUNDS * self._cost(self._told.of(Phase.SEARCH))
        kept = max(_LEAST_SHARE * room, room - (plan.curve_seconds or 0.0) - proof)
        return _within(kept, plan.search_seconds)

    def search_left(self) -> float | None:
        """Return the time that the search has left; None where nothing bounds it."""
        limit = self._search_limit()
        return None if limit is None else max(0.0, limit - self._spent(Phase.SEARCH))

    def _left_of_whole(self) -> float | None:
        plan = self._plan
        if plan.whole_seconds is None:
            return None
        return plan.whole_seconds - plan.overhead_seconds - self._spent(*Phase)

    def _verify_room(self) -> float | None:
        """Return what the verification may take as a whole."""
        plan = self._plan
        if plan.whole_seconds is None:
            return plan.verify_seconds
        rest = plan.whole_seconds - plan.overhead_seconds - self._spent(Phase.SEARCH, Phase.CURVE)
        return max(0.0, _within(rest, plan.verify_seconds))

    def _verify_left(self) -> float | None:
        room = self._verify_room()
        return None if room is None else room - self._spent(Phase.VERIFY)

    def _spent(self, *phases: Phase) -> float:
        if Phase.SEARCH in phases:
            # What shows by how many the search may go on is part of it.
            phases = *phases, Phase.ABREAST
        return elapsed(self._told.of(*phases), self._besides)

    def _usual(self, *phases: Phase) -> float:
        """Return what a measurement took on average, one of any phase if none is named."""
        return fmean(row.seconds for row in self._told.of(*(phases or Phase)))

    def _cost(self, rows: Sequence[Row]) -> float:
        """Return what measurements like these cost, each with a start of its own."""
        # One that was ended early, because something else is faster, says nothing of the others.
        whole = [row for row in rows if not row.load.bar and row.failure is None] or rows
        if not whole:
            return 0.0
        starts = [row.launch_seconds for row in rows if row.launch_seconds]
        measuring = fmean(self._unhurried(row) for row in whole)
        return measuring + (fmean(starts) if starts else 0.0) + self._besides

    def _unhurried(self, row: Row) -> float:
        """Return what measuring a row would take without haste."""
        took = row.seconds - row.launch_seconds
        return took * self._plan.haste if row.trial.phase is Phase.SEARCH else took


def affordable(plan: Plan, outcomes: Sequence[Outcome]) -> int | None:
    """Return how many more measurements a search that is planned so has time for (None: any).

    What several outcomes share was measured once, and what failed without being measured took no
    time.
    """
    told = Told()
    told.rows += {each.row.number: each.row for each in outcomes if each.row is not None}.values()
    return Pace(plan, told).affordable()


def _within(seconds: float, budget: float | None) -> float:
    return seconds if budget is None else min(seconds, budget)
