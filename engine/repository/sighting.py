"""What a model looked like when it was to be loaded: its folder, and what its configuration says.

Reads the disk, so it belongs on a worker thread. Does not own what is done about it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError, Internal, InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.repository.differ import Made
from engine.repository.graph import Needs, needs_of
from engine.repository.prepare import Declared, declare
from engine.repository.scan import ModelFolder, scan_model
from engine.repository.sent import Sent

logger = logging.getLogger(__name__)

DUPLICATE = "model appears in two or more repositories"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A model as somebody saw it.

    ``fault`` says why it cannot be loaded; else ``folder`` and ``declared`` are set. It is
    ``plain`` if all that is as the repository has it, and no request brought anything along;
    ``sent`` are the files that one did.
    """

    folder: ModelFolder | None = None
    declared: Declared | None = None
    fault: EngineError | None = None
    plain: bool = True
    sent: Sent | None = None

    @property
    def needs(self) -> Needs:
        """The models it is made of."""
        return needs_of(self.declared.config if self.declared is not None else None)

    @property
    def made(self) -> Made | None:
        """What it is loaded from, if it can be."""
        if self.folder is None or self.declared is None:
            return None
        return Made(self.folder, self.declared.config)


def look(
    name: str,
    places: Sequence[Path],
    override: ModelConfig | None = None,
    config_name: str = "",
) -> Sighting:
    """Look for a model in the folders that bear its name; one is what it should have.

    ``config_name`` is that of ``--model-config-name``.
    """
    if len(places) > 1:
        listed = ", ".join(map(str, places))
        return Sighting(fault=InvalidArgument(f"{DUPLICATE}: {listed}"))
    if not places:
        return Sighting(fault=Internal(f"failed to load '{name}', failed to poll from model "
                                       "repository: no model of that name"))  # fmt: skip
    return read(scan_model(places[0], config_name), override)


def read(
    folder: ModelFolder, override: ModelConfig | None = None, sent: Sent | None = None
) -> Sighting:
    """Read the configuration of a folder that was looked at."""
    plain = override is None and sent is None
    fault: EngineError
    try:
        declared = declare(folder, override)
    except EngineError as error:
        fault = error
    except Exception as error:
        # A fault of ours, met by one model: the others are served.
        logger.exception("reading the configuration of '%s' failed", folder.name)
        fault = Internal(f"{folder.source}: {type(error).__name__}: {error}")
    else:
        return Sighting(folder=folder, declared=declared, plain=plain, sent=sent)
    return Sighting(folder=folder, fault=fault, plain=plain, sent=sent)
