"""What a server prepares its models by: its backends, its flags, its devices.

Owns: what ``--backend-config`` and auto-completion mean to the preparation of a model. Does not own
the preparation (``prepare``), nor which settings a backend has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.backend import Backend, Configurable, Grounded
from engine.errors import InvalidArgument

DEFAULT_MAX_BATCH_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a server prepares its models by: its backends, its flags, its devices.

    ``gpus`` are None if they are not known and not to be judged.
    """

    find: Callable[[str], Backend]
    auto: bool = True
    backend_config: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpus: tuple[int, ...] | None = ()

    def backend(self, name: str) -> Backend:
        """Find a backend, set up as ``--backend-config`` says.

        Raises:
            EngineError: there is none of that name, or a setting is wrong.
        """
        found, settings = self.find(name), self.backend_config.get(name, {})
        return found.configured(settings) if isinstance(found, Configurable) else found

    def no_gpu(self, backend: str) -> str:
        """Say why no model of this backend is put on a GPU by itself; "" if it may be.

        Raises:
            EngineError: there is no such backend.
        """
        found = self.find(backend) if self.gpus else None
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
