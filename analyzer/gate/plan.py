"""Which side is measured when, and in which process: ABBA. Pure.

Rules:

1. Pairs begin with the baseline and with the candidate by turns (A B, B A, A B, ...), so what
   drifts steadily puts off one pair as much as the next, the other way.
2. A launch of both sides lasts for ``per_launch`` pairs; then both get new processes.
3. New processes for every pair say most, since processes differ. Where a launch takes longer than
   a measurement, it lasts for more pairs, but there are as many launches as an interval needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from analyzer.gate.values import FEWEST_PAIRS, Settings, Side

#: launches that there are time for, at least: intervals of four are wide
_LAUNCHES = FEWEST_PAIRS + 2


@dataclass(frozen=True, slots=True)
class Turn:
    """One block to measure; ``fresh`` ones need a new process of their side."""

    side: Side
    pair: int
    launch: int
    fresh: bool


def turns(per_launch: int = 1) -> Iterator[Turn]:
    """Yield what to measure, in order, without end.

    Raises:
        ValueError: a launch lasts for no pair.
    """
    if per_launch < 1:
        raise ValueError(f"a launch lasts for one pair at least, not {per_launch}")
    for pair in count():
        launch, place = divmod(pair, per_launch)
        sides = (Side.BASELINE, Side.CANDIDATE)
        for side in sides if pair % 2 == 0 else reversed(sides):
            yield Turn(side, pair, launch, fresh=place == 0)


def pairs_per_launch(launch_seconds: float, block_seconds: float, settings: Settings) -> int:
    """Return for how many pairs a launch lasts, by what a launch and a block take."""
    most = max(1, settings.max_pairs // _LAUNCHES)
    if block_seconds <= 0:
        return 1
    return min(most, max(1, math.ceil(launch_seconds / block_seconds)))
