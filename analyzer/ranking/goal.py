"""What the user wants: objectives to weigh, and constraints to keep. Pure.

Owns the meaning of a goal for one row (score, violation) and the reading of Model Analyzer's
forms of it. Does not own the order of variants (``rank``).

Rules:

1. One objective: the score is its value, negated where less is better.
2. Several: the score is the weighted geometric mean of the ratios to the reference, each
   turned so that more is better: 1 for the reference, 1.2 for a fifth better. (The order is
   that of the weighted sum of logarithms; but like rule 1's, this score is of a kind that
   may be compared in percent, which strategies do.) Weights add up to 1. A ratio counts for
   at most 1000 either way, so that a metric that happens to be 0 does not decide alone.
3. A constraint is broken by a share of its limit; shares add up. A metric that was not
   measured keeps no constraint: what is not known is not promised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from analyzer.errors import UsageError
from analyzer.metrics import BY_TAG, COST, GOODPUT, Direction, is_of_requests
from analyzer.ranking.derived import bounds, enriched
from analyzer.record.outcome import Outcome
from analyzer.record.row import Row
from analyzer.space import joined, split

DEFAULT_OBJECTIVE = "perf_throughput"
_LATENCY, _THROUGHPUT = "perf_latency_p99", "perf_throughput"
_WIDEST_RATIO = 1000.0
_PERCENTILE = re.compile(r"perf_latency_p(\d+)")


@dataclass(frozen=True, slots=True)
class Constraint:
    """Bounds on one metric, in that metric's unit."""

    tag: str
    minimum: float | None = None
    maximum: float | None = None

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return by what share of its limit this is broken; 0 where it holds, 1 if unknown."""
        value = metrics.get(self.tag)
        if value is None:
            return 1.0
        broken = 0.0
        for limit, excess in (
            (self.minimum, (self.minimum or 0.0) - value),
            (self.maximum, value - (self.maximum or 0.0)),
        ):
            if limit is not None and excess > 0.0:
                broken += excess / abs(limit) if limit else excess
        return broken

    def is_sure(self, row: Row) -> bool:
        """Whether a row's interval lies wholly on one side of each limit; also where it has none.

        Else the limit lies within it, and whether it is kept is a matter of luck.
        """
        known = bounds(row, self.tag)
        if known is None:
            return True
        limits = [limit for limit in (self.minimum, self.maximum) if limit is not None]
        return not any(known[0] < limit < known[1] for limit in limits)

    def __str__(self) -> str:
        metric = BY_TAG[self.tag]
        bounds = ((">=", self.minimum), ("<=", self.maximum))
        return " and ".join(
            f"{metric.title} {sign} {limit:g} {metric.unit}"
            for sign, limit in bounds
            if limit is not None
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """Objectives (tag and weight, the weights adding up to 1) under constraints.

    ``cost_per_hour`` is what the machine costs, in whatever money; None: nobody said.
    """

    objectives: tuple[tuple[str, float], ...] = ((DEFAULT_OBJECTIVE, 1.0),)
    constraints: tuple[Constraint, ...] = ()
    cost_per_hour: float | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The metrics that objectives and constraints name, each once."""
        every = [tag for tag, _ in self.objectives] + [each.tag for each in self.constraints]
        return tuple(dict.fromkeys(every))

    @property
    def promise(self) -> tuple[int, float] | None:
        """The percentile of latency that is bounded, and its limit, ms: of several the highest."""
        found = [
            (int(match[1]), each.maximum)
            for each in self.constraints
            if each.maximum is not None and (match := _PERCENTILE.fullmatch(each.tag))
        ]
        return max(found, default=None)

    def priced(self, cost_per_hour: float | None) -> Goal:
        """Return this goal with another price of the machine.

        Raises:
            UsageError: it is none, or the goal needs one.
        """
        goal = replace(self, cost_per_hour=cost_per_hour)
        if problems := _lacking(goal):
            raise UsageError("\n".join(problems))
        return goal

    def seen(self, row: Row) -> Row:
        """Return a row with the metrics that this goal gives it: goodput and cost."""
        limit = None if self.promise is None else self.promise[1]
        return enriched(row, limit, self.cost_per_hour)

    def satisfied(self, metrics: Mapping[str, float]) -> bool:
        """Whether every constraint is known to hold."""
        return not self.violation(metrics)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the sum of the constraints' relative violations."""
        return sum(constraint.violation(metrics) for constraint in self.constraints)

    def unsure(self, row: Row) -> tuple[Constraint, ...]:
        """Return the constraints that a row keeps or breaks by less than its interval is wide."""
        return tuple(each for each in self.constraints if not each.is_sure(row))

    def unmeasured(self, metrics: Mapping[str, float]) -> tuple[str, ...]:
        """Name the objectives and constraints that these metrics say nothing of."""
        return tuple(tag for tag in self.wanted if tag not in metrics)

    def score(self, metrics: Mapping[str, float], reference: Mapping[str, float]) -> float | None:
        """Return how good these metrics are, more is better; None if an objective is missing."""
        if any(tag not in metrics for tag, _ in self.objectives):
            return None
        if len(self.objectives) == 1:
            tag = self.objectives[0][0]
            return BY_TAG[tag].direction.value * metrics[tag]
        return math.exp(
            sum(
                weight * BY_TAG[tag].direction.value * log_ratio(metrics[tag], reference.get(tag))
                for tag, weight in self.objectives
            )
        )

    def outcome(self, row: Row, reference: Row | None = None) -> Outcome:
        """Say what a strategy learns from a row.

        ``reference`` is a row to measure several objectives against, by custom one of the
        default configuration; keep it the same throughout a search.
        """
        row = self.seen(row)
        candidate = row.trial.candidate
        score = None
        if row.failure is None:
            origin = {} if reference is None else self.seen(reference).metrics
            score = self.score(row.metrics, origin)
        if score is None:
            return Outcome(candidate, None, feasible=False, row=row)
        violation = self.violation(row.metrics)
        return Outcome(candidate, score, not violation, violation, row)

    def describe(self) -> str:
        """Say the goal in words."""
        several = len(self.objectives) > 1
        parts = [
            f"{'maximize' if BY_TAG[tag].direction is Direction.MORE else 'minimize'} "
            f"{BY_TAG[tag].title}" + (f" (weight {weight:.2g})" if several else "")
            for tag, weight in self.objectives
        ]
        text = " and ".join(parts)
        if self.constraints:
            text += " with " + ", ".join(str(constraint) for constraint in self.constraints)
        return text


