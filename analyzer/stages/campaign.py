"""Which trial comes next: the stages in their order, computed from the rows told. Pure.

Rules:

1. The default configuration comes first, at a few loads of its own. Where there are several GPUs
   to use, a check follows of whether measurements side by side disturb each other (``abreast``).
2. The search follows until it has nothing to ask or its budget is spent (``pace``), of as many
   measurements at a time as the check allows (``questions``). All else is one at a time.
3. Where throughput alone is wanted, a measurement of the search may end as soon as it is surely
   below four fifths of the best that keeps the constraints. Never the default's, a curve's or
   the verification's: those are compared, and shown.
4. Load curves follow (``curves``), then the race of the finalists (``verification``). Where the
   goal is goodput, the highest rate that keeps its limit is searched for at last, of the variant
   that is recommended and of the default (``ranking.goodput``).
5. When the first two measurements fail and none has succeeded, it ends (Model Analyzer's
   rule): a cause that breaks everything is not worth a sweep. Likewise when the first that
   succeeded lacks a metric that the goal names: so would all others.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.ranking import goodput
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import is_default, rank
from analyzer.record.row import Phase, Row, Trial, Why
from analyzer.space import Candidate
from analyzer.stages import abreast, curves, verification
from analyzer.stages.pace import Pace
from analyzer.stages.plan import Plan, Progress, Skipped, Stage, setting_of
from analyzer.stages.questions import Questions, Slot
from analyzer.stages.told import Told
from analyzer.stages.verification import Race
from analyzer.strategy import Strategy

_FIRST_FAILURES = 2
_THROUGHPUT = "perf_throughput"
#: the share of the best throughput below which a measurement need not go on
_BAR = 0.8


class Campaign:
    """Asks for one trial after the other, or for several at a time (``due``).

    Where ``plan`` has several at a time, ``beside`` makes the strategy for so many.
    """

    def __init__(
        self,
        strategy: Strategy,
        goal: Goal,
        plan: Plan,
        beside: Callable[[int], Strategy] | None = None,
    ) -> None:
        self._strategy = strategy
        self._beside = beside
        self._goal = goal
        self._plan = plan
        self._told = Told()
        self._pace = Pace(plan, self._told)
        self._questions: Questions | None = None
        self._check = abreast.Check()
        self._race: Race | None = None
        self._settle()
        self._stage, self._due = self._decide()

    def ask(self) -> Trial | None:
        """Name the next trial, or None when the campaign is over. Changes nothing."""
        return self._due[0] if self._due else None

    def due(self) -> tuple[Trial, ...]:
        """Name all that may be measured at the same time now, the first of them first.

        What is being measured already is among them until its row is told. Changes nothing.
        """
        return self._due

    def tell(self, row: Row) -> None:
        """Learn a row, one of this run or one of the journal's.

        Of several at a time they may come in any order: what is asked next does not depend on it.
        """
        if self._plan.abreast > 1:
            self._told.add(self._goal.seen(row))
        else:
            self._told.rows.append(self._goal.seen(row))
        self._settle()
        self._stage, self._due = self._decide()

    def skipped(self) -> tuple[Skipped, ...]:
        """List what was not worth measuring, and why."""
        return () if self._questions is None else tuple(self._questions.skipped)

    def said_of_gpus(self) -> str:
        """Say whether GPUs were used side by side, and why not; "" where nobody asked for it."""
        return self._check.said

    def progress(self) -> Progress:
        """Say how far it is."""
        best = rank(self._told.rows, self._goal)[:1]
        proofs = 0
        if self._race is not None:
            proofs = self._race.left(self._plan.verify_pairs, self._pace.rounds(1))
        searches = self._searches_left()
        left = self._pace.measurements_left(self._stage, proofs)
        seconds = self._pace.seconds_left(self._stage, proofs)
        return Progress(
            stage=self._stage,
            done=len(self._told.rows),
            expected_left=None if left is None else left + searches,
            seconds_spent=self._told.seconds(*Phase),
            seconds_left=None
            if seconds is None
            else seconds + searches * self._plan.goodput_seconds,
            best=best[0] if best else None,
        )

    def why_stopped(self) -> str:
        """Say why there is nothing more to ask."""
        if self._stage is not Stage.DONE:
            return f"it has not ended: the next stage is {self._stage.value}"
        if unmeasured := self._unmeasured():
            return f"{unmeasured}. State a goal without it"
        if (failure := self._hopeless()) is not None:
            return (
                f"the first {_FIRST_FAILURES} measurements failed and none succeeded; the last "
                f"one said: {failure}. Repair the cause, then profile again with --fresh"
            )
        text = self._pace.search_over()
        if not text:
            measured = len(self._told.of(Phase.SEARCH))
            text = f"nothing more was worth trying after {measured} measurements"
            if reason := self._strategy.ended():
                text += f" ({reason})"
        return f"{text}; {self._proof()}"

    def _proof(self) -> str:
        """Say what the verification came to."""
        standings = rank(self._told.rows, self._goal)
        if self._race is not None and self._told.of(Phase.VERIFY):
            times = self._race.compared
            plural = "" if times == 1 else "s"
            left = [f"{each.runner.variant} {each.reason}" for each in self._race.dropped]
            text = f"the best and the default were compared {times} time{plural}"
            return "; ".join([f"{text} ({self._race.ended})", *left])
        if not standings:
            return "none succeeded"
        if self._race is not None:
            return f"the gain was not verified: {self._race.ended}"
        if standings[0].is_default:
            return "no other variant could be compared with the default configuration"
        return "the default configuration could not be measured for comparison"

    # What comes next

    def _decide(self) -> tuple[Stage, tuple[Trial, ...]]:
        self._race = None
        if self._hopeless() is not None:
            return Stage.DONE, ()
        if (trial := self._next_default()) is not None:
            return Stage.DEFAULT, (trial,)
        if self._check.trials:
            return Stage.ABREAST, self._check.trials
        if self._questions is not None and (due := self._questions.due()):
            return Stage.SEARCH, tuple(self._search_of(slot) for slot in due)
        return self._behind_the_search()

    def _behind_the_search(self) -> tuple[Stage, tuple[Trial, ...]]:
        trial = curves.next_trial(
            self._told, self._goal, self._plan.curve, spent=self._pace.curves_over(),
            edge_steps=self._plan.edge_steps,
        )  # fmt: skip
        if trial is not None:
            return Stage.CURVE, (trial,)
        self._race = verification.stand(self._told, self._goal, self._plan, self._pace)
        if self._race is not None and self._race.trial is not None:
            return Stage.VERIFY, (self._race.trial,)
        trial = self._next_search_for_a_rate()
        return (Stage.DONE, ()) if trial is None else (Stage.GOODPUT, (trial,))

    def _next_search_for_a_rate(self) -> Trial | None:
        seconds = self._plan.goodput_seconds
        return goodput.next_trial(self._told.rows, self._goal, seconds) if seconds else None

    def _searches_left(self) -> int:
        """Return how many searches for a rate are to come at most: the best's and the default's."""
        if not self._plan.goodput_seconds or self._stage is Stage.DONE:
            return 0
        return max(1, 2 - len(self._told.of(Phase.GOODPUT)))

    def _unmeasured(self) -> str:
        """Say which metric of the goal the first measurement lacks, and why; "" where none."""
        first = next((row for row in self._told.rows if row.failure is None), None)
        missing = () if first is None else self._goal.unmeasured(first.metrics)
        if first is None or not missing:
            return ""
        tag = missing[0]
        by_kind = first.absent.get("gpu", "") if tag.startswith("gpu_") else ""
        reason = first.absent.get(tag) or by_kind or "the measurement has no value of it"
        return f"the goal names {tag}, which cannot be measured here: {reason}"

    def _hopeless(self) -> str | None:
        """Return the text of rule 5's failure, if it holds."""
        if unmeasured := self._unmeasured():
            return unmeasured
        failed = [row.failure for row in self._told.rows]
        if len(failed) < _FIRST_FAILURES or None in failed:
            return None
        last = failed[_FIRST_FAILURES - 1]
        return None if last is None else f"{last.stage}: {last.message}"

    def _next_default(self) -> Trial | None:
        for candidate in self._plan.default:
            tried = self._told.searched(candidate) is not None
            if not tried and not self._told.does_not_launch(candidate):
                return Trial(
                    candidate=candidate,
                    why=Why("what everything is compared with"),
                    haste=self._plan.haste,
                )
        return None

    def _search_of(self, slot: Slot) -> Trial:
        short = self._told.was_short(slot.same)
        return Trial(
            candidate=slot.same,
            repetition=slot.repetition,
            fresh=slot.repetition > 0,
            beside=1 if slot.alone or short else self._check.width,
            why=Why("again by itself: beside others it was short of cores") if short else slot.why,
            bar=self._bar(slot.same),
            haste=self._plan.haste,
            pending=0 if short else slot.pending,
        )

    def _bar(self, candidate: Candidate) -> float:
        """Return the throughput below which this is of no interest (rule 3); 0 where none is."""
        if [tag for tag, _ in self._goal.objectives] != [_THROUGHPUT]:
            return 0.0
        if not setting_of(candidate).items:
            return 0.0
        rates = [
            row.metrics.get(_THROUGHPUT, 0.0)
            for row in self._told.of(Phase.SEARCH)
            if row.failure is None and self._goal.satisfied(row.metrics)
        ]
        return _BAR * max(rates, default=0.0)

    def _settle(self) -> None:
        """Tell the strategy all that can be told without measuring."""
        if self._questions is None:
            if self._next_default() is not None or self._hopeless() is not None:
                return
            default = Told()
            default.rows += (row for row in self._told.of(Phase.SEARCH)
                             if row.trial.candidate in self._plan.default)  # fmt: skip
            before = Pace(self._plan, default)
            self._check = abreast.check(
                self._told, self._plan, self._goal, before.search_left(), before.each()
            )
            if self._check.trials:
                return
            width = self._check.width
            if width > 1 and self._beside is not None:
                self._strategy = self._beside(width)
            self._questions = Questions(
                self._strategy, self._goal, self._plan, self._told, width=width,
                # Kept as it is from here on: scores of one search must have one reference.
                reference=next(
                    (row for row in self._told.rows if row.failure is None and is_default(row)),
                    None,
                ),
            )  # fmt: skip
        heard = Pace(self._plan, self._questions.heard)
        self._questions.settle(lambda pending: bool(heard.search_over(pending)))
