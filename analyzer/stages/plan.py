"""What a campaign is told to do, and what it tells of itself. Values alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from analyzer import variant
from analyzer.ranking.rank import Standing
from analyzer.space import LOADS, Candidate, split


class Stage(Enum):
    """Where a campaign stands."""

    DEFAULT = "default"
    ABREAST = "side by side"
    SEARCH = "search"
    CURVE = "load curves"
    VERIFY = "verification"
    GOODPUT = "goodput"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a campaign is to do.

    ``default`` holds candidates without settings, ``curve`` the levels of the load curves,
    ``edge_steps`` how many loads between them are tried for the edge of the constraints,
    ``cores`` the machine's, for judging which candidates crowd them, and ``means`` by what each
    model can be run here, by the name that stands before its dimensions.

    ``search_seconds`` bounds the default and the search together, ``curve_seconds`` and
    ``verify_seconds`` the stages behind, ``whole_seconds`` everything (None: no bound; with the
    last, verification has whatever the others left). Rows do not show all the time that goes by:
    ``overhead_seconds`` is what a whole campaign takes besides, and ``overhead_each`` each of its
    measurements. ``max_trials`` bounds the measurements of default and search.

    ``verify_pairs`` are the rounds of the verification at most, ``finalists`` how many variants
    may race the default, and ``precision`` half the width of the gain's interval, as a share, at
    which there is nothing more to verify (None: all rounds are taken). ``goodput_seconds`` is
    about what each search for the highest rate takes, where the goal is goodput (0: there is none);
    it comes on top of the whole.

    ``haste`` says how many times less precise, and shorter, the default and the search are measured
    than what follows them. ``abreast`` is how many of the search's may run at the same time, each
    on a GPU of its own, if a check shows that they do not disturb each other (``stages.abreast``).
    """

    default: tuple[Candidate, ...]
    curve: tuple[float, ...] = ()
    edge_steps: int = 0
    verify_pairs: int = 4
    finalists: int = 3
    precision: float | None = None
    search_seconds: float | None = None
    curve_seconds: float | None = None
    verify_seconds: float | None = None
    whole_seconds: float | None = None
    overhead_seconds: float = 0.0
    overhead_each: float = 0.0
    max_trials: int | None = None
    goodput_seconds: float = 0.0
    haste: float = 1.0
    abreast: int = 1
    cores: int | None = None
    means: Mapping[str, variant.Means] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a campaign is. Seconds are those of the rows; what is not known is None.

    ``expected_left`` is about how many measurements are to come.
    """

    stage: Stage
    done: int
    expected_left: int | None
    seconds_spent: float
    seconds_left: float | None
    best: Standing | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that the strategy asked for and nobody measured, and why."""

    candidate: Candidate
    reason: str


def untried(skipped: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """List each setting once for every reason, without its loads."""
    return tuple(
        dict.fromkeys(Skipped(setting_of(each.candidate), each.reason) for each in skipped)
    )


def setting_of(candidate: Candidate) -> Candidate:
    """Return a candidate without its load: what has to be launched."""
    return Candidate(tuple(item for item in candidate.items if split(item[0])[1] not in LOADS))