def together(goals: Mapping[str, tuple[float, Goal]]) -> Goal:
    """Return the goal of models that are served together, out of each one's weight and goal.

    What is of a model's requests counts for that model (``MODEL::tag``), with its weight; what is
    of the server or the machine is of all of them. Where several bound it, the narrowest bounds
    count.

    Raises:
        UsageError: a goal names what is not known of each of several models.
    """
    total = sum(weight for weight, _ in goals.values())
    objectives: dict[str, float] = {}
    bounds: dict[str, Constraint] = {}
    for model, (weight, goal) in goals.items():
        for tag in goal.wanted:
            if tag in {GOODPUT, COST}:
                raise UsageError(
                    f"{model}: {tag} is not known of models that are profiled at the same time; "
                    "name another metric, or profile them one by one"
                )
        for tag, share in goal.objectives:
            name = joined(model, tag) if is_of_requests(tag) else tag
            objectives[name] = objectives.get(name, 0.0) + share * weight / total
        for each in goal.constraints:
            name = joined(model, each.tag) if is_of_requests(each.tag) else each.tag
            bounds[name] = _narrower(bounds.get(name), each, name)
    return Goal(tuple(objectives.items()), tuple(bounds.values()))


def _narrower(one: Constraint | None, other: Constraint, name: str) -> Constraint:
    lows = [each.minimum for each in (one, other) if each and each.minimum is not None]
    highs = [each.maximum for each in (one, other) if each and each.maximum is not None]
    return Constraint(name, max(lows, default=None), min(highs, default=None))


def log_ratio(value: float, reference: float | None) -> float:
    """Return log(value / reference), within the widest ratio that counts."""
    usual = 1.0 if reference is None or reference <= 0.0 else reference
    if reference is not None and reference <= 0.0 and value <= 0.0:
        return 0.0
    return math.log(min(max(value / usual, 1.0 / _WIDEST_RATIO), _WIDEST_RATIO))


