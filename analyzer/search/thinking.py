"""What is thought of every candidate after some outcomes: both beliefs, weighed and judged. Pure.

The simulator is asked twice: about candidates that are spread over the space, and, once it is known
which of those that are left seem best, about these. The informed belief is trusted as far as it
foresees the measurements better than the plain one; but neither is ever left unheard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzer.record.outcome import Outcome
from analyzer.record.row import LoadSpec
from analyzer.search import believe
from analyzer.search.acquire import Worth, worth
from analyzer.search.believe import Belief, Ground
from analyzer.search.features import Embedding
from analyzer.search.gp import Floats
from analyzer.search.pool import Pool
from analyzer.search.prior import Simulated, in_flight
from analyzer.search.quantities import THROUGHPUT, Sheet
from analyzer.space import Candidate, Space

#: the least and most that the informed belief counts for
_LEAST_SAY, _MOST_SAY = 0.3, 0.8
#: how much evidence counts, and what the simulator is given on trust, in logarithms
_EVIDENCE_COUNTS, _TRUST = 0.25, 1.0
#: candidates that the simulator looks at closely, for each thought
_CLOSELY = 8


@dataclass(frozen=True, slots=True)
class Opinion:
    """A belief, how much it counts for, and what candidates are worth by it.

    ``best`` is the utility of the best that was measured, as the belief has it, which has to be
    beaten; None: nothing keeps the constraints yet.
    """

    say: float
    belief: Belief
    worth: Worth
    best: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What is thought of candidates; ``left`` are the places of those that may be asked for.

    ``in_flight`` are logarithms of the rows in flight, and ``best`` is the best that was measured.
    """

    sheet: Sheet
    candidates: Sequence[Candidate]
    left: Sequence[int]
    opinions: Sequence[Opinion]
    in_flight: Floats
    best: Candidate | None

    @property
    def most(self) -> float:
        """The greatest improvement that either belief expects."""
        places = list(self.left)
        return max(float(each.worth.improvement[places].max()) for each in self.opinions)

    @property
    def latency(self) -> Floats | None:
        """Return mean latencies in s by Little's law, as the first opinion has the throughput.

        None where throughputs are not what is learned, or the loop is open.
        """
        if THROUGHPUT not in self.sheet.tags or not self.sheet.closed:
            return None
        rate = self.opinions[0].belief.mean[THROUGHPUT]
        return np.asarray(np.exp(np.minimum(self.in_flight - rate, 20.0)), np.float64)

    @property
    def improvement(self) -> Floats:
        """The improvement that both together expect of each candidate that is left."""
        places = list(self.left)
        every = [each.say * each.worth.improvement[places] for each in self.opinions]
        return np.asarray(np.sum(every, axis=0), np.float64)

    @property
    def promise(self) -> Floats:
        """How likely each candidate that is left keeps the constraints, and how good it is, 0 to 2.

        It tells candidates apart of which none is expected to be an improvement.
        """
        places = list(self.left)
        found = np.zeros(len(places))
        for each in self.opinions:
            utility = each.worth.utility[places]
            spread = float(np.ptp(utility)) or 1.0
            found += each.say * (
                each.worth.feasible[places] + (utility - float(utility.min())) / spread
            )
        return found


class Thinker:
    """Thinks about the candidates of one space. What it remembers only saves time."""

    def __init__(self, space: Space, pool: Pool, embedding: Embedding, prior: Simulated) -> None:
        self._space = space
        self._pool = pool
        self._embedding = embedding
        self._prior = prior

    def think(self, outcomes: Sequence[Outcome], sheet: Sheet) -> Thought | None:
        """Think; None where nothing is left to choose."""
        scored = [each for each in outcomes if each.score is not None]
        told = {each.candidate for each in outcomes}
        keys = {self._embedding.key(each.candidate) for each in scored}
        closed = self._pool.closed(outcomes)
        best = best_of(outcomes)
        near = [] if best is None else [best.candidate]
        candidates = list(self._pool.candidates(near))
        known = {candidate: place for place, candidate in enumerate(candidates)}
        for each in scored:
            if each.candidate not in known:
                known[each.candidate] = len(candidates)
                candidates.append(each.candidate)
        left = [
            place
            for place, candidate in enumerate(candidates)
            if candidate not in told
            and candidate in self._space
            and candidate not in closed
            and (sheet.resources or self._embedding.key(candidate) not in keys)
        ]
        if not left:
            return None
        load = next((each.row.load for each in outcomes if each.row is not None), LoadSpec())
        ground = Ground(
            sheet=sheet,
            acting=self._embedding.acting(candidates),
            raw=self._embedding.raw(candidates),
            in_flight=np.log([in_flight(each, load) for each in candidates]),
            seen=[known[each.candidate] for each in scored],
            values=[sheet.values(each) for each in scored],
        )
        return Thought(
            sheet=sheet,
            candidates=candidates,
            left=left,
            opinions=self._opinions(outcomes, scored, ground, candidates, left),
            in_flight=ground.in_flight,
            best=None if best is None else best.candidate,
        )

    def _opinions(
        self,
        outcomes: Sequence[Outcome],
        scored: Sequence[Outcome],
        ground: Ground,
        candidates: Sequence[Candidate],
        left: Sequence[int],
    ) -> list[Opinion]:
        plain = _opinion(believe.plain(ground), ground, scored)
        if THROUGHPUT not in ground.sheet.tags:
            return [plain]
        anchored = [*ground.seen, *self._pool.anchors(candidates)]
        foreseen = self._prior.foresee(outcomes, candidates, (), anchored)
        if foreseen is None:
            return [plain]
        belief = believe.informed(ground, foreseen.rate, foreseen.tails)
        first = _opinion(belief, ground, scored).worth
        places = np.array(left)
        order = np.argsort(-first.improvement[places], kind="stable")[:_CLOSELY]
        closer = places[order].tolist()
        foreseen = self._prior.foresee(outcomes, candidates, closer, anchored)
        assert foreseen is not None
        informed = _opinion(believe.informed(ground, foreseen.rate, foreseen.tails), ground, scored)
        difference = _EVIDENCE_COUNTS * (informed.belief.evidence - plain.belief.evidence) + _TRUST
        say = 1.0 / (1.0 + math.exp(-min(max(difference, -20.0), 20.0)))
        say = min(max(say, _LEAST_SAY), _MOST_SAY)
        return [replace(informed, say=say), replace(plain, say=1.0 - say)]


def _opinion(belief: Belief, ground: Ground, scored: Sequence[Outcome]) -> Opinion:
    """Judge candidates against the best that was measured, as the belief has it."""
    feasible = [place for place, each in zip(ground.seen, scored, strict=True) if each.feasible]
    middle = ground.sheet.utility(belief.mean, ground.in_flight)
    best = float(middle[feasible].max()) if feasible else None
    return Opinion(1.0, belief, worth(belief, ground.sheet, ground.in_flight, best), best)


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the best outcome: what keeps the constraints first."""
    scored = [each for each in outcomes if each.score is not None]
    return max(
        scored, key=lambda each: (each.feasible, -each.violation, each.score or 0.0), default=None
    )
