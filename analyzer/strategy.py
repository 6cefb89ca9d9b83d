"""The search strategy's interface, and how one is found by name.

A strategy is a pure ask/tell machine. Four laws, in one test kit that all of them inherit:
it asks only inside the space, never the same candidate twice, and ends; told the first k
outcomes, a fresh one goes on as the old one would have; asking twice is asking once; the
same seed gives the same questions.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
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
