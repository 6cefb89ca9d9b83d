"""What becomes of one version of a model: pure.

A version is loaded again and again in its life; each load has a number, its generation, so
that what comes late (a load nobody waits for any more, the end of an old one's last request)
cannot be taken for what is current.

1. What serves goes on serving until another generation has loaded, or it is not wanted any
   more: while a reload is under way, or has failed, the old one stays ready.
2. A generation that loaded is served or unloaded, and unloaded once.
3. What nobody waits for any more is unloaded as soon as it has loaded.

=========== =============================== ===========================
state       holds while                     is left by
=========== =============================== ===========================
UNKNOWN     nothing was ever asked for      Wanted
LOADING     one loads and none serves       Loaded, Failed, Unwanted
READY       one serves (another may load)   Unwanted
UNLOADING   none of these, and an old one   Drained, Wanted
            has requests in flight
UNAVAILABLE none of these                   Wanted
=========== =============================== ===========================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

UNLOADED = "unloaded"


class ModelState(Enum):
    """A version's state, in the words of the repository index."""

    UNKNOWN = "UNKNOWN"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True)
class Life:
    """Where a version stands; the numbers are generations."""

    serving: int | None = None
    loading: int | None = None
    draining: frozenset[int] = frozenset()
    newest: int = 0
    reason: str = ""

    @property
    def state(self) -> ModelState:
        """The one word for it."""
        if self.serving is not None:
            return ModelState.READY
        if self.loading is not None:
            return ModelState.LOADING
        if self.draining:
            return ModelState.UNLOADING
        return ModelState.UNAVAILABLE if self.newest else ModelState.UNKNOWN


@dataclass(frozen=True, slots=True)
class Wanted:
    """Load it, or load it anew."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A load has succeeded."""

    generation: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A load has failed."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A load has succeeded, but another version's, begun with it, has not: neither counts."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Stop serving it."""


@dataclass(frozen=True, slots=True)
class Drained:
    """An unloaded generation has answered its last request and is gone."""

    generation: int


Event = Wanted | Loaded | Failed | Abandoned | Unwanted | Drained


@dataclass(frozen=True, slots=True)
class Load:
    """Begin to load this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Send requests to this generation from now on."""

    generation: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Let this generation finish what it has, then free it; tell by ``Drained``."""

    generation: int


Action = Load | Serve | Unload


def step(life: Life, event: Event) -> tuple[Life, tuple[Action, ...]]:
    """Say what an event makes of a life, and what is to be done, in this order."""
    actions: tuple[Action, ...] = ()
    match event:
        case Wanted():
            generation = life.newest + 1
            life = replace(life, loading=generation, newest=generation)
            actions = (Load(generation),)
        case Loaded(generation):
            life, actions = _loaded(life, generation)
        case Failed(generation, reason):
            if generation == life.loading:
                life = replace(life, loading=None, reason=reason)
        case Abandoned(generation, reason):
            if generation == life.loading:
                life = replace(life, loading=None, reason=reason)
            life, actions = _unload(life, generation)
        case Unwanted():
            old = life.serving
            life, actions = _unload(replace(life, serving=None, loading=None), old)
            life = replace(life, reason=UNLOADED)
        case Drained(generation):
            life = replace(life, draining=life.draining - {generation})
        case _:
            assert_never(event)
    return life, actions


def _loaded(life: Life, generation: int) -> tuple[Life, tuple[Action, ...]]:
    if generation != life.loading:  # rule 3
        return _unload(life, generation)
    fresh = replace(life, serving=generation, loading=None, reason="")
    fresh, unload = _unload(fresh, life.serving)
    return fresh, (Serve(generation), *unload)


def _unload(life: Life, generation: int | None) -> tuple[Life, tuple[Action, ...]]:
    if generation is None:
        return life, ()
    return replace(life, draining=life.draining | {generation}), (Unload(generation),)
