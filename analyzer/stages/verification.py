"""The verification: default and finalists raced by turns until it is clear who wins. Pure.

Rules:

1. Finalists are the best other variant and those whose objectives the search cannot tell from
   its, three at most. Also where the default leads: that nothing beats it is a claim like any
   other. Each more than one costs rounds of its own, so there are as many as the time has room
   for beside the rounds of default and leader.
2. A round measures the default and every finalist once, each in a new server process. Every other
   round goes the other way about, so that a drift of the machine shows as spread, and not as
   somebody's gain. What was interrupted by something else is no round, and begins anew.
3. A finalist leaves the race when it is clearly behind the leader (5 % is the probability that
   the best of all is among those that leave, shared out over rounds and finalists), when it
   failed twice and the default did not, or when there is no time left to tell it from the leader.
4. Two whole rounds are taken (an interval needs them), and more until the plan's number is
   reached, or the gain's interval is as narrow as was asked for (finalists that are left then
   differ by no more than that), or another round would not end in time. An interval of two rounds
   is narrow by luck where it is, so precision is looked at from three on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.ranking import race
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, gain, rank
from analyzer.ranking.repeats import alike, measured, rounds
from analyzer.record.row import Phase, Row, Trial, Why
from analyzer.stages.pace import Pace
from analyzer.stages.plan import Plan
from analyzer.stages.told import Told

#: the probability that the best finalist is dropped
ERROR = 0.05
#: rounds from which the width of an interval says something
_FEWEST_TO_JUDGE = 3
#: a start differs from the next by this, whatever an interval from within a run says
_LEAST_REACH = 0.02
#: an interval without an end says that nothing is known, and not that everybody is alike
_MOST_REACH = 0.2


@dataclass(frozen=True, slots=True)
class Dropped:
    """A finalist that left the race, and why."""

    runner: Row
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Where the verification stands.

    Runners are rows that name a variant and its load: the best of the search. ``whole`` counts
    the rounds that all who are still running have been through; ``trial`` is the next
    measurement, and where it is None ``ended`` says why. ``compared`` counts the rounds in which
    default and leader were both measured.
    """

    default: Row
    running: tuple[Row, ...]
    dropped: tuple[Dropped, ...]
    whole: int
    compared: int
    missing: tuple[Row, ...]
    trial: Trial | None
    ended: str

    def left(self, most_rounds: int, affordable: float) -> int:
        """Return how many measurements are to come, where so many can still be afforded."""
        if self.trial is None:
            return 0
        each, after = 1 + len(self.running), self.whole + bool(self.missing)
        in_time = (affordable - len(self.missing)) // each
        due = max(in_time, race.FEWEST - after)
        return len(self.missing) + each * max(0, int(min(most_rounds - after, due)))


def stand(told: Told, goal: Goal, plan: Plan, pace: Pace) -> Race | None:
    """Say where the verification stands; None where there is nobody to compare."""
    default, finalists = _entered(told, goal, plan, pace)
    if default is None or not (finalists or _failed(told, goal, default)):
        return None
    running, dropped = _running(told, goal, plan, pace, default, finalists)
    whole = _whole(told, (default, *running))
    missing = _missing(told, (default, *running)) if running else ()
    ended = "" if missing else _ended(told, goal, plan, pace, running, whole)
    trial = None
    if not ended:
        order = (default, *running)
        number = _last(told) if missing else _fresh(told)
        runner = (missing or (order[::-1] if number % 2 else order))[0]
        trial = _trial(runner, number, len(running))
        missing = missing or order
    return Race(
        default=default, running=running, dropped=dropped, whole=whole,
        compared=_compared(told, goal, default, running),
        missing=missing, trial=trial, ended=ended,
    )  # fmt: skip


def _entered(told: Told, goal: Goal, plan: Plan, pace: Pace) -> tuple[Row | None, tuple[Row, ...]]:
    """Return default and finalists, in the search's order (rule 1)."""
    standings = rank(told.rows, goal)
    default = next((each for each in standings if each.is_default), None)
    if default is None:
        return None, ()
    others = [
        each for each in standings
        if not each.is_default and not race.unreliable(told.rows, each.best, default.best)
    ]  # fmt: skip
    if not others or (default.satisfies and not others[0].satisfies):
        return default.best, ()
    room = (pace.verifications() - 2 * plan.verify_pairs) / race.FEWEST
    most = max(1, min(plan.finalists, 1 + int(min(room, plan.finalists))))
    rivals = [each.best for each in others[1:] if _alike(goal, others[0], each)]
    return default.best, (others[0].best, *rivals[: most - 1])


def _alike(goal: Goal, leader: Standing, other: Standing) -> bool:
    """Whether the search cannot tell two apart: their intervals overlap."""
    if leader.satisfies != other.satisfies:
        return False
    ahead = race.advantage(leader.best, other.best, goal.objectives)
    reach = sum(
        weight * _width(row, tag)
        for tag, weight in goal.objectives
        for row in (leader.best, other.best)
    )
    return ahead is not None and ahead <= max(reach, _LEAST_REACH)