def parse_goal(
    objectives: Sequence[str] | Mapping[str, float] | None = None,
    constraints: Mapping[str, Mapping[str, float] | None] | None = None,
    latency_budget: float | None = None,
    min_throughput: float | None = None,
    cost_per_hour: float | None = None,
) -> Goal:
    """Read a goal in Model Analyzer's forms.

    ``objectives`` is a list of tags (equal weights) or a mapping of tag to weight; none means
    throughput. ``constraints`` maps a tag to ``{min: x}``, ``{max: x}`` or both.
    ``latency_budget`` (ms) takes the place of the p99 latency's ``max``, and
    ``min_throughput`` (inferences a second) of the throughput's ``min``. ``cost_per_hour`` is what
    the machine costs.

    Raises:
        UsageError: it holds mistakes; the text lists each of them.
    """
    problems: list[str] = []
    wanted = _objectives(objectives, problems)
    bounds = _bounds(constraints or {}, problems)
    for name, tag, side, limit in (
        ("latency_budget", _LATENCY, "max", latency_budget),
        ("min_throughput", _THROUGHPUT, "min", min_throughput),
    ):
        if limit is not None and _is_number(limit, name, problems):
            if limit <= 0:
                problems.append(f"{name}: expected more than 0, found {limit:g}")
            bounds.setdefault(tag, {})[side] = float(limit)
    for tag, sides in bounds.items():
        if len(sides) == 2 and sides["min"] > sides["max"]:  # noqa: PLR2004 - both of them
            problems.append(
                f"constraints: {tag}: min {sides['min']:g} is above max {sides['max']:g}"
            )
    goal = Goal(
        wanted,
        tuple(
            Constraint(tag, minimum=sides.get("min"), maximum=sides.get("max"))
            for tag, sides in bounds.items()
        ),
        cost_per_hour,
    )
    problems += _lacking(goal)
    if problems:
        raise UsageError("\n".join(problems))
    return goal


def _lacking(goal: Goal) -> list[str]:
    """Say what a goal has to state besides, for its metrics to have a meaning."""
    said = []
    if GOODPUT in goal.wanted and goal.promise is None:
        said.append(
            f"{GOODPUT} counts answers within a limit, and none is stated: add latency_budget "
            "(--latency-budget MS), or a max of perf_latency_p50, _p90, _p95 or _p99"
        )
    if COST in goal.wanted and goal.cost_per_hour is None:
        said.append(
            f"{COST} is made of the machine's price, and none is stated: add cost_per_hour "
            "(--cost-per-hour NUMBER)"
        )
    if goal.cost_per_hour is not None and not 0.0 < goal.cost_per_hour < math.inf:
        said.append(f"cost_per_hour: expected a number above 0, found {goal.cost_per_hour:g}")
    return said


def _objectives(
    given: Sequence[str] | Mapping[str, float] | None, problems: list[str]
) -> tuple[tuple[str, float], ...]:
    if not given:
        return ((DEFAULT_OBJECTIVE, 1.0),)
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    pairs = list(given.items()) if isinstance(given, Mapping) else [(name, 1.0) for name in given]
    weights: dict[str, float] = {}
    for name, weight in pairs:
        tag = _tag(name, "objectives", problems)
        if tag is None or not _is_number(weight, f"objectives: {name}", problems):
            continue
        if tag in weights:
            problems.append(f"objectives: {tag} is named twice")
        elif weight <= 0:
            problems.append(f"objectives: {name}: expected a weight above 0, found {weight:g}")
        else:
            weights[tag] = float(weight)
    total = sum(weights.values())
    return tuple((tag, weight / total) for tag, weight in weights.items())


def _bounds(
    given: Mapping[str, Mapping[str, float] | None], problems: list[str]
) -> dict[str, dict[str, float]]:
    bounds: dict[str, dict[str, float]] = {}
    for name, sides in given.items():
        tag = _tag(name, "constraints", problems)
        if not isinstance(sides, Mapping) or not sides or not set(sides) <= {"min", "max"}:
            problems.append(
                f"constraints: {name}: expected {{min: x}}, {{max: x}} or both, found {sides!r}"
            )
            continue
        for side, limit in sides.items():
            if _is_number(limit, f"constraints: {name}: {side}", problems) and tag is not None:
                bounds.setdefault(tag, {})[side] = float(limit)
    return bounds


def _tag(name: object, place: str, problems: list[str]) -> str | None:
    """Return the metric's own tag for a tag, or for an older name of it, of one model or of all."""
    if isinstance(name, str) and split(name)[1] in BY_TAG:
        return BY_TAG[name].tag
    near = get_close_matches(str(name), list(BY_TAG), n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(BY_TAG)}"
    problems.append(f"{place}: no metric named {name!r}; {advice}")
    return None


def _is_number(value: Any, place: str, problems: list[str]) -> bool:  # noqa: ANN401 - from a file
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good:
        problems.append(f"{place}: expected a number, found {value!r}")
    return good
