"""What a server prepares its models by: its backends, its flags, its devices.

Owns: what ``--backend-config`` and auto-completion mean to the preparation of a model. Does not own
the preparation (``prepare``), nor which settings a backend has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.backend import (
    BACKEND_DIRECTORY,
    Backend,
    Configurable,
    Grounded,
    library_places,
)
from engine.errors import InvalidArgument, NotFound
from engine.modelconfig.schema import ModelConfig

DEFAULT_MAX_BATCH_SIZE = 4
_NATIVE = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a server prepares its models by: its backends, its flags, its devices.

    ``gpus`` are None if they are not known and not to be judged.
    """

    find: Callable[[str], Backend]
    auto: bool = True
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpus: tuple[int, ...] | None = ()
    backend_directory: Path | None = None

    def backend_of(self, config: ModelConfig, directory: Path) -> Backend:
        """Find the backend of a model, of which a version is in ``directory``.

        A name that no backend has is that of a library, if there is one; so are its settings.

        Raises:
            EngineError: there is none, or a setting is wrong.
        """
        try:
            found = self.backend(config.backend)
        except NotFound as missing:
            places = library_places(
                config.backend, directory, self.backend_directory, config.runtime
            )
            if not any(place.is_file() for place in places):
                raise NotFound(
                    f"{missing.message}; nor is there a library: looked for"
                    f" {', '.join(map(str, places))}"
                ) from None
            return self._set_up(_NATIVE, config.backend)
        return found

    def backend(self, name: str) -> Backend:
        """Find a backend, set up as ``--backend-config`` says.

        Raises:
            EngineError: there is none of that name, or a setting is wrong.
        """
        return self._set_up(name, name)

    def _set_up(self, name: str, settings_of: str) -> Backend:
        found, settings = self.find(name), self.backend_config.get(settings_of, {})
        if name == _NATIVE and self.backend_directory is not None:
            settings = {**settings, BACKEND_DIRECTORY: str(self.backend_directory)}
        return found.configured(settings) if isinstance(found, Configurable) else found

    def no_gpu(self, backend: str) -> str:
        """Say why no model of this backend is put on a GPU by itself; "" if it may be.

        It may be if nobody here has that name: it is a library's then.
        """
        try:
            found = self.find(backend) if self.gpus else None
        except NotFound:
            return ""
        return found.no_gpu() if isinstance(found, Grounded) else ""

    def default_max_batch_size(self, backend: str) -> int:
        """Read ``--backend-config=[<backend>,]default-max-batch-size=N``.

        Raises:
            InvalidArgument: it is no number.
        """
        key = "default-max-batch-size"
        for of in (backend, ""):
            text = self.backend_config.get(of, {}).get(key)
            if text is not None:
                if not text.isdecimal():
                    raise InvalidArgument(
                        f"--backend-config={of},{key}={text}: expected a whole number"
                    )
                return int(text)
        return DEFAULT_MAX_BATCH_SIZE
