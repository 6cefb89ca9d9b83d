"""A search run over a recorded surface: the campaign's own code, with measurements looked up.

Owns what a question is answered with and what it costs. Rules:

1. Whenever a setting is launched, one of its recorded repetitions is drawn; all that is asked of
   this launch is answered from it, so what one launch has in common stays together. What a search
   measures again is one that was not drawn yet, as long as there is one.
2. A measurement costs the seconds that it took; a launch, those that this setting's launch took.
3. What failed then fails. What was not recorded is no question: a strategy that asks for it hears
   that it cannot be had, as of any setting that makes no sense, and that costs nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from analyzer import layout, variant
from analyzer.config.schema import ProfileOptions
from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Failure, LoadSpec, Phase, Row, Trial, Why
from analyzer.space import Candidate
from analyzer.stages import Campaign, Plan
from analyzer.strategy import Problem, Strategy, find, repetition
from analyzer.surface.stored import Surface


class ReplayBench:
    """Answers trials from a surface; the same seed and trials give the same rows."""

    def __init__(self, surface: Surface, seed: int) -> None:
        self._surface = surface
        self._seed = seed
        #: the repetition that each launch of a setting was
        self._launches: dict[Candidate, list[int]] = {}
        self._up: tuple[Candidate, int] | None = None
        self._number = 0

    def measure(self, trial: Trial) -> tuple[Row, int | None]:
        """Return the row of a trial, and which repetition it is (None: it was not recorded)."""
        surface, number = self._surface, self._number
        self._number += 1
        point = surface.point(trial.candidate)
        if point is None:
            self._up = None
            return _unknown(surface, trial, number), None
        setting = surface.grid.split(point)[0]
        launch = 0.0
        fresh = trial.fresh or trial.phase is Phase.VERIFY
        if self._up is None or self._up[0] != setting or fresh:
            self._up = setting, self._drawn(setting, again=trial.fresh)
            launch = self._launch_seconds(*self._up)
        repetition = self._nearest(point, self._up[1])
        row = surface.rows[point][repetition]
        if row.failure is not None:
            self._up = None
            launch = row.launch_seconds
        seconds = row.seconds - row.launch_seconds + launch
        row = replace(row, number=number, trial=trial, seconds=seconds, launch_seconds=launch)
        return row, repetition

    def _drawn(self, setting: Candidate, *, again: bool) -> int:
        launches = self._launches.setdefault(setting, [])
        dice = random.Random(f"{self._seed} {setting} {len(launches) + 1}")  # noqa: S311 - no secret
        every = self._surface.repetitions
        left = [each for each in every if each not in launches] if again else every
        launches.append(dice.choice(left or every))
        return launches[-1]

    def _nearest(self, point: Candidate, wanted: int) -> int:
        """Return the repetition that was drawn, or one that this point has."""
        taken = self._surface.rows[point]
        return wanted if wanted in taken else min(taken)

    def _launch_seconds(self, setting: Candidate, repetition: int) -> float:
        known = self._surface.launches.get(setting, {})
        return known.get(repetition, min(known.values(), default=0.0))


def _unknown(surface: Surface, trial: Trial, number: int) -> Row:
    return Row(
        number=number,
        taken_at=surface.head.started_at,
        seconds=0.0,
        model=surface.head.model,
        variant=f"{surface.head.model}_config_unknown",
        digest=f"unknown {variant.canonical(surface.grid.split(trial.candidate)[0])}",
        trial=trial,
        load=LoadSpec(),
        failure=Failure(stage="launch", message="this point was not recorded"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a search did: its rows, the repetition that each came from, and why it stopped.

    ``thinking`` are the CPU's seconds that campaign and strategy took.
    """

    rows: tuple[Row, ...]
    repetitions: tuple[int | None, ...]
    why_stopped: str
    thinking: float

    def of(self, *phases: Phase) -> tuple[Row, ...]:
        """Return the rows of these phases."""
        return tuple(row for row in self.rows if row.trial.phase in phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is replayed: a strategy by name, under a budget of measurements (None: its own).

    ``whole`` goes on to load curves and verification, as a profile does. ``raced`` keeps so many
    of the ``max_trials`` for the verification alone: finalists and default by turns, and the end
    comes with the last measurement. The default configuration's count among the ``max_trials``.
    """

    strategy: str
    goal: Goal = field(default_factory=Goal)
    max_trials: int | None = None
    whole: bool = False
    raced: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


def replay(surface: Surface, search: Search, seed: int) -> Replayed:
    """Run a search over a surface.

    Raises:
        UsageError: there is no such strategy, or it cannot be used here.
    """
    rows: list[Row] = []
    repetitions: list[int | None] = []
    began = time.process_time()
    campaign, bench = _campaign(surface, search, seed), ReplayBench(surface, seed)
    limit = search.max_trials if search.raced else None
    while (trial := campaign.ask()) is not None and (limit is None or len(rows) < limit):
        row, repetition = bench.measure(trial)
        rows.append(row)
        repetitions.append(repetition)
        campaign.tell(row)
    thinking = time.process_time() - began
    return Replayed(
        rows=tuple(rows), repetitions=tuple(repetitions), why_stopped=campaign.why_stopped(),
        thinking=thinking,
    )  # fmt: skip


def _campaign(surface: Surface, search: Search, seed: int) -> Campaign:
    problem = Problem(
        space=surface.space,
        seed=seed,
        goal=search.goal,
        base=surface.served.top,
        cores=surface.grid.cores,
        max_trials=_searched(search),
        options=search.options,
    )
    strategy = _Recorded(find(search.strategy)(problem), surface)
    return Campaign(strategy, search.goal, plan_of(surface, search))


class _Recorded:
    """A strategy that is told at once of what was not recorded (rule 3)."""

    def __init__(self, strategy: Strategy, surface: Surface) -> None:
        self._strategy = strategy
        self._surface = surface
        self._pass_over()

    def ask(self) -> Candidate | None:
        """Name the strategy's next candidate that was recorded."""
        return self._strategy.ask()

    def tell(self, outcome: Outcome) -> None:
        """Tell the strategy, and whatever can be told without asking anybody."""
        self._strategy.tell(outcome)
        self._pass_over()

    def why(self) -> Why | None:
        """Give the strategy's reason."""
        return self._strategy.why()

    def repetition(self) -> int:
        """Say how often what the strategy asks for was measured."""
        return repetition(self._strategy)

    def ended(self) -> str:
        """Give the strategy's word."""
        return self._strategy.ended()

    def _pass_over(self) -> None:
        while (asked := self._strategy.ask()) is not None and self._surface.point(asked) is None:
            self._strategy.tell(Outcome(asked, None, feasible=False))


def plan_of(surface: Surface, search: Search) -> Plan:
    """Lay out the campaign as a profile would, but that no clock ends it."""
    grid = surface.grid
    options = ProfileOptions(model=surface.head.model, max_trials=_searched(search))
    usual = layout.plan(options, surface.space, grid.cores or 1, grid.means)
    timeless = replace(
        usual, cores=grid.cores, search_seconds=None, curve_seconds=None, verify_seconds=None,
        whole_seconds=None,
    )  # fmt: skip
    if search.whole:
        return timeless
    return replace(timeless, curve=(), verify_pairs=search.raced)


def _searched(search: Search) -> int | None:
    """Return how many measurements are the search's own."""
    return None if search.max_trials is None else search.max_trials - search.raced


def default_of(surface: Surface) -> Candidate:
    """Return the default configuration's point that others are measured against.

    Raises:
        UsageError: it was not recorded, and no search can begin.
    """
    first = plan_of(surface, Search(strategy="")).default[0]
    point = surface.point(first)
    if point is None:
        raise UsageError(
            f"{surface.name}: the default configuration was not recorded yet at {first}, where "
            "every search begins; go on with the recording"
        )
    return point
