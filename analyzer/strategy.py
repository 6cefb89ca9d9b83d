"""The search strategy's interface, and how one is found by name.

A strategy is a pure ask/tell machine. Four laws, in one test kit that all of them inherit:
it asks only inside the space, never the same candidate twice (but to measure it again, which
it has to say: ``Repeating``), and ends; told the first k
outcomes, a fresh one goes on as the old one would have; asking twice is asking once; the
same seed gives the same questions.

``Scripted`` keeps the last three of them for whoever writes a strategy as a generator.

Where several measurements run at a time, a strategy may be asked for more than one question before
it hears an answer (``Abreast``, ``ahead``). One that cannot is asked for one after the other.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast, runtime_checkable

from analyzer.errors import UsageError
from analyzer.ranking.goal import Goal
from analyzer.record.outcome import Outcome
from analyzer.record.row import Why
from analyzer.space import Candidate, Space
from engine.modelconfig.schema import ModelConfig

#: how many more measurements there is time for after some outcomes; None: nothing bounds them
Affordable = Callable[[Sequence[Outcome]], int | None]


def boundless(_: Sequence[Outcome]) -> int | None:
    """Say that no time bounds a search."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a strategy is given.

    ``base`` is the complete default configuration and ``cores`` the machine's usable ones; None
    where nobody knows them, and a strategy has to do without. ``max_trials`` is how many
    measurements there may be (None: as many as it likes), and ``abreast`` how many of them run at a
    time. ``affordable`` says how many more the time allows after some outcomes (None: nothing
    bounds it), by what those took: a function of the outcomes, so resuming changes nothing.
    ``options`` are those of the strategy's own, by Model Analyzer's names.
    """

    space: Space
    seed: int = 0
    goal: Goal = field(default_factory=Goal)
    base: ModelConfig | None = None
    cores: int | None = None
    max_trials: int | None = None
    abreast: int = 1
    affordable: Affordable = boundless
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
    """A candidate with the reason for asking for it, and how often it was measured before."""

    candidate: Candidate
    why: Why | None
    repetition: int = 0


@dataclass(frozen=True, slots=True)
class Early:
    """A question that a script does not wait for: it asks for the outcome later, or never."""

    asked: Asked


@runtime_checkable
class Abreast(Strategy, Protocol):
    """A strategy that can ask for more than one candidate at a time."""

    def ahead(self, pending: Sequence[Candidate]) -> Asked | None:
        """Name what to measure besides ``pending``, which were asked for and not answered yet.

        None where that depends on what comes of them, or there is nothing more. Changes nothing,
        and is ``ask`` where nothing is pending.
        """
        ...


@runtime_checkable
class Repeating(Strategy, Protocol):
    """A strategy that may ask for what was measured, to be surer of it.

    It is then told the mean of what all repetitions showed, in the place of what it knew.
    """

    def repetition(self) -> int:
        """Say how often what it asks now was measured before. Changes nothing."""
        ...


def repetition(strategy: Strategy) -> int:
    """Return how often what a strategy asks now was measured before; 0 if it never repeats."""
    return strategy.repetition() if isinstance(strategy, Repeating) else 0


def ahead(strategy: Strategy, pending: Sequence[Candidate]) -> Asked | None:
    """Ask a strategy for one more while others are pending; None where it has to wait, or ends."""
    if not pending:
        candidate = strategy.ask()
        if candidate is None:
            return None
        return Asked(candidate, strategy.why(), repetition(strategy))
    return strategy.ahead(pending) if isinstance(strategy, Abreast) else None


#: a search as a generator: it yields candidates, is sent the outcome of each, and returns why it
#: ended, or ""; of what it yields as ``Early`` it is sent nothing
Script = Generator[Candidate | Asked | Early, Outcome, str]


class Scripted:
    """A strategy out of a script that depends on nothing but the outcomes it is sent.

    The script is run over what was told, as far as that reaches; so where it stands is a
    function of the outcomes alone, in whatever order they came. An outcome that it did not
    ask for waits until it does. Of two for one candidate the first counts.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._told: dict[Candidate, Outcome] = {}
        #: what was asked for and not answered, the oldest first, and why
        self._open: dict[Candidate, Why | None] = {}
        self._waits: Candidate | None = None
        self._ended = ""
        self._run(None)

    def ask(self) -> Candidate | None:
        """Name what the script asked for first of all that is not answered, or None."""
        return next(iter(self._open), None)

    def ahead(self, pending: Sequence[Candidate]) -> Asked | None:
        """Name the next that the script asked for; None where it waits for those pending."""
        return next((Asked(*one) for one in self._open.items() if one[0] not in pending), None)

    def why(self) -> Why | None:
        """Give the script's own reason."""
        return next(iter(self._open.values()), None)

    def ended(self) -> str:
        """Give what the script returned."""
        return "" if self._open else self._ended

    def tell(self, outcome: Outcome) -> None:
        """Keep the outcome, and run the script on if it was waiting for it."""
        self._told.setdefault(outcome.candidate, outcome)
        self._open.pop(outcome.candidate, None)
        while self._waits is not None and self._waits in self._told:
            self._run(self._told[self._waits])

    def _run(self, known: Outcome | None) -> None:
        try:
            asked = next(self._script) if known is None else self._script.send(known)
            while isinstance(asked, Early):
                self._asks(asked.asked)
                asked = next(self._script)
        except StopIteration as end:
            self._waits, self._ended = None, end.value
            return
        asked = asked if isinstance(asked, Asked) else Asked(asked, None)
        self._waits = asked.candidate
        self._asks(asked)

    def _asks(self, asked: Asked) -> None:
        if asked.candidate not in self._told:
            self._open.setdefault(asked.candidate, asked.why)


class Branched:
    """A strategy out of scripts that know nothing of one another: each may be asked at any time.

    One after the other asks the first that has not ended, so the order is that of the scripts. A
    candidate must be no more than one script's. ``ended`` is what is said when all have.
    """

    def __init__(self, scripts: Iterable[Script], ended: str) -> None:
        self._unread = iter(scripts)
        self._live: list[Scripted] = []
        self._told: dict[Candidate, Outcome] = {}
        self._ended = ended

    def ask(self) -> Candidate | None:
        """Name what the first script that has not ended waits for."""
        asked = self.ahead(())
        return None if asked is None else asked.candidate

    def ahead(self, pending: Sequence[Candidate]) -> Asked | None:
        """Name what the first script asks for that does not wait for one of those pending."""
        every = (branch.ahead(pending) for branch in self._branches())
        return next((asked for asked in every if asked is not None), None)

    def why(self) -> Why | None:
        """Give that script's own reason."""
        asked = self.ahead(())
        return None if asked is None else asked.why

    def ended(self) -> str:
        """Say how it ended, once it has."""
        return "" if next(self._branches(), None) else self._ended

    def tell(self, outcome: Outcome) -> None:
        """Tell those scripts that have begun; the others hear of it when they do."""
        self._told.setdefault(outcome.candidate, outcome)
        for branch in self._live:
            branch.tell(outcome)
        self._live = [branch for branch in self._live if branch.ask() is not None]

    def _branches(self) -> Iterator[Scripted]:
        """Yield the scripts that ask for something, and begin the next as far as it is needed."""
        yield from self._live
        for script in self._unread:
            branch = Scripted(script)
            for outcome in self._told.values():
                branch.tell(outcome)
            if branch.ask() is not None:
                self._live.append(branch)
                yield branch


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
