"""What the registry holds of one model, and how the repository index tells it.

Owns one model's record and its lines of the index. Does not own what changes a record
(``rollout``), nor the life of a version (``lifecycle``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.repository.graph import Standing
from engine.repository.lifecycle import ModelState
from engine.repository.sighting import Sighting
from engine.repository.versions import Versions


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index; a model never loaded has no version and no reason."""

    name: str
    version: str
    state: ModelState
    reason: str = ""


@dataclass(slots=True)
class Held:
    """One model that was asked for.

    It is ``wanted`` until it is unloaded, even while it cannot be loaded; ``by_name`` if
    somebody asked for itself, and not for an ensemble made of it. ``refusal`` says why it could
    not even be tried (a version's own reason is in its life), and ``deferred`` that a later
    version of this engine will serve it. ``seen`` is what it was last tried from, ``loaded``
    what its ready versions were loaded from; None if they must be loaded anew in any case.
    """

    versions: Versions = field(default_factory=Versions)
    wanted: bool = False
    by_name: bool = False
    refusal: str = ""
    deferred: bool = False
    seen: Sighting = field(default_factory=Sighting)
    loaded: Sighting | None = None

    @property
    def standing(self) -> Standing:
        """How it stands, for the models made of it."""
        failures = [life.reason for life in self.versions.states().values() if life.reason]
        failure = failures[-1] if failures else ""
        return Standing(self.versions.ready(), self.refusal, failure)

    def drop(self) -> None:
        """Stop serving it; nobody wants it any more."""
        self.versions.unwant_all()
        self.wanted = self.by_name = self.deferred = False
        self.refusal = ""
        self.loaded = None

    def entries(self, name: str) -> list[IndexEntry]:
        """Write its lines of the index."""
        states = self.versions.states()
        if self.refusal and not self.versions.ready():
            return [IndexEntry(name, "", ModelState.UNAVAILABLE, self.refusal)]
        if not states:
            return [IndexEntry(name, "", ModelState.LOADING)] if self.wanted else []
        return [
            IndexEntry(
                name,
                str(version),
                life.state,
                life.reason if life.state is ModelState.UNAVAILABLE else "",
            )
            for version, life in states.items()
        ]
