"""From what batches took to a curve: robust, weighted, and never falling. Pure.

Source of what is fitted: the statistics extension's times by batch size, each with how many
executions it is the mean of. A straight line, and lines with one knee, are fitted to them by
least squares of relative errors, in which outliers count little (Huber's weights); the knee stays
if it explains enough. Sizes that ran often then have their own say: a time is the measured one and
the line's, weighted by how often it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.simulation.service import Curve

Floats = npt.NDArray[np.float64]

#: the line's say, in executions
_LINE_SAYS = 20.0
#: beyond so many executions a mean is no better for what matters here
_ENOUGH = 500.0
#: relative errors beyond so many typical ones count less (Huber)
_OUTLYING = 1.5
_STEPS = 8
#: what a knee has to explain: this times the logarithm of the number of sizes (BIC's penalty)
_KNEE_COSTS = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Batches of ``rows`` took ``ns`` on the mean of ``count`` executions."""

    rows: int
    ns: float
    count: float


def curve_of(samples: Sequence[Sample], largest: int) -> Curve:
    """Fit a curve to samples of any sizes, several of one size among them.

    It has knots at 1 and ``largest`` besides the sizes that were seen.

    Raises:
        ValueError: there is no sample, or one took no time.
    """
    if not samples or any(not one.ns > 0 for one in samples):
        raise ValueError("a curve needs samples that took some time")
    rows, times, counts = _by_size(samples)
    line = _line(rows, times, counts)
    sizes = sorted({1, *map(int, rows), max(largest, int(rows[-1]))})
    measured = dict(
        zip(map(int, rows), zip(times.tolist(), counts.tolist(), strict=True), strict=True)
    )
    fitted, says = [], []
    for size in sizes:
        time, count = measured.get(size, (0.0, 0.0))
        fitted.append((line(size) * _LINE_SAYS + time * count) / (_LINE_SAYS + count))
        says.append(_LINE_SAYS + count)
    risen = _rising(fitted, says)
    return Curve(tuple(zip(sizes, risen, strict=True)))


def _by_size(samples: Sequence[Sample]) -> tuple[Floats, Floats, Floats]:
    """Give sizes, their mean times (geometric: errors are relative) and their executions."""
    sizes = sorted({one.rows for one in samples})
    times, counts = [], []
    for size in sizes:
        mine = [one for one in samples if one.rows == size]
        weight = sum(one.count for one in mine)
        times.append(math.exp(sum(one.count * math.log(one.ns) for one in mine) / weight))
        counts.append(min(weight, _ENOUGH))
    return np.array(sizes, float), np.array(times), np.array(counts)


class _Line:
    """``fixed + slope * k``, and ``bend`` more for each row beyond ``knee``; nothing negative."""

    def __init__(self, fixed: float, slope: float, bend: float = 0.0, knee: float = 0.0) -> None:
        self._terms = (fixed, slope, bend, knee)

    def __call__(self, rows: float) -> float:
        fixed, slope, bend, knee = self._terms
        return fixed + slope * rows + bend * max(0.0, rows - knee)


def _line(rows: Floats, times: Floats, counts: Floats) -> _Line:
    if len(rows) == 1:
        # Nothing says what is fixed: rows cost as much as a batch, which no batch exceeds by much.
        return _Line(0.0, float(times[0] / rows[0]))
    ones = np.ones_like(rows)
    best, loss = _solve((ones, rows), times, counts)
    line = _Line(*best)
    price = _KNEE_COSTS * math.log(len(rows)) / len(rows)
    for knee in rows[1:-1].tolist():
        # Below and above the knee, each with a slope of its own that is not negative.
        below, above = np.minimum(rows, knee), np.maximum(0.0, rows - knee)
        (fixed, slope, after), bent = _solve((ones, below, above), times, counts)
        if math.log(max(bent, 1e-12)) + price < math.log(max(loss, 1e-12)):
            loss, line = bent * math.exp(price), _Line(fixed, slope, after - slope, knee)
    return line


def _solve(
    columns: Sequence[Floats], times: Floats, counts: Floats
) -> tuple[tuple[float, ...], float]:
    """Fit factors >= 0 of columns by Huber's weights; give them, and the mean squared error."""
    design = np.stack(columns, axis=1) / times[:, None]
    target = np.ones_like(times)
    weights = counts.copy()
    factors = np.zeros(len(columns))
    for _ in range(_STEPS):
        factors = _non_negative(design, target, weights)
        errors = np.abs(design @ factors - target)
        typical = 1.4826 * float(np.median(errors)) + 1e-9
        far = np.maximum(1.0, errors / (_OUTLYING * typical))
        weights = counts / far
    errors = design @ factors - target
    loss = float((weights * errors * errors).sum() / weights.sum())
    return tuple(map(float, factors)), loss


def _non_negative(design: Floats, target: Floats, weights: Floats) -> Floats:
    """Least squares with factors >= 0: of the ways to leave columns out, the best that is so."""
    roots = np.sqrt(weights)
    scaled, wanted = design * roots[:, None], target * roots
    count = design.shape[1]
    best, least = np.zeros(count), math.inf
    for mask in range(1, 1 << count):
        kept = [place for place in range(count) if mask >> place & 1]
        found = np.linalg.lstsq(scaled[:, kept], wanted, rcond=None)[0]
        if (found < 0).any():
            continue
        loss = float(((scaled[:, kept] @ found - wanted) ** 2).sum())
        if loss < least:
            least, best = loss, np.zeros(count)
            best[kept] = found
    return best


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Make values rise (or stay) by joining neighbours that fall to their mean."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, wa, na), (b, wb, nb) = pools[-2:]
            pools[-2:] = [((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)]
    return [value for value, _, count in pools for _ in range(count)]
