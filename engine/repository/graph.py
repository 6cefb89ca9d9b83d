"""Which models are made of which: ensembles and the models they are composed of. Pure.

Owns: the order in which related models are loaded, what is touched when one of them changes,
what goes when one is unloaded, and Triton's texts for what does not hold together. Does not own
what is loaded, nor an ensemble's tensors (``modelconfig.wiring``).

A model is *above* those it is made of, and they are *below* it.

1. A model is loaded after all that are below it.
2. Models on a circle are not loaded, nor is anything above them.
3. What is unloaded takes along, if that is asked for, the models below it that nobody asked for
   by name and that no other loaded model is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from engine.modelconfig.schema import ModelConfig

#: the models one is made of, each with the versions it asks for; -1 is whichever is newest
Needs = Mapping[str, frozenset[int]]

_NOTHING: Needs = {}
_Step = Callable[[str], Iterable[str]]


def needs_of(config: ModelConfig | None) -> Needs:
    """List what a configuration says its model is made of."""
    found: dict[str, frozenset[int]] = {}
    for one in (config.ensemble_scheduling if config is not None else None) or ():
        found[one.model_name] = found.get(one.model_name, frozenset()) | {one.model_version}
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model stands: which versions are ready, and if none is, why.

    ``refusal`` says why it could not be tried, ``failure`` why loading it failed.
    """

    ready: tuple[int, ...] = ()
    refusal: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """The models there are, each with its needs; a need may lead to a model that is not there."""

    needs: Mapping[str, Needs]

    def below(self, names: Iterable[str]) -> frozenset[str]:
        """Give these models and all that they are made of, there or not."""
        return _reached(names, lambda name: self.needs.get(name, _NOTHING))

    def above(self, names: Iterable[str]) -> frozenset[str]:
        """Give these models and all that are made of them."""
        users = self._users()
        return _reached(names, lambda name: users.get(name, ()))

    def related(self, names: Iterable[str]) -> frozenset[str]:
        """Give all that an operation on these models may look at or touch."""
        users = self._users()
        return _reached(names, lambda name: (*self.needs.get(name, ()), *users.get(name, ())))

    def order(self, names: Collection[str]) -> tuple[str, ...]:
        """Sort models so that each comes after those below it (rule 1), but for circles.

        Those on a circle come in any order, and all that is above after them.
        """
        left = {name: {n for n in self.needs.get(name, ()) if n in names} for name in sorted(names)}
        ordered: list[str] = []
        while left:
            free = [name for name, waits_for in left.items() if not waits_for]
            free = free or [name for name in left if self._closes_circle(name) is not None]
            ordered += free
            for name in free:
                del left[name]
            for waits_for in left.values():
                waits_for.difference_update(free)
        return tuple(ordered)

    def faults(self) -> Mapping[str, str]:
        """Say of the models that cannot be loaded as they are made, why (rule 2)."""
        found: dict[str, str] = {}
        for name, needs in self.needs.items():
            missing = sorted(set(needs) - set(self.needs))
            if missing:
                found[name] = (
                    f"ensemble {name} contains models that are not available or ambiguous: "
                    f"{', '.join(missing)}"
                )
            elif (last := self._closes_circle(name)) is not None:
                found[name] = (
                    f"circular dependency between ensembles: {name} -> ... -> {last} -> {name}"
                )
        return found

    def unready(self, name: str, standings: Mapping[str, Standing]) -> str:
        """Say which model below ``name`` keeps it from being served, "" if none does."""
        for one, versions in self.needs.get(name, _NOTHING).items():
            said = f"ensemble '{name}' depends on '{one}' "
            standing = standings.get(one, Standing())
            if standing.ready:
                absent = sorted(versions - set(standing.ready) - {-1})
                if absent:
                    return f"{said}whose required version {absent[0]} is not loaded."
            elif standing.refusal:
                return (
                    f"{said}which is not valid. Model '{one}' failed with error: {standing.refusal}"
                )
            elif standing.failure:
                return (
                    f"{said}which has no loaded version. Model '{one}' loading failed with error: "
                    f"{standing.failure}"
                )
            else:
                return f"{said}which has no loaded version."
        return ""

    def cascade(self, name: str, asked_for: Collection[str]) -> tuple[str, ...]:
        """List what goes with ``name``, itself first (rule 3); ``asked_for`` stay."""
        users = {one: set(above) for one, above in self._users().items()}
        gone = [name]
        for one in gone:
            for below in self.needs.get(one, _NOTHING):
                users[below].discard(one)
                if not users[below] and below in self.needs and below not in {*asked_for, *gone}:
                    gone.append(below)
        return tuple(gone)

    def _users(self) -> Mapping[str, list[str]]:
        users: dict[str, list[str]] = {}
        for name, needs in self.needs.items():
            for one in needs:
                users.setdefault(one, []).append(name)
        return users

    def _closes_circle(self, name: str) -> str | None:
        """Give the model from which a way down from ``name`` comes back to it."""
        for one in sorted(self.below(self.needs.get(name, ()))):
            if name in self.needs.get(one, _NOTHING):
                return one
        return None


def _reached(names: Iterable[str], step: _Step) -> frozenset[str]:
    found = list(dict.fromkeys(names))
    known = set(found)
    for name in found:
        for one in step(name):
            if one not in known:
                known.add(one)
                found.append(one)
    return frozenset(known)
