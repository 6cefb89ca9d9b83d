"""What a recorded surface really is like: means of few repetitions, with less luck. Pure.

The mean of two or three repetitions is still noisy, and where a hundred points are nearly alike the
greatest mean is the luckiest, not the best: it may lie far above anything that can be had. So each
quantity is predicted from the whole grid, as mixed models do (the best linear unbiased prediction):

1. The logarithm of a quantity is an effect of every value of every dimension, plus a smooth
   function, plus what is the point's own: all of them of what acts (``search.features``: a largest
   batch that no load can fill acts as a smaller one), so that points which act alike are equal.
2. ``noise`` is the variance of one repetition within its point, once what a whole repetition has in
   common (the machine's day) is taken away; of it each mean has its share.
3. How far the smooth function reaches along each feature is learned by a Gaussian process; how much
   it and the points differ is what makes the means most likely (restricted maximum likelihood),
   among some sizes of both.

Where nothing was measured twice the noise is not known: it has to be assumed, or else the means
stand as they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from analyzer.search import gp
from analyzer.search.features import Embedding
from analyzer.search.gp import Floats, Likely, Points
from analyzer.space import Candidate, Value

#: sizes that are tried of the smooth function and of what is a point's own
_SMOOTH = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_OWN = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
#: what is likely of the smooth function, while it is learned how far it reaches
_LIKELY = Likely(amplitude=0.8, length=1.5, floor=0.1, offset=0.5, bump=0.03)
_JITTER = 1e-10


@dataclass(frozen=True, slots=True)
class Estimated:
    """One quantity of every point, in its unit, and how it came to be.

    Standard deviations of logarithms (0.02 is 2 %): ``noise`` of one repetition, ``smooth`` of the
    smooth function, ``own`` of what is a point's own.
    """

    values: Mapping[Candidate, float]
    noise: float
    smooth: float = 0.0
    own: float = 0.0


def estimate(
    taken: Mapping[Candidate, Mapping[int, float]],
    embedding: Embedding,
    assumed: float | None = None,
    *,
    acting: bool = True,
) -> Estimated:
    """Estimate a quantity from repetitions by number, of each point: positive values, one each.

    ``embedding`` says what is near what. ``assumed`` is the noise, a standard deviation of
    logarithms, where nothing was measured twice. ``acting``: what changes nothing about how
    requests fare does not count (of memory it does).
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
    where = embedding.acting(points) if acting else embedding.raw(points)
    kinds = [embedding.key(point) if acting else point.items for point in points]
    near, same = _alike(where, kinds, means, noise / counts)
    known = _Known(_mains([dict(kind) for kind in kinds]), near, same, means, noise / counts)
    fits = [_Fit(known, *sizes) for sizes in product(_SMOOTH, _OWN)]
    best = max(fits, key=lambda fit: fit.likely)
    return Estimated(_plain(points, best.predicted), math.sqrt(noise), best.smooth, best.own)


@dataclass(frozen=True, slots=True)
class _Known:
    """Means of points with the variances of their noise, the values' columns, and what is alike."""

    design: Floats
    near: Floats
    same: Floats
    means: Floats
    noise: Floats


class _Fit:
    """The prediction under some size of the smooth function, and of what is each point's own."""

    def __init__(self, known: _Known, smooth: float, own: float) -> None:
        self.smooth, self.own = smooth, own
        signal = smooth**2 * known.near + own**2 * known.same
        factor = np.linalg.cholesky(signal + np.diag(known.noise + _JITTER))
        half, seen = np.linalg.solve(factor, known.design), np.linalg.solve(factor, known.means)
        weights = np.linalg.lstsq(half, seen, rcond=1e-9)[0]
        left = seen - half @ weights
        logs = -0.5 * float(left @ left) - float(np.log(np.diagonal(factor)).sum())
        spectrum = np.linalg.eigvalsh(half.T @ half)
        # Effects that others make up for (the columns of one dimension add up to 1) are none.
        used = spectrum[spectrum > 1e-9 * spectrum.max()]
        self.likely = logs - 0.5 * float(np.log(used).sum())
        around = np.linalg.solve(factor.T, left)
        self.predicted = np.asarray(known.design @ weights + signal @ around, np.float64)


def _alike(
    where: Points, kinds: Sequence[Hashable], means: Floats, noise: Floats
) -> tuple[Floats, Floats]:
    """Return how near points are for a smooth function, and which are of one kind, 0 to 1."""
    shape = gp.fit(where, means - means.mean(), np.sqrt(noise), _LIKELY).shape
    codes: dict[Hashable, int] = {}
    numbers = np.array([codes.setdefault(kind, len(codes)) for kind in kinds])
    alike = numbers[:, None] == numbers[None, :]
    return gp.nearness(where, shape), np.asarray(alike, np.float64)


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


def _mains(places: Sequence[Mapping[str, Value]]) -> Floats:
    """Make the columns of what counts in any case: an indicator for each value."""
    names = sorted({name for place in places for name in place})
    columns: dict[object, list[int]] = defaultdict(list)
    for row, place in enumerate(places):
        for name in names:
            columns[name, place.get(name)].append(row)
    design = np.zeros((len(places), 1 + len(columns)))
    design[:, 0] = 1.0
    for column, rows in enumerate(columns.values(), 1):
        design[rows, column] = 1.0
    return design
