"""Whether latencies gather around two values instead of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_BINS = 256
_LEAST_VALUES = 100
#: a mode has at least this share of the values
_LEAST_SHARE = 0.05
#: the modes' values differ by at least this factor
_LEAST_RATIO = 1.25
#: between them are at most so many as share of the lower peak, and fewer beyond doubt
_DEPTH = 0.5
_BEYOND_DOUBT = 4.0
_OUTER = 0.002


@dataclass(frozen=True, slots=True)
class Mode:
    """Around ``value`` lies this ``share`` of all values."""

    value: float
    share: float


def two_modes(ordered: npt.NDArray[np.int64]) -> tuple[Mode, Mode] | None:
    """Return the two values that sorted, positive values gather around; None where it is one.

    The greater share comes first. Counted on a logarithmic scale, smoothed by a window as wide
    as the scatter of so many values suggests, between the outermost 0.2 %.
    """
    count = len(ordered)
    if count < _LEAST_VALUES:
        return None
    low, high = (
        max(1.0, float(ordered[round(place * (count - 1))])) for place in (_OUTER, 1 - _OUTER)
    )
    if high < low * _LEAST_RATIO:
        return None
    edges = np.geomspace(low, high, _BINS + 1)
    counts = np.diff(np.searchsorted(ordered, edges)).astype(np.float64)
    smooth = _smoothed(counts)
    first = int(smooth.argmax())
    for second in _peaks(smooth):
        between = slice(min(first, second), max(first, second) + 1)
        valley = between.start + int(smooth[between].argmin())
        deep = smooth[second] - smooth[valley]
        far = edges[between.stop - 1] >= _LEAST_RATIO * edges[between.start]
        if far and smooth[valley] <= _DEPTH * smooth[second] and deep > _doubt(smooth[second]):
            below = int(np.searchsorted(ordered, edges[valley])) / count
            shares = (below, 1 - below) if first < second else (1 - below, below)
            if min(shares) >= _LEAST_SHARE:
                modes = [
                    Mode(float(np.sqrt(edges[at] * edges[at + 1])), share)
                    for at, share in zip((first, second), shares, strict=True)
                ]
                modes.sort(key=lambda mode: -mode.share)
                return modes[0], modes[1]
    return None


def _smoothed(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average over a window of Gaussian weights, after Silverman's rule with half its width."""
    places = np.arange(_BINS)
    total = counts.sum()
    middle = counts @ places / total
    deviation = np.sqrt(counts @ (places - middle) ** 2 / total)
    width = max(1.0, 0.45 * deviation * total**-0.2)
    reach = int(np.ceil(3 * width))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(counts, reach, mode="reflect") if reach < _BINS else counts
    return np.asarray(np.convolve(padded, weights / weights.sum(), "valid"), np.float64)


def _peaks(smooth: npt.NDArray[np.float64]) -> list[int]:
    """Return the places of local maxima, the highest first, without the very highest."""
    padded = np.concatenate(([-1.0], smooth, [-1.0]))
    tops = np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))
    ranked = sorted(tops.tolist(), key=lambda at: -smooth[at])
    return ranked[1:8]


def _doubt(peak: float) -> float:
    """Return by how much a peak of so many values may be higher than its valley by chance."""
    return _BEYOND_DOUBT * float(np.sqrt(max(peak, 1.0)))
