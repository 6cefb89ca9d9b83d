"""What a recorded surface really is like: means of few repetitions, with less luck. Pure.

The mean of two or three repetitions is still noisy, and where a hundred points are nearly alike the
greatest mean is the luckiest, not the best: it may lie far above anything that can be had. So each
quantity is predicted from the whole grid, as mixed models do (the best linear unbiased prediction):

1. The logarithm of a quantity is an effect of every value of every dimension, plus what pairs of
   values do together, which is alike where the values are neighbours, plus what is the point's own.
2. ``noise`` is the variance of one repetition within its point, once what a whole repetition has in
   common (the machine's day) is taken away; of it each mean has its share.
3. How much pairs and points differ is what makes the means most likely (maximum likelihood), among
   some sizes of both.

Where nothing was measured twice the noise is not known: it has to be assumed, or else the means
stand as they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from analyzer.space import Candidate, Value

Floats = npt.NDArray[np.float64]

#: sizes that are tried of what pairs do and of what is a point's own
_SIZES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
#: how alike the effects of neighbouring values are
_NEXT = 0.6
_JITTER = 1e-10


@dataclass(frozen=True, slots=True)
class Estimated:
    """One quantity of every point, in its unit, and how it came to be.

    Standard deviations of logarithms (0.02 is 2 %): ``noise`` of one repetition, ``pairs`` of what
    two values do together, ``own`` of what is a point's own.
    """

    values: Mapping[Candidate, float]
    noise: float
    pairs: float = 0.0
    own: float = 0.0


def estimate(
    taken: Mapping[Candidate, Mapping[int, float]], assumed: float | None = None
) -> Estimated:
    """Estimate a quantity from repetitions by number, of each point: positive values, one each.

    ``assumed`` is the noise, a standard deviation of logarithms, where nothing was measured twice.
    """
    points = [point for point, values in taken.items() if values]
    logs = _without_drift(
        [{number: math.log(value) for number, value in taken[point].items()} for point in points]
    )
    counts = np.array([len(values) for values in logs], np.float64)
    means = np.array([math.fsum(values.values()) / len(values) for values in logs])
    noise = _within(logs, means)
    if noise is None and assumed is not None and points:
        noise = assumed**2
    if noise is None or noise <= _JITTER:
        # Nothing is known of it, or there is none.
        return Estimated(_plain(points, means), math.sqrt(noise or 0.0))
    design, pairs = _mains(points), _pairs(points)
    fits = [_Fit(design, pairs, means, noise / counts, *sizes) for sizes in product(_SIZES, _SIZES)]
    best = max(fits, key=lambda fit: fit.likely)
    return Estimated(_plain(points, best.predicted), math.sqrt(noise), best.pair, best.own)


class _Fit:
    """The prediction under some size of what pairs do, and of what is each point's own."""

    def __init__(
        self, design: Floats, pairs: Floats, means: Floats, noise: Floats, pair: float, own: float
    ) -> None:
        self.pair, self.own = pair, own
        signal = pair**2 * pairs + own**2 * np.eye(len(means))
        covariance = signal + np.diag(noise + _JITTER)
        factor = np.linalg.cholesky(covariance)
        half, seen = np.linalg.solve(factor, design), np.linalg.solve(factor, means)
        weights = np.linalg.lstsq(half, seen, rcond=1e-9)[0]
        left = seen - half @ weights
        self.likely = -0.5 * float(left @ left) - float(np.log(np.diagonal(factor)).sum())
        around = np.linalg.solve(factor.T, left)
        self.predicted = np.asarray(design @ weights + signal @ around, np.float64)


def _plain(points: Sequence[Candidate], logs: Floats) -> Mapping[Candidate, float]:
    return dict(zip(points, np.exp(logs).tolist(), strict=True))


def _without_drift(logs: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
    """Take from every value what its whole repetition has in common, and no other has."""
    numbers = sorted({number for values in logs for number in values})
    shared = [values for values in logs if len(values) == len(numbers)]
    if not shared or len(numbers) < 2:  # noqa: PLR2004 - nothing to compare
        return [dict(values) for values in logs]
    drift = {number: math.fsum(values[number] for values in shared) / len(shared)
             for number in numbers}  # fmt: skip
    middle = math.fsum(drift.values()) / len(drift)
    return [
        {number: value - drift[number] + middle for number, value in values.items()}
        for values in logs
    ]


def _within(logs: Sequence[Mapping[int, float]], means: Floats) -> float | None:
    """Return the variance of one repetition within its point; None if nothing has two."""
    squares, degrees = 0.0, 0
    for values, mean in zip(logs, means.tolist(), strict=True):
        squares += math.fsum((value - mean) ** 2 for value in values.values())
        degrees += len(values) - 1
    return squares / degrees if degrees else None


def _mains(points: Sequence[Candidate]) -> Floats:
    """Make the columns of what counts in any case: an indicator for each value."""
    names = sorted({name for point in points for name, _ in point.items})
    columns: dict[object, list[int]] = defaultdict(list)
    for row, point in enumerate(points):
        for name in names:
            columns[name, point.get(name)].append(row)
    design = np.zeros((len(points), 1 + len(columns)))
    design[:, 0] = 1.0
    for column, rows in enumerate(columns.values(), 1):
        design[rows, column] = 1.0
    return design


def _pairs(points: Sequence[Candidate]) -> Floats:
    """Return how alike points are in what pairs of their values do, 1 for the same point."""
    names = sorted({name for point in points for name, _ in point.items})
    alike = [_alike([point.get(name) for point in points]) for name in names]
    found = np.zeros((len(points), len(points)))
    every = list(combinations(alike, 2))
    for one, other in every:
        found += one * other
    return found / max(1, len(every))


def _alike(values: Sequence[Value | None]) -> Floats:
    """Return how alike a dimension's values are: the less, the more steps lie between numbers."""
    numbers = [None if isinstance(each, bool | str | None) else float(each) for each in values]
    there = sorted({each for each in numbers if each is not None})
    place = {value: step for step, value in enumerate(there)}
    found = np.zeros((len(values), len(values)))
    codes: dict[object, int] = {}
    kinds = np.array([codes.setdefault(each, len(codes)) for each in values])
    found[kinds[:, None] == kinds[None, :]] = 1.0
    known = np.array([each is not None for each in numbers])
    steps = np.array([0 if each is None else place[each] for each in numbers])
    near = _NEXT ** np.abs(steps[:, None] - steps[None, :])
    both = known[:, None] & known[None, :]
    return np.asarray(np.where(both, near, found), np.float64)
