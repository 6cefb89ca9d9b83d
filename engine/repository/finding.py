"""Finding models in the repositories, without blocking the event loop.

Owns: looking for models together with all that they are made of, and reading many
configurations side by side. Does not own what is done about what is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from engine.errors import Internal
from engine.modelconfig.findings import near
from engine.repository.loading import Loading
from engine.repository.request import Asked
from engine.repository.scan import Snapshot, find_models, scan, scan_model
from engine.repository.sent import Sent
from engine.repository.sighting import Sighting, look, read

_AS_IT_IS = Asked()


class Finding:
    """Looks into the repositories, on the threads that read."""

    def __init__(
        self, loading: Loading, repositories: Sequence[Path], config_name: str = ""
    ) -> None:
        self._read = loading.read
        # An ensemble that is refused anyway brings nothing along.
        self._follows = loading.composes
        self._repositories = repositories
        self._config_name = config_name

    async def names(self) -> tuple[str, ...]:
        """List the models that there are.

        Raises:
            NotFound: a repository is not there.
        """
        return tuple(await self._read(find_models, self._repositories))

    async def everything(self) -> Snapshot:
        """Look at every model.

        Raises:
            NotFound: a repository is not there.
        """
        return await self._read(scan, self._repositories, self._config_name)

    async def sightings(self, snapshot: Snapshot, names: Iterable[str]) -> dict[str, Sighting]:
        """Read the configurations of models in a snapshot; those that lie twice have a fault."""
        listed = sorted(names)
        found = await asyncio.gather(
            *(
                self._read(read, snapshot.models[name])
                if name in snapshot.models
                else self._read(look, name, snapshot.duplicates[name])
                for name in listed
            )
        )
        return dict(zip(listed, found, strict=True))

    async def look(self, wanted: Mapping[str, Asked]) -> dict[str, Sighting]:
        """Look for models, and for all that they are made of as far as it is there.

        Raises:
            NotFound: a repository is not there.
        """
        places = await self._read(find_models, self._repositories)
        sightings: dict[str, Sighting] = {}
        left = dict(wanted)
        while left:
            found = await asyncio.gather(
                *(
                    self._read(look, name, places.get(name, ()), one.config, self._config_name)
                    for name, one in left.items()
                )
            )
            sightings.update(zip(left, found, strict=True))
            if not self._follows:
                break
            needs = sorted({one for sighting in found for one in sighting.needs})
            left = {one: _AS_IT_IS for one in needs if one in places and one not in sightings}
        return sightings

    async def look_for(self, name: str, asked: Asked, sent: Sent | None) -> dict[str, Sighting]:
        """Look for what a load request asks for; files that it ``sent`` need no repository.

        Raises:
            Internal: there is no such model.
            NotFound: a repository is not there.
        """
        if sent is not None:
            folder = await self._read(scan_model, sent.directory, self._config_name)
            mine = await self._read(read, folder, asked.config, sent)
            return {**await self.look(dict.fromkeys(mine.needs, _AS_IT_IS)), name: mine}
        there = await self.names()
        if name not in there:
            raise Internal(
                f"failed to load '{name}', failed to poll from model repository: no model of that "
                f"name; {near(name, there) if there else 'the repository is empty'}"
            )
        return await self.look({name: asked})
