"""The grid of a surface: every setting once, each under every load, in an order by lot. Pure.

Owns which points a space has when what means the same counts once and what is not worth measuring
not at all, and the order in which they are measured. Rules:

1. The default configuration is a setting like any other: a search begins with it.
2. All loads of a setting follow each other, on one launch; settings come in a random order, another
   for each repetition, and so do the loads of each. So what changes slowly on the machine (its
   clock, its neighbours) falls on all points alike. The default alone comes first: of a recording
   that is stopped early no search could begin without it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from analyzer import variant
from analyzer.errors import UsageError
from analyzer.space import Axis, Candidate, Space

DEFAULT = Candidate(())
#: candidates of a space, beyond which nobody lives to see its surface
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Grid:
    """A space as it is recorded.

    What is not worth measuring is judged by the machine's ``cores`` (None: nothing crowds them) and
    by ``means``, what each model can be run by there (``stages.Plan`` has both).

    Raises:
        UsageError: there is more than anybody can measure.
    """

    space: Space
    cores: int | None = None
    means: Mapping[str, variant.Means] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.space) > MOST:
            sizes = ", ".join(f"{each.name} {len(each.values)}" for each in self.space.dimensions)
            raise UsageError(
                f"{len(self.space):,} configurations and loads are too many to measure each "
                f"({sizes}); bound the search, by run_config_search_* or lists of values"
            )

    @property
    def loads(self) -> tuple[Candidate, ...]:
        """Every load, as candidates without settings."""
        found = [each for each in self.space.dimensions if each.axis is Axis.LOAD]
        names = [each.name for each in found]
        return tuple(
            Candidate.of(**dict(zip(names, values, strict=True)))
            for values in product(*(each.values for each in found))
        )

    @property
    def settings(self) -> tuple[Candidate, ...]:
        """The default, and every setting that has a load under which it is worth measuring."""
        found: dict[Candidate, None] = {DEFAULT: None}
        for candidate in self.space:
            same = variant.canonical(candidate)
            if self.reason_not_possible(same) is None:
                found.setdefault(self.split(same)[0])
        return tuple(found)

    def points(self, setting: Candidate) -> tuple[Candidate, ...]:
        """List a setting's points: under each load that makes sense for it."""
        every = (_joined(setting, load) for load in self.loads)
        return tuple(each for each in every if self.reason_not_possible(each) is None)

    def reason_not_possible(self, candidate: Candidate) -> str | None:
        """Say why a candidate is not worth measuring, or None where it is."""
        return variant.reason_not_possible(candidate, self.cores, self.means)

    def split(self, candidate: Candidate) -> tuple[Candidate, Candidate]:
        """Part a candidate into setting and load."""
        names = {each.name for each in self.space.dimensions if each.axis is Axis.LOAD}
        setting = tuple(item for item in candidate.items if item[0] not in names)
        load = tuple(item for item in candidate.items if item[0] in names)
        return Candidate(setting), Candidate(load)

    def distinct(self, name: Callable[[Candidate], str]) -> tuple[Candidate, ...]:
        """List the settings whose configurations differ; ``name`` tells them apart."""
        found: dict[str, Candidate] = {}
        for setting in self.settings:
            found.setdefault(name(setting), setting)
        return tuple(found.values())

    def course(
        self, settings: tuple[Candidate, ...], repetition: int, seed: int
    ) -> Iterator[tuple[Candidate, tuple[Candidate, ...]]]:
        """Yield settings with their points, in the order of one repetition."""
        dice = random.Random(f"{seed} {repetition}")  # noqa: S311 - no secret
        by_lot = dice.sample(settings, len(settings))
        for setting in sorted(by_lot, key=lambda each: each != DEFAULT):
            points = self.points(setting)
            yield setting, tuple(dice.sample(points, len(points)))


def _joined(setting: Candidate, load: Candidate) -> Candidate:
    return setting.replaced(**dict(load.items))
