"""Gaussian processes: a function from some noisy values, with what is not known of it. Pure.

The covariance of two points is ``amplitude**2 * M(r) + offset**2 * same``: M is Matern's with
smoothness 5/2, r the distance after each feature was divided by its length, and ``same`` the share
of the categories in which both agree. A constant that nothing is known of is added: the mean.
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
#: what is added to a covariance that rounding has made indefinite, at first and at most
_JITTER, _MOST_JITTER = 1e-10, 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """What is likely of a function before it is seen, in the values' unit.

    ``amplitude`` is how far it usually is from its mean, at least ``floor``; ``length`` the way,
    in units of the features, on which it changes by that; ``spread`` how uncertain the logarithms
    of both are; ``offset`` how far categories are apart; ``level`` how far the mean may be from 0.
    """

    amplitude: float
    length: float
    floor: float = 0.0
    spread: float = 0.7
    offset: float = 0.0
    level: float = 10.0


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
    same = _same(points.codes, points.codes)
    best = Shape(max(likely.amplitude, likely.floor), (likely.length,) * len(squares))
    if len(values) >= _FEWEST:
        best = _searched(best, squares, same, values, noise, likely)
    covariance = _joined(squares, same, best, likely)
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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a shape is judged by: ``usual`` are the logarithms of the likely one."""

    usual: Floats
    squares: Floats
    same: Floats
    values: Floats
    noise: Floats
    likely: Likely


def _searched(
    start: Shape, squares: Floats, same: Floats, values: Floats, noise: Floats, likely: Likely
) -> Shape:
    """Climb to the shape of the greatest posterior density; several are judged at once."""
    used = [place for place in range(len(squares)) if squares[place].any()]
    squares = squares[used]
    usual = np.log([max(likely.amplitude, likely.floor), *([likely.length] * len(used))])
    least = np.array([math.log(max(likely.floor, 1e-6)), *([-np.inf] * len(used))])

    seen = _Seen(usual, squares, same, values, noise, likely)
    wider = np.array([0.0, *([math.log(2.0)] * len(used))])
    more = np.array([1.0, *([0.0] * len(used))])
    starts = [usual + far * wider + loud * more for far in (0, 1) for loud in (-0.9, 0.0, 0.9)]
    tried = np.maximum(np.array(starts), least)
    found = _losses(tried, seen)
    best, lowest = tried[int(found.argmin())], float(found.min())
    axes = np.eye(1 + len(used))
    for step in _MOVES:
        ways = np.concatenate([axes * step, -axes * step])
        found = _losses(np.maximum(best + ways, least), seen)
        better = found < lowest
        if not better.any():
            continue
        # Along each axis the better way; all of them together are often better still.
        gains = np.where(better, lowest - found, 0.0).reshape(2, -1)
        joint = (np.where(gains[0] > gains[1], step, -step) * (gains.max(0) > 0)) @ axes
        tried = np.maximum(np.array([best + ways[int(found.argmin())], best + joint]), least)
        found = _losses(tried, seen)
        best, lowest = tried[int(found.argmin())], float(found.min())
    lengths = list(start.lengths)
    for number, place in enumerate(used):
        lengths[place] = float(np.exp(best[1 + number]))
    return Shape(float(np.exp(best[0])), tuple(lengths))


def _losses(shapes: Floats, seen: _Seen) -> Floats:
    """Return negative logarithms of posterior densities, up to a constant.

    ``shapes`` has a row of logarithms for each: the amplitude's, then the lengths'.
    """
    likely, values = seen.likely, seen.values
    square = np.tensordot(np.exp(-2.0 * shapes[:, 1:]), seen.squares, 1)
    amplitude = np.exp(2.0 * shapes[:, 0])[:, None, None]
    covariance = amplitude * _matern(square) + (likely.offset**2 * seen.same + likely.level**2)
    covariance += np.diag(seen.noise**2 + _JITTER * likely.level**2 + _JITTER)
    factor = _factor(covariance)
    wanted = np.broadcast_to(values[:, None], (len(shapes), len(values), 1))
    half = np.linalg.solve(factor, wanted)[..., 0]
    logs = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    far = (((shapes - seen.usual) / likely.spread) ** 2).sum(1)
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
    one, other = left.features / lengths, right.features / lengths
    far = (one * one).sum(1)[:, None] + (other * other).sum(1)[None, :] - 2.0 * one @ other.T
    return _of_distance(np.maximum(far, 0.0), _same(left.codes, right.codes), shape, likely)


def _joined(squares: Floats, same: Floats, shape: Shape, likely: Likely) -> Floats:
    if not len(squares):
        return _of_distance(np.zeros_like(same), same, shape, likely)
    scales = np.array(shape.lengths) ** -2.0
    return _of_distance(np.tensordot(scales, squares, 1), same, shape, likely)


def _of_distance(square: Floats, same: Floats, shape: Shape, likely: Likely) -> Floats:
    return shape.amplitude**2 * _matern(square) + likely.offset**2 * same + likely.level**2


def _matern(square: Floats) -> Floats:
    far = _ROOT * np.sqrt(square)
    return np.asarray((1.0 + far + far * far / 3.0) * np.exp(-far), np.float64)


def _own(shape: Shape, likely: Likely) -> float:
    return shape.amplitude**2 + likely.offset**2 + likely.level**2


def _squares(left: Floats, right: Floats) -> Floats:
    """Return squared differences, by feature."""
    return (left.T[:, :, None] - right.T[:, None, :]) ** 2


def _same(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Floats:
    """Return the share of categories in which points agree; 1 where there are none."""
    if not left.shape[1]:
        return np.ones((len(left), len(right)))
    return np.asarray((left[:, None, :] == right[None, :, :]).mean(2), np.float64)
