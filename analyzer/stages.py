"""A campaign: the default, the search, two load curves, then the proof. Pure.

Owns which trial comes next and when to stop. Does not own what is tried in the search
(``strategies``), what is better (``ranking``), or the measuring. Whatever it answers is
computed from the rows it was told, so telling it a journal's rows is how a sweep goes on.

Rules:

1. The default configuration comes first, at a few loads of its own.
2. The search follows until it has nothing to ask or the rows' seconds reach the budget.
   What is not worth measuring is listed with its reason and told to the strategy as failed;
   what is the same setting as something measured is told its outcome; a variant that did not
   come up is not launched again for another load; and where one's answers were not the
   default's, none that is run by the same is tried again.
3. Load curves of the default and of its contender (the best other variant): the load doubles
   until throughput has failed twice in a row to grow by 5 %. Points measured before are used
   as they are. The stage ends early when its own budget is spent; but a default whose curve
   is not at its end is tried at its contender's best load, or more load would pass for a
   better configuration.
4. Verification: default and contender at their best loads by turns, each repetition a pair.
   Also where the default leads: that nothing beats it is a claim like any other. Two whole
   pairs are taken whatever they cost (an interval needs them), more only within the budget.
5. When the first two measurements fail and none has succeeded, it ends (Model Analyzer's
   rule): a cause that breaks everything is not worth a sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count

from analyzer import variant
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, contender, identity, is_default, rank
from analyzer.record.outcome import Outcome
from analyzer.record.row import Phase, Row, Trial
from analyzer.space import CONCURRENCY, LOADS, Candidate, split
from analyzer.strategy import Strategy

_GROWTH, _STALLED = 0.05, 2
_FIRST_FAILURES = 2
#: an interval needs two pairs
_FEWEST_PAIRS = 2
#: how many new points a load curve takes as a rule, for the estimate of time left
_USUAL_POINTS = 3


class Stage(Enum):
    """Where a campaign stands."""

    DEFAULT = "default"
    SEARCH = "search"
    CURVE = "load curves"
    VERIFY = "verification"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a campaign is to do.

    ``default`` holds candidates without settings, ``curve`` the levels of the load
    curves, ``search_seconds`` the budget of rules 1 and 2 together, ``curve_seconds`` and
    ``verify_seconds`` those of 3 and 4 (None: no bound), ``cores`` the machine's, for judging
    which candidates crowd them, and ``means`` by what each model can be run here,
    by the name that stands before its dimensions.
    """

    default: tuple[Candidate, ...]
    curve: tuple[float, ...] = ()
    verify_pairs: int = 4
    search_seconds: float | None = None
    curve_seconds: float | None = None
    verify_seconds: float | None = None
    cores: int | None = None
    means: Mapping[str, variant.Means] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a campaign is. Seconds are those of the rows; what is not known is None."""

    stage: Stage
    done: int
    expected_total: int | None
    seconds_spent: float
    seconds_left: float | None
    best: Standing | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that the strategy asked for and nobody measured, and why."""

    candidate: Candidate
    reason: str


