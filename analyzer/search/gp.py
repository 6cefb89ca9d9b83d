"""Gaussian processes: a function from some noisy values, with what is not known of it. Pure.

The covariance of two points is ``amplitude**2 * M(r) + offset**2 * same + bump**2 * M(d)``: M is
Matern's with smoothness 5/2, r the distance after each feature was divided by its length, and
``same`` the share of the categories in which both agree. d is the distance in lengths that are
short: no function is so smooth that what was not measured is sure. A constant that nothing is known
of is added: the mean.
Amplitude and lengths are those of the greatest posterior density, found by a search along one
axis after the other from a few fixed starts, so that equal values give equal functions.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, algorithm 2.1, equations
4.17 (Matern) and 5.10 to 5.12 (leaving one out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROOT = math.sqrt(5.0)
#: how far shapes are moved along the axes, one round after the other, in logarithms
_MOVES = (0.8, 0.8, 0.4, 0.4)
#: with fewer values nothing is learned of lengths
_FEWEST = 4
#: how far a bump reaches, in units of the features
_BUMP_LENGTH = 0.4
#: what is added to a covariance that rounding has made indefinite, at first and at most
_JITTER, _MOST_JITTER = 1e-10, 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """What is likely of a function before it is seen, in the values' unit.

    ``amplitude`` is how far it usually is from its mean, at least ``floor``; ``length`` the way,
    in units of the features, on which it changes by that; ``spread`` how uncertain the logarithms
    of both are; ``offset`` how far categories are apart; ``level`` how far the mean may be from 0;
    ``bump`` how far single points may be off.
    """

    amplitude: float
    length: float
    floor: float = 0.0
    spread: float = 0.7
    offset: float = 0.0
    level: float = 10.0
    bump: float = 0.0


@dataclass(frozen=True, slots=True)
class Points:
    """Where a function is looked at: a row for each point of features, and of categories' codes."""

    features: Floats
    codes: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Points:
        """Return some of the points."""
        return Points(self.features[places], self.codes[places])


@dataclass(frozen=True, slots=True)
class Shape:
    """A covariance's hyperparameters."""

    amplitude: float
    lengths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A function as far as it is known. ``fit`` makes one."""

    points: Points
    shape: Shape
    likely: Likely
    weights: Floats
    factor: Floats
    values: Floats

    def at(self, points: Points) -> tuple[Floats, Floats]:
        """Return the function's mean at each point, and its standard deviation (no noise's)."""
        across = _covariance(self.points, points, self.shape, self.likely)
        mean = across.T @ self.weights
        known = np.linalg.solve(self.factor, across)
        variance = _own(self.shape, self.likely) - np.einsum("ij,ij->j", known, known)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def left_out(self) -> tuple[Floats, Floats]:
        """Return what each value would have been foreseen as from the others: mean and sd."""
        inverse = np.linalg.solve(
            self.factor.T, np.linalg.solve(self.factor, np.eye(len(self.values)))
        )
        own = np.diag(inverse)
        return self.values - self.weights / own, 1.0 / np.sqrt(own)


def fit(points: Points, values: Floats, noise: Floats, likely: Likely) -> Known:
    """Learn a function from values with the given standard deviations of noise, at least one."""
    squares = _squares(points.features, points.features)
    fixed = _fixed(points, points, likely)
    best = Shape(max(likely.amplitude, likely.floor), (likely.length,) * len(squares))
    if len(values) >= _FEWEST:
        best = _searched(best, squares, _Seen(fixed, values, noise, likely))
    scales = np.array(best.lengths) ** -2.0
    covariance = best.amplitude**2 * _matern(np.tensordot(scales, squares, 1)) + fixed
    covariance[np.diag_indices_from(covariance)] += noise**2
    factor = _factor(covariance)
    weights = np.linalg.solve(factor.T, np.linalg.solve(factor, values))
    return Known(points, best, likely, weights, factor, values)


def carried(points: Points, values: Floats, to: Points, noise: float, likely: Likely) -> Floats:
    """Carry several functions' values, a column for each, over to other points: their means there.

    The shape is the likely one: nothing is learned of it.
    """
    shape = Shape(likely.amplitude, (likely.length,) * points.features.shape[1])
    covariance = _covariance(points, points, shape, likely)
    covariance[np.diag_indices_from(covariance)] += noise**2
    factor = _factor(covariance)
    weights = np.linalg.solve(factor.T, np.linalg.solve(factor, values))
    return np.asarray(_covariance(points, to, shape, likely).T @ weights, np.float64)


def nearness(points: Points, shape: Shape) -> Floats:
    """Return how alike a function's values at any two points are, 0 to 1, by a shape's lengths."""
    scaled = points.features / np.array(shape.lengths)
    far = _distance(scaled, scaled)
    return _matern(far) * _same(points.codes, points.codes)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a shape is judged by; ``fixed`` is the part of the covariance that no shape changes."""

    fixed: Floats
    values: Floats
    noise: Floats
    likely: Likely


