"""Which variant is best, by how much, and which rows nothing beats. Pure.

Rules:

1. A variant stands by its best row: the best that keeps the constraints, else the one that
   breaks them least. Variants that keep them come first.
2. Only rows of the search and of the load curves rank. Verification repeats few variants
   many times; were those rows ranked, whoever is measured most often would look best, and
   the choice and its proof would share their luck.
   What the search itself measured again counts once, by the mean of all repetitions.
3. Equal digests are one variant, whatever they are called.
4. What a verification refutes does not count: where a variant broke a constraint on average of its
   repetitions at a load, its row at that load breaks it too, whatever the search saw there.
5. Of finalists that were verified by turns the one that came out ahead is the contender
   (``race``). Its gain's interval is then widened for the choice (``interval.paired_best``), so
   that choice and proof may rest on the same rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from analyzer.metrics import BY_TAG, Direction
from analyzer.ranking import race, unverified
from analyzer.ranking.goal import Goal
from analyzer.ranking.interval import paired_best
from analyzer.ranking.repeats import identity, measured, merged, rounds
from analyzer.record.row import Phase, Row

#: so many repetitions it takes to refute what the search saw
_FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One variant, and how it did. ``rows`` are its measured ones, by load."""

    variant: str
    digest: str
    is_default: bool
    best: Row
    rows: tuple[Row, ...]
    satisfies: bool
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better the contender is than the default: percent, and its 95 % interval.

    Positive is better: higher for a metric of which more is better, lower for the others.
    ``tag`` is the objective's, or several joined by ``+`` (then the weighted ratio counts).
    ``low`` and ``high`` are None where one measurement of each is all there is. ``pairs``
    counts the interleaved repetitions; ``method`` says in words how the interval was made.
    """

    tag: str
    percent: float
    low: float | None
    high: float | None
    pairs: int
    method: str

    @property
    def proven(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low is not None and self.low > 0.0

    @property
    def disproven(self) -> bool:
        """Whether repetitions have put the whole interval below 0."""
        return self.pairs > 0 and self.high is not None and self.high < 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What an order says: ``sound`` are the reliable of it, ``entered`` the contender's field."""

    standings: tuple[Standing, ...]
    sound: tuple[Standing, ...]
    entered: tuple[Standing, ...]
    contender: Standing | None
    gain: Gain | None
    recommended: Standing | None

    @property
    def default(self) -> Standing | None:
        """The default configuration, if it was measured."""
        return next((each for each in self.standings if each.is_default), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuted:
    """A row of the search that kept the constraints, where its verification did not (rule 4).

    ``metrics`` are the verification's means, of the constraints alone, over ``times`` repetitions.
    """

    row: Row
    metrics: Mapping[str, float]
    violation: float
    times: int


def is_default(row: Row) -> bool:
    """Whether a row measured the default configuration."""
    return row.variant == f"{row.model}_config_default"


def reference(rows: Sequence[Row]) -> Row | None:
    """Return the row that several objectives are measured against: the default's first."""
    every = (row for row in rows if row.failure is None and is_default(row))
    return min(every, key=lambda row: row.number, default=None)


def failures(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows that could not be measured."""
    return tuple(row for row in rows if row.failure is not None)


def refuted(rows: Sequence[Row], goal: Goal) -> tuple[Refuted, ...]:
    """Return the rows that keep the constraints as measured, but not on average when verified.

    One repetition refutes nothing: it may have been the unlucky one.
    """
    tags = {each.tag for each in goal.constraints}
    again: dict[object, list[Row]] = {}
    for row in rows if tags else ():
        if row.trial.phase is Phase.VERIFY and row.failure is None:
            again.setdefault((identity(row), row.load.same), []).append(goal.seen(row))
    found = []
    for row in _ranked(rows, goal) if again else ():
        repeats = again.get((identity(row), row.load.same), [])
        if len(repeats) < _FEWEST:
            continue
        known = [tag for tag in tags if all(tag in each.metrics for each in repeats)]
        means = {tag: fmean(each.metrics[tag] for each in repeats) for tag in known}
        if (violation := goal.violation(means)) and goal.satisfied(row.metrics):
            found.append(Refuted(row=row, metrics=means, violation=violation, times=len(repeats)))
    return tuple(found)


def rank(rows: Sequence[Row], goal: Goal) -> tuple[Standing, ...]:
    """Order the variants, the best first; those never measured are left out."""
    against = reference(rows)
    origin: Mapping[str, float] = {} if against is None else goal.seen(against).metrics
    broken = {each.row.number: each.violation for each in refuted(rows, goal)}
    groups: dict[tuple[str, str], list[_Scored]] = {}
    for row in _ranked(rows, goal):
        score = goal.score(row.metrics, origin)
        if score is not None:
            violation = broken.get(row.number) or goal.violation(row.metrics)
            groups.setdefault(identity(row), []).append(_Scored(score, violation, row))
    standings = []
    for scored in groups.values():
        best = min(scored, key=_Scored.order)
        named = next((each.row for each in scored if is_default(each.row)), scored[0].row)
        standing = Standing(
            variant=named.variant,
            digest=best.row.digest,
            is_default=is_default(named),
            best=best.row,
            rows=tuple(sorted((each.row for each in scored), key=_by_load)),
            satisfies=not best.violation,
            score=best.score,
        )
        standings.append((best.order(), standing))
    return tuple(standing for _, standing in sorted(standings, key=lambda pair: pair[0]))


def contender(rows: Sequence[Row], goal: Goal) -> Standing | None:
    """Return the best variant that is not the default, to be compared with it.

    The first in rank; where several were verified, the one that came out ahead. None if there is
    no other, or if the default keeps the constraints and no other does.
    """
    return judge(rows, goal).contender


def _first(rows: Sequence[Row], goal: Goal, entered: Sequence[Standing]) -> Standing | None:
    if not entered:
        return None
    first = race.ahead(rows, goal, [each.best for each in entered])
    return next(each for each in entered if each.best.number == first.number)


def reliable(rows: Sequence[Row], goal: Goal) -> tuple[Standing, ...]:
    """Leave out of the order whoever the verification showed not to come up as a rule."""
    return _reliable(rows, rank(rows, goal))


def _reliable(rows: Sequence[Row], standings: Sequence[Standing]) -> tuple[Standing, ...]:
    default = next((each.best for each in standings if each.is_default), None)
    checks = _checks(rows)
    return tuple(
        each
        for each in standings
        if each.is_default or not race.unreliable(checks, each.best, default)
    )


def field(rows: Sequence[Row], goal: Goal) -> tuple[Standing, ...]:
    """Return those among whom the contender is found: the first in rank and its rivals.

    Rivals are those that have been through rounds of the verification with it. Who failed there
    is passed over.
    """
    return _field(rows, reliable(rows, goal))


def _field(rows: Sequence[Row], standings: Sequence[Standing]) -> tuple[Standing, ...]:
    others = [each for each in standings if not each.is_default]
    default = next((each for each in standings if each.is_default), None)
    if not others or (default is not None and default.satisfies and not others[0].satisfies):
        return ()
    first, *rest = others
    checks = _checks(rows)
    rivals = [
        each for each in rest
        if each.satisfies == first.satisfies and race.comparable(checks, first.best, each.best)
    ]  # fmt: skip
    return first, *rivals


def _checks(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the verification, few among thousands: they are looked through often."""
    return [row for row in rows if row.trial.phase is Phase.VERIFY]


def recommended(rows: Sequence[Row], goal: Goal) -> Standing | None:
    """Return the variant to serve, or None where nothing was measured.

    The first in rank; but where contender and default both keep the constraints and were
    measured by turns, the contender only if these repetitions prove it better. The search's
    own order is biased (it names whoever was luckiest), and a change without a proven gain is
    one to be spared: it may well cost elsewhere, in latency or in memory.
    """
    return judge(rows, goal).recommended


def judge(rows: Sequence[Row], goal: Goal) -> Judgement:
    """Say all of that at once, from one order: who asks for several of them, of many rows."""
    rows = [goal.seen(row) for row in rows]
    standings = rank(rows, goal)
    sound = _reliable(rows, standings)
    entered = _field(rows, sound)
    best = _first(rows, goal, entered)
    found = Judgement(
        standings=standings, sound=sound, entered=entered, contender=best, gain=None,
        recommended=None,
    )  # fmt: skip
    proof = _gain(rows, goal, found, goal.objectives)
    return replace(found, gain=proof, recommended=_recommended(found, proof))


def _recommended(found: Judgement, proof: Gain | None) -> Standing | None:
    default, best, sound = found.default, found.contender, found.sound or found.standings
    if default is None or best is None or proof is None or not proof.pairs:
        return next(iter(sound), None)
    if not (default.satisfies and best.satisfies):
        return best if best.satisfies else sound[0]
    return best if proof.proven else default


def pareto(
    rows: Sequence[Row], x: str = "perf_latency_p99", y: str = "perf_throughput"
) -> tuple[Row, ...]:
    """Return the rows that no other row beats in both metrics, by ``x`` from its better end.

    Of rows that are equal in both the first one stays. (``frontier`` has the set in all that a
    configuration gives and costs.)

    Raises:
        KeyError: there is no metric of that tag.
    """
    signs = BY_TAG[x].direction.value, BY_TAG[y].direction.value
    points = [
        (signs[0] * row.metrics[x], signs[1] * row.metrics[y], row)
        for row in _ranked(rows, Goal())
        if x in row.metrics and y in row.metrics
    ]
    front: list[Row] = []
    best_y = -math.inf
    for _, point_y, row in sorted(points, key=lambda point: (-point[0], -point[1])):
        if point_y > best_y:
            front.append(row)
            best_y = point_y
    return tuple(front)


def gain(rows: Sequence[Row], goal: Goal, tag: str | None = None) -> Gain | None:
    """Compare the contender with the default, each at its own best load.

    By ``goal``'s objectives, or by the metric ``tag``. From the verification's pairs if there
    are two or more at these loads; else from each one's best row, as ``unverified`` says. None if
    there is no contender, or the default was never measured, or one of them lacks the metric.
    """
    if tag is None:
        return judge(rows, goal).gain
    return _gain(rows, goal, judge(rows, goal), ((BY_TAG[tag].tag, 1.0),))


def _gain(
    rows: Sequence[Row], goal: Goal, found: Judgement, weights: Sequence[tuple[str, float]]
) -> Gain | None:
    default, best = found.default, found.contender
    if default is None or best is None:
        return None
    best_row, default_row = best.best, default.best
    # A metric of which less is better is told as its own ratio: 10 ms to 5 ms is 50 % better.
    less = len(weights) == 1 and BY_TAG[weights[0][0]].direction is Direction.LESS
    plain = race.advantage(best_row, default_row, weights)
    if plain is None:
        return None
    seen = [goal.seen(row) for row in rows if row.trial.phase is Phase.VERIFY]
    ratios = _verified(seen, best_row, default_row, weights)
    rivals = [each.best for each in found.entered if each.digest != best.digest]
    others = [_verified(seen, rival, default_row, weights) for rival in rivals]
    interval = paired_best(ratios, others)
    if interval is not None:
        pairs, method = len(ratios), f"paired t interval over {len(ratios)} interleaved repetitions"
        if rivals:
            method += f", widened for the choice among {len(rivals) + 1} finalists"
    else:
        interval, method = unverified.advantage(best_row, default_row, weights)
        pairs = 0
    middle = plain if interval is None else interval.middle
    return Gain(
        tag="+".join(name for name, _ in weights),
        percent=_percent(middle, less=less),
        low=None if interval is None else _percent(interval.low, less=less),
        high=None if interval is None else _percent(interval.high, less=less),
        pairs=pairs,
        method=method,
    )


def _percent(advantage: float, *, less: bool) -> float:
    """Tell a log advantage as percent: of growth, or of shrinking."""
    return -100.0 * math.expm1(-advantage) if less else 100.0 * math.expm1(advantage)


@dataclass(frozen=True, slots=True)
class _Scored:
    score: float
    violation: float
    row: Row

    def order(self) -> tuple[float, float, bool, int]:
        """Sort key, the best first; of equals the default, then what was measured earlier."""
        return self.violation, -self.score, not is_default(self.row), self.row.number


def _ranked(rows: Sequence[Row], goal: Goal) -> list[Row]:
    """Return the rows that rank (rule 2), with the metrics that the goal gives them."""
    measured = (row for row in merged(rows) if row.failure is None)
    return [goal.seen(row) for row in measured if row.trial.phase.ranks and row.describes]


def _by_load(row: Row) -> tuple[tuple[int, bool, float], int]:
    return row.load.same, row.number


def _verified(
    rows: Sequence[Row], best: Row, default: Row, weights: Sequence[tuple[str, float]]
) -> list[float]:
    """Return the log advantage of each pair of verification rows at these two loads."""
    ours, theirs = (measured(rounds(rows, each)) for each in (best, default))
    advantages = (
        race.advantage(ours[number], theirs[number], weights)
        for number in sorted(ours.keys() & theirs.keys())
    )
    return [each for each in advantages if each is not None]
