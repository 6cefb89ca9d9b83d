"""Which candidates a search may still choose among. Pure.

Rules:

1. What makes no sense is not in it (``variant.reason_not_possible``), nor is what is the same as
   another candidate (``variant.canonical``).
2. A large space is looked at through a sample, and around what was best so far in all of it.
3. A setting that failed, fails under every load. One that failed to load also fails with more
   instances, all else equal; a category (backend, precision) is out when its answers were wrong,
   when it is known to fail without being measured, or when it failed twice and never worked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np

from analyzer import variant
from analyzer.record.outcome import Outcome
from analyzer.search.features import Embedding
from analyzer.space import INSTANCE_COUNT, Axis, Candidate, Space, Value

#: larger spaces are sampled: so many candidates
_MOST = 4000
_SAMPLE = 2500
#: a category that has failed so often without working is out
_TWICE = 2
#: how many candidates the simulator looks at for a space
_ANCHORS = 28
#: the stage of a failure that says answers are wrong; and of one that says it does not come up
_WRONG, _LAUNCH = "accuracy", "launch"


class Pool:
    """The candidates of one space."""

    def __init__(self, space: Space, seed: int, cores: int | None, embedding: Embedding) -> None:
        self._space = space
        self._cores = cores
        self._embedding = embedding
        self._loads = {each.name for each in space.dimensions if each.axis is Axis.LOAD}
        self._anchors: list[Candidate] | None = None
        self.whole = len(space) <= _MOST
        if self.whole:
            # Where nothing is possible somebody has to say so: the campaign, told of one.
            first = next(iter(space))
            self._every = self._possible(space) or [first]
        else:
            self._every = self._possible(self._drawn(random.Random(seed)))  # noqa: S311 - no secret

    def candidates(self, best: Sequence[Candidate]) -> list[Candidate]:
        """Return what may be thought of, with what surrounds the ``best`` so far."""
        if self.whole:
            return self._every
        near = [each for one in best for each in self._around(one)]
        return list(dict.fromkeys([*self._every, *self._possible(near)]))

    def has(self, candidate: Candidate) -> bool:
        """Whether a candidate makes sense."""
        return bool(self._possible([candidate])) or candidate in self._every[:1]

    def anchors(self, candidates: Sequence[Candidate]) -> list[int]:
        """Return places that are spread over the space: of these candidates, the same each time."""
        if self._anchors is None:
            self._anchors = self._spread()
        places = {candidate: place for place, candidate in enumerate(candidates)}
        return [places[each] for each in self._anchors if each in places]

    def _spread(self) -> list[Candidate]:
        """Choose candidates that act differently, each as far as can be from those before it."""
        distinct = list({self._embedding.key(each): each for each in self._every}.values())
        here = self._embedding.acting(distinct).features
        chosen = [0]
        far = ((here - here[0]) ** 2).sum(1)
        while len(chosen) < min(_ANCHORS, len(distinct)):
            chosen.append(int(far.argmax()))
            far = np.minimum(far, ((here - here[chosen[-1]]) ** 2).sum(1))
        return [distinct[place] for place in chosen]

    def setting(self, candidate: Candidate) -> Candidate:
        """Return a candidate without its load."""
        return Candidate(tuple(item for item in candidate.items if item[0] not in self._loads))

    def closed(self, outcomes: Sequence[Outcome]) -> Closed:
        """Say what is out after some failures."""
        failed = [each for each in outcomes if each.score is None]
        worked = [each.candidate for each in outcomes if each.score is not None]
        settings = {self.setting(each.candidate) for each in failed}
        settings -= {self.setting(each) for each in worked}
        lost = [
            self.setting(each.candidate)
            for each in failed
            if each.row is not None
            and each.row.failure is not None
            and each.row.failure.stage == _LAUNCH
        ]
        out: set[tuple[Value, ...]] = set()
        if self._embedding.categories:
            alive = {self._embedding.category(each) for each in worked}
            count: dict[tuple[Value, ...], int] = {}
            for each in failed:
                category = self._embedding.category(each.candidate)
                wrong = each.row is None or (
                    each.row.failure is not None and each.row.failure.stage == _WRONG
                )
                count[category] = count.get(category, 0) + (_TWICE if wrong else 1)
            out = {category for category, times in count.items() if times >= _TWICE} - alive
        return Closed(self, settings, lost, out)

    def category(self, candidate: Candidate) -> tuple[Value, ...]:
        """Return the candidate's values of what has no order."""
        return self._embedding.category(candidate)

    def _possible(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        return [
            each
            for each in candidates
            if variant.reason_not_possible(each, self._cores) is None
            and (variant.canonical(each) == each or variant.canonical(each) not in self._space)
        ]

    def _drawn(self, dice: random.Random) -> list[Candidate]:
        return [
            Candidate.of(**{each.name: dice.choice(each.values) for each in self._space.dimensions})
            for _ in range(_SAMPLE)
        ]

    def _around(self, candidate: Candidate) -> list[Candidate]:
        """Return what differs in one dimension, or in one and by a step in another."""
        place = self._embedding.place(candidate)
        here = Candidate.of(**place)
        found = []
        for each in self._space.dimensions:
            for value in each.values:
                moved = here.replaced(**{each.name: value})
                found.append(moved)
                for other in self._space.dimensions:
                    if other.name != each.name and place[other.name] in other.values:
                        at = other.values.index(place[other.name])
                        steps = other.values[max(0, at - 1) : at + 2]
                        found += [moved.replaced(**{other.name: step}) for step in steps]
        return [each for each in found if each in self._space]


class Closed:
    """What is out: see the module's rule 3."""

    def __init__(
        self,
        pool: Pool,
        settings: set[Candidate],
        lost: Sequence[Candidate],
        categories: set[tuple[Value, ...]],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._lost = [(each, each.get(INSTANCE_COUNT)) for each in lost]
        self._categories = categories

    def __contains__(self, candidate: Candidate) -> bool:
        if not self._settings and not self._categories:
            return False
        setting = self._pool.setting(candidate)
        if setting in self._settings:
            return True
        if self._categories and self._pool.category(candidate) in self._categories:
            return True
        return any(_dominated(setting, each, count) for each, count in self._lost)


def _dominated(setting: Candidate, lost: Candidate, count: Value | None) -> bool:
    mine = setting.get(INSTANCE_COUNT)
    if not isinstance(mine, int) or not isinstance(count, int) or mine < count:
        return False
    return setting.replaced(**{INSTANCE_COUNT: count}) == lost
