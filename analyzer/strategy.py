"""The search strategy's interface, and how one is found by name.

A strategy is a pure ask/tell machine. Four laws, in one test kit that all of them inherit:
it asks only inside the space, never the same candidate twice, and ends; told the first k
outcomes, a fresh one goes on as the old one would have; asking twice is asking once; the
same seed gives the same questions.

``Scripted`` keeps the last three of them for whoever writes a strategy as a generator.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Generator
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from analyzer.space import Candidate, Outcome, Space


class Strategy(Protocol):
    """Chooses what to measure next from what was measured."""

    def ask(self) -> Candidate | None:
        """Name the next candidate, or None when the search is over. Changes nothing."""
        ...

    def tell(self, outcome: Outcome) -> None:
        """Learn the outcome of a candidate."""
        ...


#: a search as a generator: it yields candidates, and is sent the outcome of each
Script = Generator["Candidate", "Outcome", None]


class Scripted:
    """A strategy out of a script that depends on nothing but the outcomes it is sent.

    The script is run over what was told, as far as that reaches; so where it stands is a
    function of the outcomes alone, in whatever order they came. An outcome that it did not
    ask for waits until it does. Of two for one candidate the first counts.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._told: dict[Candidate, Outcome] = {}
        self._next = next(script, None)

    def ask(self) -> Candidate | None:
        """Name what the script waits for, or None when it has ended."""
        return self._next

    def tell(self, outcome: Outcome) -> None:
        """Keep the outcome, and run the script on if it was waiting for it."""
        self._told.setdefault(outcome.candidate, outcome)
        try:
            while self._next is not None and self._next in self._told:
                self._next = self._script.send(self._told[self._next])
        except StopIteration:
            self._next = None


#: ``make(space, seed) -> Strategy``
Make = Callable[["Space", int], Strategy]

GROUP = "analyzer.strategies"


def known() -> tuple[str, ...]:
    """Name every strategy that can be found here."""
    package = import_module(GROUP)
    builtin = {module.name for module in pkgutil.iter_modules(package.__path__)}
    return tuple(sorted(builtin | {entry.name for entry in entry_points(group=GROUP)}))


def find(name: str) -> Make:
    """Find a strategy's maker by its name.

    Raises:
        UsageError: there is none of that name.
    """
    for entry in entry_points(group=GROUP, name=name):
        return cast("Make", entry.load())
    if name in known():
        return cast("Make", import_module(f"{GROUP}.{name}").make)
    message = f"no strategy named {name!r}; there are: {', '.join(known())}"
    raise UsageError(message)
