"""What is believed of every candidate: two beliefs, one by the simulator and one without it. Pure.

``informed``: a quantity is what the simulator says, times a residual that a Gaussian process
learns from the measurements. ``plain``: the process learns the quantity itself and knows of nothing
else, so that a simulator that is wrong about a server leads nobody astray for long. How well each
foresees each measurement from the others says which to follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.search import gp
from analyzer.search.gp import Floats, Likely, Points
from analyzer.search.quantities import SCORE, THROUGHPUT, VIOLATION, Sheet, Value

#: what is likely of a throughput and of a tail without a prior, and of what a prior left over
_PLAIN = Likely(amplitude=0.8, length=1.5, floor=0.1, offset=0.5, bump=0.05)
_PLAIN_TAIL = Likely(amplitude=0.25, length=1.5, floor=0.05, offset=0.1, level=1.0, bump=0.08)
_PLAIN_RESOURCE = Likely(amplitude=0.5, length=2.5, floor=0.03, offset=0.5)
_PLAIN_VIOLATION = Likely(amplitude=0.8, length=1.5, floor=0.3, offset=0.3, level=1.0)
_LEFT = Likely(amplitude=0.15, length=1.5, floor=0.1, offset=0.4, level=0.2, spread=0.5, bump=0.03)
_LEFT_TAIL = Likely(amplitude=0.15, length=1.5, floor=0.1, offset=0.1, level=0.2, spread=0.5)
#: by how much beliefs may be off that are doubted, a tail's and any other, in logarithms
_DOUBT_TAIL, _DOUBT = 0.06, 0.04
#: how much one measurement may say about which belief is right, in logarithms of probabilities
_TELLS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What beliefs stand on: candidates as points, and what was measured at some of them.

    ``acting`` and ``raw`` are ``features``'; ``seen`` are the places that were measured and
    ``values`` what was found at each. ``in_flight`` are logarithms of the rows in flight.
    """

    sheet: Sheet
    acting: Points
    raw: Points
    in_flight: Floats
    seen: Sequence[int]
    values: Sequence[Mapping[str, Value]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Means and standard deviations of every quantity at every candidate.

    ``evidence`` is how well it foresees what was measured: a logarithm, more is better.
    """

    name: str
    mean: Mapping[str, Floats]
    sd: Mapping[str, Floats]
    evidence: float


def plain(ground: Ground) -> Belief:
    """Believe nothing but the measurements."""
    return _belief("the measurements alone", ground, {})


def informed(ground: Ground, rate: Floats, tails: Mapping[str, Floats]) -> Belief:
    """Believe the simulator, corrected by the measurements."""
    return _belief("the simulated server", ground, {THROUGHPUT: rate, **tails})


def doubted(belief: Belief, sheet: Sheet, places: Sequence[int]) -> Belief:
    """Return a belief about some of the candidates, less sure of them than it is."""
    here = list(places)
    return Belief(
        name=belief.name,
        mean={tag: mean[here] for tag, mean in belief.mean.items()},
        sd={
            tag: np.hypot(sd[here], _DOUBT_TAIL if sheet.is_tail(tag) else _DOUBT)
            for tag, sd in belief.sd.items()
        },
        evidence=belief.evidence,
    )


def _belief(name: str, ground: Ground, prior: Mapping[str, Floats]) -> Belief:
    mean: dict[str, Floats] = {}
    sd: dict[str, Floats] = {}
    evidence = 0.0
    for tag in ground.sheet.tags:
        known = [number for number, values in enumerate(ground.values) if tag in values]
        if not known:
            mean[tag], sd[tag] = np.zeros(len(ground.acting)), np.ones(len(ground.acting))
            continue
        places = [ground.seen[number] for number in known]
        found = [ground.values[number][tag] for number in known]
        values = np.array([each.value for each in found])
        noise = np.array([each.noise for each in found])
        points = ground.acting if _acts(ground.sheet, tag) else ground.raw
        left = prior.get(tag)
        base = np.full(len(points), values.mean()) if left is None else left
        likely = _likely(ground.sheet, tag, informed=left is not None)
        process = gp.fit(points.take(places), values - base[places], noise, likely)
        said, unsure = process.at(points)
        mean[tag], sd[tag] = said + base, unsure
        evidence += _evidence(process)
    return Belief(name=name, mean=mean, sd=sd, evidence=evidence)


def _acts(sheet: Sheet, tag: str) -> bool:
    """Whether only that counts for a quantity which changes how requests fare."""
    return tag.startswith(("perf_", "server_")) or tag in {SCORE, VIOLATION} or sheet.is_tail(tag)


def _likely(sheet: Sheet, tag: str, *, informed: bool) -> Likely:
    tail = sheet.is_tail(tag)
    if informed:
        return _LEFT_TAIL if tail else _LEFT
    if tag == VIOLATION:
        return _PLAIN_VIOLATION
    if tail:
        return _PLAIN_TAIL
    return _PLAIN if _acts(sheet, tag) else _PLAIN_RESOURCE


def _evidence(known: gp.Known) -> float:
    """Add up how likely each value was in the light of the others."""
    foreseen, unsure = known.left_out()
    off = (known.values - foreseen) / unsure
    logs = -0.5 * off * off - np.log(unsure) - 0.5 * math.log(2 * math.pi)
    return float(np.clip(logs, -_TELLS - 1.0, _TELLS + 1.0).sum())
