"""Where the next measurement is worth most. Pure.

Owns the constrained expected improvement: how much better a candidate is expected to be than the
best that keeps the constraints, 0 where it is worse or breaks one, in logarithms (0.01 is 1 %). It
is the mean over draws of what is believed; the draws are evenly spread and always the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.search.believe import Belief
from analyzer.search.gp import Floats
from analyzer.search.quantities import Sheet
from analyzer.statistics.distributions import normal_quantile

_DRAWS = 64
_EVEN = np.array([normal_quantile((place + 0.5) / _DRAWS) for place in range(_DRAWS)])


@dataclass(frozen=True, slots=True)
class Worth:
    """Of each candidate: the expected improvement, how likely it is feasible, the mean utility."""

    improvement: Floats
    feasible: Floats
    utility: Floats


def worth(belief: Belief, sheet: Sheet, in_flight: Floats, best: float | None) -> Worth:
    """Judge every candidate against ``best``, the utility to beat; None: nothing holds yet."""
    count = len(in_flight)
    draws = _spread(len(sheet.tags))
    quantities = {
        tag: belief.mean[tag][None, :] + belief.sd[tag][None, :] * draws[number][:, None]
        for number, tag in enumerate(sheet.tags)
    }
    load = in_flight[None, :]
    utility = np.broadcast_to(sheet.utility(quantities, load), (_DRAWS, count))
    good = np.broadcast_to(sheet.feasible(quantities, load), (_DRAWS, count))
    if best is None:
        # Anything that holds is progress; what is better then, more so.
        best = float(utility.mean(0).min())
    gained = np.where(good, np.maximum(utility - best, 0.0), 0.0)
    middle = sheet.utility(dict(belief.mean), in_flight)
    return Worth(gained.mean(0), good.mean(0), np.broadcast_to(middle, (count,)))


def _spread(count: int) -> Floats:
    """Return standard normal draws of ``count`` independent quantities, each evenly spread."""
    dice = np.random.default_rng(0)
    return np.stack([_EVEN if not number else dice.permutation(_EVEN) for number in range(count)])
