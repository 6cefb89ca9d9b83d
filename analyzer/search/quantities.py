"""What is learned of candidates: the quantities that goals are made of. Pure.

Rules:

1. A quantity is learned as a logarithm: what makes it larger multiplies it.
2. In a closed loop a latency is what Little's law makes of the throughput, times how much longer
   than the mean it is. Both are smoother than the latency, so those two are learned.
3. Where outcomes bring no metrics, the score and the violation are the two quantities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.metrics import BY_TAG
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Row
from analyzer.search.gp import Floats
from analyzer.space import LOADS, split

Truths = npt.NDArray[np.bool_]

THROUGHPUT = "perf_throughput"
SCORE, VIOLATION = "score", "violation"
_LATENCY = "perf_latency_"
_TINY = 1e-6
#: logarithms of measurements are no surer than this, whatever their intervals say; of latencies'
#: tails, and where there is no interval
_SUREST, _SUREST_TAIL, _USUAL, _USUAL_TAIL = 0.01, 0.03, 0.02, 0.06
#: the half of a 95 % interval in standard deviations
_HALF = 1.96
#: what a violation of nothing counts as: how far within its bounds is not known
_WITHIN = -0.3


@dataclass(frozen=True, slots=True)
class Value:
    """A measured quantity's logarithm, and the standard deviation of its noise."""

    value: float
    noise: float


@dataclass(frozen=True, slots=True)
class Sheet:
    """Which quantities one search learns, and what they make of a candidate.

    ``tags`` are metrics, the throughput among them wherever a latency is; or ``score`` and
    ``violation``. ``closed``: latencies follow from the throughput by rule 2. ``flip`` of scores
    that are all below 0: their logarithms count backwards. ``unit`` is 0 for logarithms of scores,
    else the scores' spread, by which they are divided.
    """

    goal: Goal
    tags: tuple[str, ...]
    closed: bool = True
    flip: bool = False
    unit: float = 0.0

    def values(self, outcome: Outcome) -> Mapping[str, Value]:
        """Read an outcome that has a score; a quantity that was not measured is absent."""
        if SCORE in self.tags:
            found = {SCORE: Value(self._scored(outcome.score or 0.0), _USUAL)}
            if VIOLATION in self.tags:
                far = math.log1p(min(outcome.violation, 1e6)) if not outcome.feasible else _WITHIN
                found[VIOLATION] = Value(max(far, 0.02) if not outcome.feasible else far, 0.1)
            return found
        if outcome.row is None:
            return {}
        return {
            tag: value
            for tag in self.tags
            if (value := self._measured(outcome.row, tag)) is not None
        }

    @property
    def metrics(self) -> tuple[str, ...]:
        """The quantities that are metrics."""
        return tuple(tag for tag in self.tags if tag in BY_TAG)

    @property
    def resources(self) -> bool:
        """Whether there are quantities that the load says nothing of, such as memory."""
        return any(not tag.startswith(("perf_", "server_")) for tag in self.metrics)

    def band(self, tag: str, unsure: Mapping[str, float]) -> float:
        """Return the factor within which a metric lies, up or down, 95 times of 100."""
        sd = unsure[tag]
        if self.is_tail(tag):
            sd = math.hypot(sd, unsure[THROUGHPUT])
        return math.exp(min(_HALF * sd, 20.0))

    def is_tail(self, tag: str) -> bool:
        """Whether a quantity is learned as a ratio to the mean latency."""
        return self.closed and tag.startswith(_LATENCY)

    def utility(self, quantities: Mapping[str, Floats], in_flight: Floats) -> Floats:
        """Return how good candidates are, in logarithms: 0.01 is 1 % better.

        ``in_flight`` holds the logarithms of the rows in flight. Arrays that broadcast.
        """
        if SCORE in self.tags:
            return quantities[SCORE]
        total: Floats = np.zeros(1)
        for tag, weight in self.goal.objectives:
            way = BY_TAG[tag].direction.value
            total = total + weight * way * self._of(tag, quantities, in_flight)
        return total

    def feasible(self, quantities: Mapping[str, Floats], in_flight: Floats) -> Truths:
        """Return where every constraint holds."""
        if VIOLATION in self.tags:
            return np.asarray(quantities[VIOLATION] <= 0.0)
        good: Truths = np.array(True)
        for each in self.goal.constraints:
            if each.tag not in self.tags:
                continue
            found = self._of(each.tag, quantities, in_flight)
            if each.maximum is not None:
                good = good & (found <= math.log(max(each.maximum, _TINY)))
            if each.minimum is not None:
                good = good & (found >= math.log(max(each.minimum, _TINY)))
        return good

    def metric(self, tag: str, quantities: Mapping[str, float], in_flight: float) -> float:
        """Return a metric, in its unit, from logarithms of quantities."""
        made = {name: np.array([value]) for name, value in quantities.items()}
        return float(np.exp(self._of(tag, made, np.array([in_flight])))[0])

    def _of(self, tag: str, quantities: Mapping[str, Floats], in_flight: Floats) -> Floats:
        """Return a metric's logarithm; latencies are in ms, throughputs in 1/s."""
        if not self.is_tail(tag):
            return quantities[tag]
        return in_flight + math.log(1e3) - quantities[THROUGHPUT] + quantities[tag]

    def _scored(self, score: float) -> float:
        if self.unit:
            return score / self.unit
        return -math.log(-score) if self.flip else math.log(score)

    def _measured(self, row: Row, tag: str) -> Value | None:
        value = row.metrics.get(tag)
        if value is None:
            return None
        found = math.log(max(value, _TINY))
        tail = tag.startswith(_LATENCY)
        noise = _USUAL_TAIL if tail else _USUAL
        estimate = row.estimates.get(tag)
        if estimate is not None and value > 0:
            surest = _SUREST_TAIL if tail else _SUREST
            noise = min(max(_half(value, estimate.low, estimate.high) / _HALF, surest), 0.3)
        if self.is_tail(tag):
            rate = row.metrics.get(THROUGHPUT, 0.0)
            if rate <= 0:
                return None
            found += math.log(rate) - math.log(1e3 * row.load.concurrency * row.load.batch_size)
        return Value(found, noise)