def _width(row: Row, tag: str) -> float:
    """Return half the width of a row's interval as a share of the value."""
    estimate = row.estimates.get(tag)
    return 0.0 if estimate is None else min(estimate.relative, _MOST_REACH)


def _running(
    told: Told, goal: Goal, plan: Plan, pace: Pace, default: Row, finalists: tuple[Row, ...]
) -> tuple[tuple[Row, ...], tuple[Dropped, ...]]:
    """Say who is still in the race, and why the others are not (rule 3).

    Who has left has no more rounds, and those that all had in common are looked at first: so
    what was decided then is decided the same way ever after.
    """
    running, dropped = finalists, _failed(told, goal, default)
    error = ERROR / max(1, plan.verify_pairs - 1) / max(1, len(finalists) - 1)
    while len(running) > 1:
        if behind := race.behind(told.rows, goal, running, default, error):
            reason = "was clearly behind the leader"
        elif (last := _too_many(told, goal, plan, pace, (default, *running))) is not None:
            behind, reason = (last,), "was behind, and no time was left to tell it from the leader"
        else:
            break
        dropped += [Dropped(each, reason) for each in behind]
        running = tuple(each for each in running if each not in behind)
    return running, tuple(dropped)


def _failed(told: Told, goal: Goal, default: Row) -> list[Dropped]:
    return [
        Dropped(each.best, "failed in the verification")
        for each in rank(told.rows, goal)
        if not each.is_default and race.unreliable(told.rows, each.best, default)
    ]


def _too_many(
    told: Told, goal: Goal, plan: Plan, pace: Pace, runners: tuple[Row, ...]
) -> Row | None:
    """Return the hindmost, if there is no time for everybody's missing rounds."""
    whole = _whole(told, runners)
    if whole < race.FEWEST or plan.verify_pairs - whole <= pace.rounds(len(runners)):
        return None
    left = list(runners[1:])
    while len(left) > 1:
        left.remove(race.ahead(told.rows, goal, left))
    return left[0]


def _ended(
    told: Told, goal: Goal, plan: Plan, pace: Pace, running: tuple[Row, ...], whole: int
) -> str:
    """Say why no further round is begun; "" where one is."""
    begun = len({row.trial.repetition for row in told.of(Phase.VERIFY)})
    if not plan.verify_pairs:
        return "no rounds of it were asked for"
    if not running or whole >= plan.verify_pairs:
        return "all its rounds were taken" if running else "no finalist could be relied on"
    if not begun and pace.whole_over():
        return "its time was spent before it began"
    # What its rounds refuted makes room for another, who is due two rounds as well; but once.
    if whole < race.FEWEST and begun < 2 * race.FEWEST:
        return ""
    if plan.precision is not None and whole >= _FEWEST_TO_JUDGE:
        half = _half_width(told, goal)
        if half is not None and half <= plan.precision:
            return f"the gain is known to {100 * half:.2g} %"
    return "its time was spent" if pace.rounds(1 + len(running)) < 1.0 else ""


def _half_width(told: Told, goal: Goal) -> float | None:
    """Return half the width of the gain's interval, as a share."""
    found = gain(told.rows, goal)
    if found is None or found.low is None or found.high is None:
        return None
    return (found.high - found.low) / 200.0


def _whole(told: Told, runners: Sequence[Row]) -> int:
    """Count the rounds that all of these have been through, failed or not."""
    return len(set.intersection(*(set(rounds(told.rows, each)) for each in runners)))


def _compared(told: Told, goal: Goal, default: Row, running: Sequence[Row]) -> int:
    if not running:
        return 0
    both = (default, race.ahead(told.rows, goal, running))
    return len(set.intersection(*(set(measured(rounds(told.rows, each))) for each in both)))


def _missing(told: Told, runners: Sequence[Row]) -> tuple[Row, ...]:
    """Return who is still to run in the round that is under way; nobody if none is."""
    last = told.rows[-1].trial
    if last.phase is not Phase.VERIFY:
        return ()
    taken: list[Row] = []
    for row in reversed(told.rows):
        if row.trial.phase is not Phase.VERIFY or row.trial.repetition != last.repetition:
            break
        taken.append(row)
    missing = [each for each in runners if not any(alike(each, row) for row in taken)]
    if last.repetition % 2:
        missing.reverse()
    return tuple(missing) if len(missing) < len(runners) else ()


def _last(told: Told) -> int:
    return told.rows[-1].trial.repetition


def _fresh(told: Told) -> int:
    return max((row.trial.repetition for row in told.of(Phase.VERIFY)), default=-1) + 1


def _trial(runner: Row, number: int, finalists: int) -> Trial:
    several = f"{finalists} finalists" if finalists > 1 else "the best"
    text = f"round {number + 1} of the default against {several}, each in a new server"
    expected = {tag: runner.metrics[tag] for tag in _SHOWN if tag in runner.metrics}
    return Trial(
        candidate=runner.trial.candidate, phase=Phase.VERIFY, repetition=number,
        why=Why(text, expected),
    )  # fmt: skip


_SHOWN = ("perf_throughput", "perf_latency_p99")
