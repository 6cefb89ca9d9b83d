"""The smallest change that this machine can see, from a series of the same against itself. Pure.

With ``--aa`` both sides are the baseline, so all that differs between them is noise. From how it
scatters follows which change the whole budget would tell from none nine times of ten. A gate is
only as good as that: what it bears, less its margin, has to be more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from analyzer.gate.evidence import compared, launches
from analyzer.gate.sequential import LOOKS, POWER
from analyzer.gate.values import FEWEST_PAIRS, Block, Gate, Kind, Settings
from analyzer.statistics.distributions import t_quantile

#: how often such a change is seen
CAUGHT = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """What a gate can see here.

    ``noise`` is the standard deviation of one launch's relative difference, ``effect`` the smallest
    relative change that all pairs of the budget tell from none, ``needed`` what the gate needs it
    to be: what the gate bears less its margin. ``bias`` is the mean difference of the same from
    itself, ``launches`` what all that rests on.
    """

    gate: Gate
    noise: float
    effect: float
    needed: float
    bias: float
    launches: int

    @property
    def enough(self) -> bool:
        """Whether the gate can be relied on here, at this budget."""
        return self.effect <= self.needed


def detectable(
    gates: Sequence[Gate],
    blocks: Sequence[Block],
    settings: Settings,
    *,
    per_launch: int = 1,
) -> tuple[Detectable, ...]:
    """Judge what each gate could see, by blocks of the same against itself.

    Only gates on what varies count; those that could not be measured are left out. The budget is
    ``max_pairs``, or as many pairs as there is time for by what these took.
    """
    every = launches(blocks, per_launch)
    if len(every) < FEWEST_PAIRS:
        return ()
    pairs = sum(len(launch.pairs) for launch in every)
    seconds = math.fsum(launch.seconds for launch in every)
    in_time = settings.max_seconds * pairs / seconds if seconds else math.inf
    budget = max(FEWEST_PAIRS, int(min(settings.max_pairs, in_time)) // per_launch)
    varying = [gate for gate in gates if gate.kind is Kind.RELATIVE]
    found = []
    for gate in varying:
        worse = compared(gate, every).worsenings
        if not worse or not all(map(math.isfinite, worse)):
            continue
        noise = stdev(worse)
        found.append(
            Detectable(
                gate=gate,
                noise=math.expm1(noise),
                effect=math.expm1(reach(budget, settings.alpha / len(varying)) * noise),
                needed=math.expm1(gate.tolerance - gate.margin(settings)),
                bias=gate.quantity.change(fmean(worse)),
                launches=len(every),
            )
        )
    return tuple(found)


def reach(budget: int, alpha: float) -> float:
    """Return how far from its margin a change is seen by the last look, in standard deviations.

    Of one launch's difference, after ``budget`` launches: the look's bound, and what luck may take
    from it so that nine of ten are still beyond.
    """
    last = alpha * (1.0 - LOOKS[-2] ** POWER)
    degrees = budget - 1
    return (t_quantile(1.0 - last, degrees) + t_quantile(CAUGHT, degrees)) / math.sqrt(budget)
