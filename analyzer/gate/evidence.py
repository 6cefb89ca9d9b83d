"""What blocks say about one quantity: how much worse, pair by pair, and how sure that is. Pure.

Owns what one independent observation is. Two processes differ by what they were dealt when they
were launched (memory layout, placement), and all their blocks share it. So one observation is a
launch of both sides: the mean, over its pairs, of the logarithm of the ratio. Pairs of one launch
taken for several observations would make intervals too narrow, by as much as launches differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from analyzer.gate.values import Block, Gate, Quantity, Side, Verdict
from analyzer.ranking.interval import Interval, paired
from analyzer.statistics.distributions import t_quantile, t_tail
from analyzer.statistics.estimate import Estimate

#: that of the intervals of either side by itself
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Launch:
    """All blocks of one launch of both sides; ``pairs`` are those that both have."""

    pairs: tuple[tuple[tuple[Block, ...], tuple[Block, ...]], ...]
    seconds: float

    def of(self, side: Side) -> tuple[Block, ...]:
        """Return a side's blocks, of whole pairs."""
        place = 0 if side is Side.BASELINE else 1
        return tuple(block for pair in self.pairs for block in pair[place])


def launches(
    blocks: Iterable[Block], per_launch: int = 1, needed: Sequence[Side] = tuple(Side)
) -> tuple[Launch, ...]:
    """Sort blocks, given in any order, into launches that are through.

    A pair is whole with a block of every side that is ``needed``, and a launch is through with
    ``per_launch`` whole pairs; what is less is left out.
    """
    every: dict[int, dict[int, dict[Side, list[Block]]]] = {}
    for block in blocks:
        pair = every.setdefault(block.launch, {}).setdefault(block.pair, {})
        pair.setdefault(block.side, []).append(block)
    found = []
    for _, of_launch in sorted(every.items()):
        whole = [pair for _, pair in sorted(of_launch.items()) if pair.keys() >= set(needed)]
        if len(whole) < per_launch:
            continue
        pairs = tuple(
            (tuple(pair.get(Side.BASELINE, ())), tuple(pair.get(Side.CANDIDATE, ())))
            for pair in whole
        )
        took = math.fsum(
            block.seconds for pair in of_launch.values() for side in pair.values() for block in side
        )
        found.append(Launch(pairs, took))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Compared:
    """The worsening in each launch, in order; ``why`` there are none, "" where there are."""

    worsenings: tuple[float, ...]
    why: str = ""


def compared(gate: Gate, every: Sequence[Launch]) -> Compared:
    """Compare the sides in each launch, or the candidate with an absolute bound."""
    of = gate.quantity
    needed = (Side.CANDIDATE,) if gate.bound is not None else tuple(Side)
    lacking = {
        side.value
        for launch in every
        for side in needed
        for block in launch.of(side)
        if block.value(of.tag) is None
    }
    if lacking:
        return Compared((), f"{of.tag} was not measured of the {' and the '.join(sorted(lacking))}")
    if gate.bound is not None:
        limit = gate.bound
        return Compared(
            tuple(
                fmean(of.worsening(limit, _value(block, of)) for block in launch.of(Side.CANDIDATE))
                for launch in every
            )
        )
    return Compared(tuple(fmean(_ratio(pair, of) for pair in launch.pairs) for launch in every))


def _ratio(pair: tuple[tuple[Block, ...], tuple[Block, ...]], of: Quantity) -> float:
    """Compare the sides of one pair; a side may have been measured several times in it."""
    before, after = ([_value(block, of) for block in side] for side in pair)
    if len(before) == len(after) == 1:
        return of.worsening(before[0], after[0])
    return fmean(of.worsening(one, other) for one in before for other in after)


def _value(block: Block, of: Quantity) -> float:
    value = block.value(of.tag)
    assert value is not None
    return value


@dataclass(frozen=True, slots=True)
class Evidence:
    """A mean worsening and its standard error, of ``count`` >= 2 independent observations."""

    mean: float
    error: float
    count: int

    @classmethod
    def of(cls, worsenings: Sequence[float]) -> Evidence:
        """Sum up two finite observations or more."""
        middle = fmean(worsenings)
        count = len(worsenings)
        return cls(middle, math.sqrt(variance(worsenings, middle) / count), count)

    def interval(self, error: float) -> Interval:
        """Bound the truth by Student's t; each end fails with the probability ``error``."""
        reach = t_quantile(1.0 - error, self.count - 1) * self.error
        return Interval(self.mean, self.mean - reach, self.mean + reach)

    def chance(self, margin: float) -> float:
        """Return how likely so much, or more, would be if the truth were only ``margin``."""
        if not self.error:
            return 0.0 if self.mean > margin else 1.0
        t = (self.mean - margin) / self.error
        tail = t_tail(abs(t), self.count - 1)
        return tail if t > 0 else 1.0 - tail


def judge(interval: Interval, *, margin: float, tolerance: float) -> Verdict:
    """Judge a worsening by its interval: the one rule of all that varies.

    PASS: all of it is within the tolerance. FAIL: all of it is beyond the margin, and it reaches
    beyond the tolerance; so its middle is nearer to the tolerance than to the margin. With
    ``margin <= tolerance`` no interval is both. What is truly at the margin fails, and what is
    truly at the tolerance passes, no more often than the interval fails on that side.
    """
    if interval.high <= tolerance:
        return Verdict.PASS
    if interval.low > margin:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def estimated(values: Sequence[float]) -> Estimate | None:
    """Estimate a side's own level: the geometric mean, where all are above 0; None without any.

    One value has no spread, and its interval no ends.
    """
    if not values:
        return None
    above = min(values) > 0
    found = [math.log(value) for value in values] if above else list(values)
    bounds = paired(found, CONFIDENCE) or Interval(fmean(found), -math.inf, math.inf)
    middle, low, high = (
        math.exp(min(each, _MOST)) if above else each
        for each in (bounds.middle, bounds.low, bounds.high)
    )
    # Of the mean of one logarithm, exp does not give the same value back.
    value = values[0] if len(values) == 1 else middle
    return Estimate(
        value=value, low=max(low, 0.0), high=math.inf if bounds.high > _MOST else high,
        confidence=CONFIDENCE, n=len(values), effective_n=len(values),
    )  # fmt: skip


#: exp overflows soon after it
_MOST = 700.0