def _apart(row: Row) -> bool:
    """Whether several models are loaded, each by itself."""
    named = [split(name) for name, _ in row.trial.candidate.items]
    return any(model and own in LOADS for model, own in named)


def _half(value: float, low: float, high: float) -> float:
    """Return half an interval, in logarithms; an end that is open is as far as the other one."""
    below = math.log(value / low) if 0 < low < value else 0.0
    above = math.log(high / value) if value < high < math.inf else 0.0
    return max(below, above)


def sheet(goal: Goal, outcomes: Sequence[Outcome]) -> Sheet:
    """Choose what is learned from outcomes, of which one at least has a score."""
    scored = [each for each in outcomes if each.score is not None]
    rows = [each.row for each in scored if each.row is not None]
    wanted = [tag for tag, _ in goal.objectives]
    measured = [row for row in rows if all(tag in row.metrics for tag in wanted)]
    if measured:
        bounds = [each.tag for each in goal.constraints]
        there = [tag for tag in bounds if any(tag in row.metrics for row in measured)]
        tags = dict.fromkeys((*wanted, *there))
        # Several models that are loaded at once have no loop in common.
        closed = not any(row.load.request_rate or _apart(row) for row in measured)
        if any(tag.startswith(_LATENCY) for tag in tags) and closed:
            tags = dict.fromkeys((THROUGHPUT, *tags))
        return Sheet(goal, tuple(tags), closed)
    scores = [each.score for each in scored if each.score is not None]
    flip = max(scores) < 0
    mixed = not flip and min(scores) <= 0
    unit = float(np.std(scores)) or 1.0
    broken = any(not each.feasible for each in scored)
    tags_ = (SCORE, VIOLATION) if broken else (SCORE,)
    return Sheet(goal, tags_, flip=flip, unit=unit if mixed else 0.0)