def _searched(start: Shape, squares: Floats, seen: _Seen) -> Shape:
    """Climb to the shape of the greatest posterior density; several are judged at once."""
    used = [place for place in range(len(squares)) if squares[place].any()]
    squares, floor = squares[used], seen.likely.floor
    usual = np.log([start.amplitude, *(start.lengths[place] for place in used)])
    least = np.array([math.log(max(floor, 1e-6)), *([-np.inf] * len(used))])

    def losses(shapes: Floats) -> Floats:
        return _losses(shapes, usual, squares, seen)

    wider = np.array([0.0, *([math.log(2.0)] * len(used))])
    more = np.array([1.0, *([0.0] * len(used))])
    starts = [usual + far * wider + loud * more for far in (0, 1) for loud in (-0.9, 0.0, 0.9)]
    tried = np.maximum(np.array(starts), least)
    found = losses(tried)
    best, lowest = tried[int(found.argmin())], float(found.min())
    axes = np.eye(1 + len(used))
    for step in _MOVES:
        ways = np.concatenate([axes * step, -axes * step])
        found = losses(np.maximum(best + ways, least))
        better = found < lowest
        if not better.any():
            continue
        # Along each axis the better way; all of them together are often better still.
        gains = np.where(better, lowest - found, 0.0).reshape(2, -1)
        joint = (np.where(gains[0] > gains[1], step, -step) * (gains.max(0) > 0)) @ axes
        tried = np.maximum(np.array([best + ways[int(found.argmin())], best + joint]), least)
        found = losses(tried)
        best, lowest = tried[int(found.argmin())], float(found.min())
    lengths = list(start.lengths)
    for number, place in enumerate(used):
        lengths[place] = float(np.exp(best[1 + number]))
    return Shape(float(np.exp(best[0])), tuple(lengths))


def _losses(shapes: Floats, usual: Floats, squares: Floats, seen: _Seen) -> Floats:
    """Return negative logarithms of posterior densities, up to a constant.

    ``shapes`` has a row of logarithms for each: the amplitude's, then the lengths'.
    """
    likely, values = seen.likely, seen.values
    square = np.tensordot(np.exp(-2.0 * shapes[:, 1:]), squares, 1)
    amplitude = np.exp(2.0 * shapes[:, 0])[:, None, None]
    covariance = amplitude * _matern(square) + seen.fixed
    covariance += np.diag(seen.noise**2 + _JITTER * likely.level**2 + _JITTER)
    factor = _factor(covariance)
    wanted = np.broadcast_to(values[:, None], (len(shapes), len(values), 1))
    half = np.linalg.solve(factor, wanted)[..., 0]
    logs = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    far = (((shapes - usual) / likely.spread) ** 2).sum(1)
    return np.asarray(0.5 * ((half * half).sum(1) + far) + logs, np.float64)


def _factor(covariance: Floats) -> Floats:
    """Return the Cholesky factor, with as little added to the diagonal as makes it definite.

    Of one covariance, or of a stack of them.
    """
    count = covariance.shape[-1]
    scale = float(np.trace(covariance, axis1=-2, axis2=-1).max()) / count
    jitter = _JITTER
    while True:
        try:
            return np.linalg.cholesky(covariance + jitter * scale * np.eye(count))
        except np.linalg.LinAlgError:
            if jitter > _MOST_JITTER:
                raise
            jitter *= 100


def _covariance(left: Points, right: Points, shape: Shape, likely: Likely) -> Floats:
    lengths = np.array(shape.lengths)
    square = _distance(left.features / lengths, right.features / lengths)
    return shape.amplitude**2 * _matern(square) + _fixed(left, right, likely)


def _fixed(left: Points, right: Points, likely: Likely) -> Floats:
    """Return the part of the covariance that no shape changes."""
    found = np.full((len(left), len(right)), likely.level**2)
    if likely.offset:
        found += likely.offset**2 * _same(left.codes, right.codes)
    if likely.bump:
        far = _distance(left.features / _BUMP_LENGTH, right.features / _BUMP_LENGTH)
        found += likely.bump**2 * _matern(far)
    return found


def _distance(left: Floats, right: Floats) -> Floats:
    """Return squared distances."""
    square = (left * left).sum(1)[:, None] + (right * right).sum(1)[None, :]
    return np.asarray(np.maximum(square - 2.0 * left @ right.T, 0.0), np.float64)


def _matern(square: Floats) -> Floats:
    far = _ROOT * np.sqrt(square)
    return np.asarray((1.0 + far + far * far / 3.0) * np.exp(-far), np.float64)


def _own(shape: Shape, likely: Likely) -> float:
    own = shape.amplitude**2 + likely.level**2 + likely.bump**2
    return own + likely.offset**2


def _squares(left: Floats, right: Floats) -> Floats:
    """Return squared differences, by feature."""
    return (left.T[:, :, None] - right.T[:, None, :]) ** 2


def _same(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Floats:
    """Return the share of categories in which points agree; 1 where there are none."""
    if not left.shape[1]:
        return np.ones((len(left), len(right)))
    return np.asarray((left[:, None, :] == right[None, :, :]).mean(2), np.float64)
