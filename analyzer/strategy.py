"""The search strategy's interface, and how one is found by name.

A strategy is a pure ask/tell machine. Four laws, in one test kit that all of them inherit:
it asks only inside the space, never the same candidate twice, and ends; told the first k
outcomes, a fresh one goes on as the old one would have; asking twice is asking once; the
same seed gives the same questions.

``Scripted`` keeps the last three of them for whoever writes a strategy as a generator.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.space import Candidate, Space
from engine.modelconfig.schema import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a strategy is given.

    ``base`` is the complete default configuration and ``cores`` the machine's usable ones; None
    where nobody knows them, and a strategy has to do without. ``max_trials`` is how many
    measurements there may be (None: as many as it likes). ``options`` are those of the strategy's
    own, by Model Analyzer's names.
    """

    space: Space
    seed: int = 0
    goal: Goal = field(default_factory=Goal)
    base: ModelConfig | None = None
    cores: int | None = None
    max_trials: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Strategy(Protocol):
    """Chooses what to measure next from what was measured."""

    def ask(self) -> Candidate | None:
        """Name the next candidate, or None when the search is over. Changes nothing."""
        ...

    def tell(self, outcome: Outcome) -> None:
        """Learn the outcome of a candidate."""
        ...

    def why(self) -> Why | None:
        """Say why it asks what it asks now, and what it expects; None if it cannot say."""
        ...

    def ended(self) -> str:
        """Say why it has nothing more to ask; "" if it cannot say, or has not ended."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate with the reason for asking for it."""

    candidate: Candidate
    why: Why


#: a search as a generator: it yields candidates, is sent the outcome of each, and returns why it
#: ended, or ""
Script = Generator[Candidate | Asked, Outcome, str]


class Scripted:
    """A strategy out of a script that depends on nothing but the outcomes it is sent.

    The script is run over what was told, as far as that reaches; so where it stands is a
    function of the outcomes alone, in whatever order they came. An outcome that it did not
    ask for waits until it does. Of two for one candidate the first counts.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._told: dict[Candidate, Outcome] = {}
        self._next: Candidate | None = None
        self._why: Why | None = None
        self._ended = ""
        self._run(None)

    def ask(self) -> Candidate | None:
        """Name what the script waits for, or None when it has ended."""
        return self._next

    def why(self) -> Why | None:
        """Give the script's own reason."""
        return self._why

    def ended(self) -> str:
        """Give what the script returned."""
        return self._ended

    def tell(self, outcome: Outcome) -> None:
        """Keep the outcome, and run the script on if it was waiting for it."""
        self._told.setdefault(outcome.candidate, outcome)
        while self._next is not None and self._next in self._told:
            self._run(self._told[self._next])

    def _run(self, known: Outcome | None) -> None:
        try:
            asked = next(self._script) if known is None else self._script.send(known)
        except StopIteration as end:
            self._next, self._why, self._ended = None, None, end.value
            return
        if isinstance(asked, Asked):
            self._next, self._why = asked.candidate, asked.why
        else:
            self._next, self._why = asked, None


Make = Callable[[Problem], Strategy]

GROUP = "analyzer.strategies"


@cache
def _brought() -> tuple[EntryPoint, ...]:
    """Find the strategies of other distributions: by reading all there are, so once."""
    return tuple(entry_points(group=GROUP))


def known() -> tuple[str, ...]:
    """Name every strategy that can be found here."""
    package = import_module(GROUP)
    builtin = {module.name for module in pkgutil.iter_modules(package.__path__)}
    return tuple(sorted(builtin | {entry.name for entry in _brought()}))


def find(name: str) -> Make:
    """Find a strategy's maker by its name.

    Raises:
        UsageError: there is none of that name.
    """
    for entry in _brought():
        if entry.name == name:
            return cast("Make", entry.load())
    if name in known():
        return cast("Make", import_module(f"{GROUP}.{name}").make)
    message = f"no strategy named {name!r}; there are: {', '.join(known())}"
    raise UsageError(message)