def untried(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """List each setting once for every reason, without its loads."""
    return tuple(dict.fromkeys(Skipped(_setting(each.candidate), each.reason) for each in skipped))


class Campaign:
    """Asks for one trial after the other."""

    def __init__(self, strategy: Strategy, goal: Goal, plan: Plan) -> None:
        self._strategy = strategy
        self._goal = goal
        self._plan = plan
        self._rows: list[Row] = []
        self._skipped: list[Skipped] = []
        self._reference: Row | None = None
        self._search_begun = False
        self._settle()
        self._stage, self._trial = self._decide()

    def ask(self) -> Trial | None:
        """Name the next trial, or None when the campaign is over. Changes nothing."""
        return self._trial

    def tell(self, row: Row) -> None:
        """Learn a row, one of this run or one of the journal's."""
        self._rows.append(row)
        self._settle()
        self._stage, self._trial = self._decide()

    def skipped(self) -> tuple[Skipped, ...]:
        """List what was not worth measuring, and why."""
        return tuple(self._skipped)

    def progress(self) -> Progress:
        """Say how far it is."""
        best = rank(self._rows, self._goal)[:1]
        left = self._verifications_left() if self._stage is Stage.VERIFY else 0
        known = self._stage in {Stage.VERIFY, Stage.DONE}
        return Progress(
            stage=self._stage,
            done=len(self._rows),
            expected_total=len(self._rows) + left if known else None,
            seconds_spent=sum(row.seconds for row in self._rows),
            seconds_left=self._seconds_left(),
            best=best[0] if best else None,
        )

    def why_stopped(self) -> str:
        """Say why there is nothing more to ask."""
        if self._stage is not Stage.DONE:
            return f"it has not ended: the next stage is {self._stage.value}"
        if (failure := self._hopeless()) is not None:
            return (
                f"the first {_FIRST_FAILURES} measurements failed and none succeeded; the last "
                f"one said: {failure}. Repair the cause, then profile again with --fresh"
            )
        measured = len(self._of(Phase.SEARCH))
        if self._budget_spent():
            text = f"its {self._plan.search_seconds:g} s were spent after {measured} measurements"
        else:
            text = f"nothing more was worth trying after {measured} measurements"
        pair = self._pair()
        if pair is not None:
            default, best = (self._repetitions(each, measured=True) for each in pair)
            times = len(default & best)
            plural = "" if times == 1 else "s"
            return f"{text}; the best and the default were compared {times} time{plural}"
        standings = self._standings()
        if not standings:
            return f"{text}; none succeeded"
        if standings[0].is_default:
            return f"{text}; no other variant could be compared with the default configuration"
        return f"{text}; the default configuration could not be measured for comparison"

    # What comes next

    def _decide(self) -> tuple[Stage, Trial | None]:
        if self._hopeless() is not None:
            return Stage.DONE, None
        trial: Trial | None
        if (trial := self._next_default()) is not None:
            return Stage.DEFAULT, trial
        if not self._budget_spent() and (candidate := self._strategy.ask()) is not None:
            why = self._strategy.why()
            return Stage.SEARCH, Trial(candidate=variant.canonical(candidate), why=why)
        if (trial := self._next_of_curves()) is not None:
            return Stage.CURVE, trial
        if (trial := self._next_of_verification()) is not None:
            return Stage.VERIFY, trial
        return Stage.DONE, None

    def _hopeless(self) -> str | None:
        """Return the text of rule 5's failure, if it holds."""
        failed = [row.failure for row in self._rows]
        if len(failed) < _FIRST_FAILURES or None in failed:
            return None
        last = failed[_FIRST_FAILURES - 1]
        return None if last is None else f"{last.stage}: {last.message}"

    def _next_default(self) -> Trial | None:
        for candidate in self._plan.default:
            if self._row_of(candidate) is None and not self._does_not_launch(candidate):
                return Trial(candidate=candidate)
        return None

    def _budget_spent(self) -> bool:
        return self._spent(Phase.SEARCH, self._plan.search_seconds)

    def _spent(self, phase: Phase, budget: float | None) -> bool:
        return budget is not None and self._seconds(phase) >= budget

    def _seconds(self, phase: Phase) -> float:
        return sum(row.seconds for row in self._of(phase))

    def _settle(self) -> None:
        """Tell the strategy all that can be told without measuring."""
        if not self._search_begun:
            if self._next_default() is not None or self._hopeless() is not None:
                return
            # Kept as it is from here on: scores of one search must have one reference.
            self._reference = next(
                (row for row in self._rows if row.failure is None and is_default(row)), None
            )
            self._search_begun = True
            # The default's measurements show a strategy more than their scores.
            for row in self._rows:
                if row.trial.phase is Phase.SEARCH and row.trial.candidate in self._plan.default:
                    self._strategy.tell(self._goal.outcome(row, self._reference))
        while (candidate := self._strategy.ask()) is not None:
            outcome = self._known(candidate)
            if outcome is None:
                return
            self._strategy.tell(outcome)

    def _known(self, candidate: Candidate) -> Outcome | None:
        """Return the outcome of a candidate if it need not be measured."""
        same = variant.canonical(candidate)
        if (row := self._row_of(same)) is not None:
            outcome = self._goal.outcome(row, self._reference)
            return replace(outcome, candidate=candidate)
        reason = variant.reason_not_possible(same, self._plan.cores, self._plan.means)
        if reason is None and self._does_not_launch(same):
            reason = "this variant did not come up at another load"
        if reason is None and (row := self._answers_otherwise(same)) is not None:
            reason = f"it answers as measurement {row.number} did: not as the default does"
        if reason is None:
            return None
        self._skipped.append(Skipped(candidate, reason))
        return Outcome(candidate, None, feasible=False)

    def _row_of(self, candidate: Candidate) -> Row | None:
        rows = (row for row in self._of(Phase.SEARCH) if row.trial.candidate == candidate)
        return next(rows, None)

    def _does_not_launch(self, candidate: Candidate) -> bool:
        setting = _setting(candidate)
        return any(
            row.failure is not None
            and row.failure.stage == "launch"
            and _setting(row.trial.candidate) == setting
            for row in self._of(Phase.SEARCH)
        )

    def _answers_otherwise(self, candidate: Candidate) -> Row | None:
        """Return the row that showed that whatever is run by the same answers wrongly."""
        by = variant.chosen_answering(candidate)
        failed = (
            row
            for row in self._of(Phase.SEARCH)
            if row.failure is not None and row.failure.stage == "accuracy"
        )
        return next(
            (row for row in failed if variant.chosen_answering(row.trial.candidate) == by), None
        )

    # Load curves

    def _next_of_curves(self) -> Trial | None:
        if self._spent(Phase.CURVE, self._plan.curve_seconds):
            return self._default_at_its_rivals_load()
        # Ranked by the search alone, so that the curves do not change what they are drawn of.
        searched = self._of(Phase.SEARCH)
        best = contender(searched, self._goal)
        default = [each for each in rank(searched, self._goal) if each.is_default]
        for standing in ([] if best is None else [best]) + default:
            level = self._next_point(standing.best)
            if level is not None:
                candidate = _loaded(standing.best.trial.candidate, level)
                return Trial(candidate=candidate, phase=Phase.CURVE)
        return None

    def _default_at_its_rivals_load(self) -> Trial | None:
        """Return the default at the contender's best load, if it might do better there.

        Where its own curve has come to its end, it would not.
        """
        default = next((each for each in self._standings() if each.is_default), None)
        best = contender(self._rows, self._goal)
        if default is None or best is None or self._next_point(default.best) is None:
            return None
        level = best.best.trial.candidate.level
        if level is None:
            return None
        candidate = _loaded(default.best.trial.candidate, level[1])
        known = (*self._of(Phase.SEARCH), *self._of(Phase.CURVE))
        tried = any(row.trial.candidate == candidate for row in known)
        return None if tried else Trial(candidate=candidate, phase=Phase.CURVE)

    def _next_point(self, of: Row) -> float | None:
        """Return the next level of a variant's load curve, or None where the curve ends."""
        rates: dict[float, float] = {}
        for row in (*self._of(Phase.SEARCH), *self._of(Phase.CURVE)):
            if identity(row) == identity(of) and row.load.same[:2] == of.load.same[:2]:
                asked = row.trial.candidate.level
                level = row.load.level if asked is None else asked[1]
                rates.setdefault(level, row.metrics.get("perf_throughput", 0.0))
        highest, stalled = 0.0, 0
        for level in sorted(set(self._plan.curve)):
            if level not in rates:
                return level
            grown = rates[level] > highest * (1.0 + _GROWTH)
            stalled = 0 if grown else stalled + 1
            highest = max(highest, rates[level])
            if stalled >= _STALLED:
                return None
        return None

    # Verification

    def _standings(self) -> tuple[Standing, ...]:
        return rank(self._rows, self._goal)

    def _pair(self) -> tuple[Candidate, Candidate] | None:
        """Return default and contender at their best loads, or None if there are not both."""
        default = next((each for each in self._standings() if each.is_default), None)
        best = contender(self._rows, self._goal)
        if default is None or best is None:
            return None
        return default.best.trial.candidate, best.best.trial.candidate

    def _pairs(self, default: Candidate, best: Candidate) -> set[int]:
        """Return the repetitions that both have been through."""
        return self._repetitions(default) & self._repetitions(best)

    def _repetitions(self, candidate: Candidate, *, measured: bool = False) -> set[int]:
        """Return what a candidate has been through; ``measured``: only what succeeded."""
        return {
            row.trial.repetition
            for row in self._of(Phase.VERIFY)
            if row.trial.candidate == candidate and not (measured and row.failure)
        }

    def _next_of_verification(self) -> Trial | None:
        pair = self._pair()
        if pair is None or len(self._pairs(*pair)) >= self._plan.verify_pairs:
            return None
        default, best = pair
        last = self._rows[-1].trial
        # A pair is only one if nothing came between its halves.
        if last.phase is Phase.VERIFY and last.candidate == default:
            return Trial(candidate=best, phase=Phase.VERIFY, repetition=last.repetition)
        enough = len(self._pairs(*pair)) >= _FEWEST_PAIRS
        if enough and self._spent(Phase.VERIFY, self._plan.verify_seconds):
            return None
        taken = {row.trial.repetition for row in self._of(Phase.VERIFY)}
        fresh = next(number for number in count() if number > max(taken, default=-1))
        return Trial(candidate=default, phase=Phase.VERIFY, repetition=fresh)

    def _verifications_left(self) -> int:
        pair = self._pair()
        if pair is None:
            return 0
        half_done = self._trial is not None and self._trial.candidate == pair[1]
        missing = self._plan.verify_pairs - len(self._pairs(*pair))
        return max(0, 2 * missing - half_done)

    # The estimate

    def _seconds_left(self) -> float | None:
        """Estimate from the mean of what was measured; None where nothing says how long."""
        if self._stage is Stage.DONE:
            return 0.0
        if not self._rows:
            return None
        each = sum(row.seconds for row in self._rows) / len(self._rows)
        if self._stage is Stage.VERIFY:
            return each * self._verifications_left()
        verification = _within(each * 2 * self._plan.verify_pairs, self._plan.verify_seconds)
        curves = _within(
            each * 2 * min(_USUAL_POINTS, len(self._plan.curve)), self._plan.curve_seconds
        )
        if self._stage is Stage.CURVE:
            taken = len(self._of(Phase.CURVE))
            return max(each, curves - each * taken) + verification
        if self._plan.search_seconds is None:
            return None
        search = max(0.0, self._plan.search_seconds - self._seconds(Phase.SEARCH))
        return search + curves + verification

    def _of(self, phase: Phase) -> Sequence[Row]:
        return [row for row in self._rows if row.trial.phase is phase]


def _within(seconds: float, budget: float | None) -> float:
    return seconds if budget is None else min(seconds, budget)


def _setting(candidate: Candidate) -> Candidate:
    """Return a candidate without its load: what has to be launched."""
    return Candidate(tuple(item for item in candidate.items if split(item[0])[1] not in LOADS))


def _loaded(candidate: Candidate, level: float) -> Candidate:
    """Return a candidate under another level of the load that it has, in the level's own kind."""
    name = CONCURRENCY if candidate.level is None else candidate.level[0]
    return candidate.replaced(**{name: int(level) if name == CONCURRENCY else level})
