"""Whether a series goes up or down as it goes on. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


def mann_kendall(values: Values) -> float:
    """Return Mann and Kendall's z of n independent values: above 0, they rise.

    Standard normal where there is no trend; ties are accounted for. n up to a few hundred: every
    pair is looked at.
    """
    count = len(values)
    if count < 3:  # noqa: PLR2004 - two values have no trend
        return 0.0
    later = np.sign(values[None, :] - values[:, None])
    score = float(np.triu(later, 1).sum())
    _, ties = np.unique(values, return_counts=True)
    variance = (
        count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())
    ) / 18
    if variance <= 0 or not score:
        return 0.0
    return (score - math.copysign(1, score)) / math.sqrt(variance)


def halves(values: Values) -> tuple[float, float]:
    """Return the means of the first and the second half; n is at least 2."""
    middle = len(values) // 2
    return float(values[:middle].mean()), float(values[-middle:].mean())
