"""How good a search's end is, when everything is known. Pure.

Rules:

1. The truth of a point is what its repetitions and the whole surface say of it (``truth``). The
   best is the feasible point of the greatest true score: no search can do better, and few can tell
   which it is from one measurement.
2. What a search found is the true score of what it would recommend, divided by the best's. Where
   the truth breaks a constraint it has found nothing, however fast that is; ``violation`` says by
   what share of the limit, because a limit is met or missed within the noise as well.
3. The best of many means was partly lucky, and so was whatever a search has chosen. ``held_out``
   has no such luck on either side: the choice without the repetition that the search has seen of
   it, divided by what each repetition shows of the point that is best by all others.
4. A search with a verification recommends by it, one without by what it measured. A race is
   judged by who came out ahead, the default among them; a ``cautious`` user changes the
   configuration for a proven gain only, which is what a profile recommends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analyzer.ranking import race
from analyzer.ranking.goal import Goal
from analyzer.ranking.rank import Standing, contender, rank, recommended, reliable
from analyzer.record.row import Phase, Row
from analyzer.space import Candidate
from analyzer.surface.stored import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How good one search's end is.

    ``found`` and ``held_out`` are shares of the best score, whether or not the constraints hold;
    ``violation`` is that of the truth, 0 where they do. ``chosen`` None: nothing was measured.
    """

    chosen: Candidate | None
    found: float
    held_out: float
    violation: float

    def reached(self, share: float, tolerance: float = 0.0) -> bool:
        """Whether it has ``share`` of the best and breaks no constraint by over ``tolerance``."""
        return self.found >= share and self.violation <= tolerance


class Judge:
    """Judges searches on one surface, by one goal; ``truths`` are the points' metrics."""

    def __init__(self, surface: Surface, goal: Goal, default: Candidate) -> None:
        self._surface = surface
        self._goal = goal
        named = [tag for tag, _ in goal.objectives] + [each.tag for each in goal.constraints]
        self.truths = surface.estimated(tuple(dict.fromkeys(named)))
        self._reference = self.truths.get(default, {})
        best: tuple[float, Candidate] | None = None
        for point, metrics in self.truths.items():
            score = goal.score(metrics, self._reference)
            if score is not None and goal.satisfied(metrics) and (best is None or score > best[0]):
                best = score, point
        self.best = None if best is None else best[1]
        self._best_score = 0.0 if best is None else best[0]
        self._fair_score = 0.0 if best is None else self._fair()

    def choice(self, rows: Sequence[Row], *, cautious: bool = True) -> Row | None:
        """Return what a search would recommend (rule 4); None if nothing was measured."""
        if any(row.trial.phase is Phase.VERIFY for row in rows):
            proven = recommended(rows, self._goal) if cautious else self._ahead(rows)
            return None if proven is None else proven.best
        standings = rank(rows, self._goal)
        return standings[0].best if standings else None

    def _ahead(self, rows: Sequence[Row]) -> Standing | None:
        """Return who came out ahead of a race."""
        standings, best = reliable(rows, self._goal), contender(rows, self._goal)
        default = next((each for each in standings if each.is_default), None)
        if best is None or default is None or not (default.satisfies and best.satisfies):
            return standings[0] if standings else None
        first = race.ahead(rows, self._goal, [best.best, default.best])
        return best if first.number == best.best.number else default

    def judge(
        self, rows: Sequence[Row], repetitions: Sequence[int | None], *, cautious: bool = True
    ) -> Verdict:
        """Judge what a search measured; ``repetitions`` are those of its rows.

        Raises:
            ValueError: no point of the surface keeps the constraints: there is nothing to find.
        """
        if self.best is None:
            raise ValueError("no point of this surface keeps the constraints")
        chosen = self.choice(rows, cautious=cautious)
        point = None if chosen is None else self._surface.point(chosen.trial.candidate)
        if chosen is None or point is None:
            return Verdict(chosen=None, found=0.0, held_out=0.0, violation=1.0)
        # Rows of a replay are numbered as they came.
        seen = repetitions[chosen.number]
        truth = self.truths.get(point)
        if truth is None:
            return Verdict(chosen=point, found=0.0, held_out=0.0, violation=1.0)
        return Verdict(
            chosen=point,
            found=self._share(truth, self._best_score),
            held_out=self._share(
                self._surface.metrics(point, without=seen) or {}, self._fair_score
            ),
            violation=self._goal.violation(truth),
        )

    def within(self, rows: Sequence[Row]) -> float:
        """Return the best share that is among what was measured, however it was judged."""
        found = (self._surface.point(row.trial.candidate) for row in rows)
        points = {each for each in found if each is not None}
        truths = [self.truths[each] for each in points if each in self.truths]
        kept = [each for each in truths if self._goal.satisfied(each)]
        return max((self._share(each, self._best_score) for each in kept), default=0.0)

    def _share(self, metrics: Mapping[str, float], best: float) -> float:
        score = self._goal.score(metrics, self._reference)
        if score is None or not best:
            return 0.0
        # Of what is better when less, scores are negative.
        return score / best if best > 0 else best / score

    def _fair(self) -> float:
        """Return the best score without its luck: chosen by some repetitions, read off another."""
        surface, scores = self._surface, list[float]()
        feasible = [
            point for point, metrics in self.truths.items() if self._goal.satisfied(metrics)
        ]
        for number in surface.repetitions:
            known = [
                (self._goal.score(surface.metrics(point, without=number) or {}, self._reference),
                 surface.rows[point][number])
                for point in feasible if number in surface.rows[point]
            ]  # fmt: skip
            scored = [(score, row) for score, row in known if score is not None]
            if scored:
                _, row = max(scored, key=lambda pair: pair[0])
                seen = self._goal.score(row.metrics, self._reference)
                scores += [] if row.failure or seen is None else [seen]
        return fmean(scores) if scores else self._best_score
