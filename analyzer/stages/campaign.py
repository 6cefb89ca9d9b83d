"""Which trial comes next: the stages in their order, computed from the rows told. Pure.

Rules:

1. The default configuration comes first, at a few loads of its own.
2. The search follows until it has nothing to ask or its budget is spent (``pace``).
   What is not worth measuring is listed with its reason and told to the strategy as failed;
   what is the same setting as something measured is told its outcome; a variant that did not
   come up is not launched again for another load; and where one's answers were not the
   default's, none that is run by the same is tried again.
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

from dataclasses import replace

from analyzer import variant
from analyzer.ranking import goodput
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import is_default, rank
from analyzer.record.outcome import Outcome
from analyzer.record.row import Phase, Row, Trial, Why
from analyzer.space import Candidate
from analyzer.stages import curves, verification
from analyzer.stages.pace import Pace
from analyzer.stages.plan import Plan, Progress, Skipped, Stage, setting_of
from analyzer.stages.told import Told
from analyzer.stages.verification import Race
from analyzer.strategy import Strategy

_FIRST_FAILURES = 2
_THROUGHPUT = "perf_throughput"
#: the share of the best throughput below which a measurement need not go on
_BAR = 0.8


class Campaign:
    """Asks for one trial after the other."""

    def __init__(self, strategy: Strategy, goal: Goal, plan: Plan) -> None:
        self._strategy = strategy
        self._goal = goal
        self._plan = plan
        self._told = Told()
        self._pace = Pace(plan, self._told)
        self._skipped: list[Skipped] = []
        self._reference: Row | None = None
        self._search_begun = False
        self._race: Race | None = None
        self._settle()
        self._stage, self._trial = self._decide()

    def ask(self) -> Trial | None:
        """Name the next trial, or None when the campaign is over. Changes nothing."""
        return self._trial

    def tell(self, row: Row) -> None:
        """Learn a row, one of this run or one of the journal's."""
        self._told.rows.append(self._goal.seen(row))
        self._settle()
        self._stage, self._trial = self._decide()

    def skipped(self) -> tuple[Skipped, ...]:
        """List what was not worth measuring, and why."""
        return tuple(self._skipped)

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

    def _decide(self) -> tuple[Stage, Trial | None]:
        self._race = None
        if self._hopeless() is not None:
            return Stage.DONE, None
        trial: Trial | None
        if (trial := self._next_default()) is not None:
            return Stage.DEFAULT, trial
        if not self._pace.search_over() and (candidate := self._strategy.ask()) is not None:
            same = variant.canonical(candidate)
            why = self._strategy.why()
            return Stage.SEARCH, self._search_of(same, why)
        trial = curves.next_trial(
            self._told, self._goal, self._plan.curve, spent=self._pace.curves_over(),
            edge_steps=self._plan.edge_steps,
        )  # fmt: skip
        if trial is not None:
            return Stage.CURVE, trial
        self._race = verification.stand(self._told, self._goal, self._plan, self._pace)
        if self._race is not None and self._race.trial is not None:
            return Stage.VERIFY, self._race.trial
        trial = self._next_search_for_a_rate()
        return Stage.DONE if trial is None else Stage.GOODPUT, trial

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

    def _search_of(self, candidate: Candidate, why: Why | None) -> Trial:
        return Trial(candidate=candidate, why=why, bar=self._bar(candidate), haste=self._plan.haste)

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

    # What need not be measured

    def _settle(self) -> None:
        """Tell the strategy all that can be told without measuring."""
        if not self._search_begun:
            if self._next_default() is not None or self._hopeless() is not None:
                return
            # Kept as it is from here on: scores of one search must have one reference.
            self._reference = next(
                (row for row in self._told.rows if row.failure is None and is_default(row)), None
            )
            self._search_begun = True
            # The default's measurements show a strategy more than their scores.
            for row in self._told.of(Phase.SEARCH):
                if row.trial.candidate in self._plan.default:
                    self._strategy.tell(self._goal.outcome(row, self._reference))
        while (candidate := self._strategy.ask()) is not None:
            outcome = self._known(candidate)
            if outcome is None:
                return
            self._strategy.tell(outcome)

    def _known(self, candidate: Candidate) -> Outcome | None:
        """Return the outcome of a candidate if it need not be measured."""
        same = variant.canonical(candidate)
        if (row := self._told.searched(same)) is not None:
            return replace(self._goal.outcome(row, self._reference), candidate=candidate)
        reason = variant.reason_not_possible(same, self._plan.cores, self._plan.means)
        if reason is None and self._told.does_not_launch(same):
            reason = "this variant did not come up at another load"
        if reason is None and (row := self._told.answers_otherwise(same)) is not None:
            reason = f"it answers as measurement {row.number} did: not as the default does"
        if reason is None:
            return None
        self._skipped.append(Skipped(candidate, reason))
        return Outcome(candidate, None, feasible=False)
