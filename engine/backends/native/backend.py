"""Finding the library of a native model, and which process it runs in.

Owns the search (Triton's order: version's folder, model's folder, backend directory) and the
parameter ``isolation``. The name in ``config.pbtxt`` is the library's: ``backend: "mine"`` is
``libtriton_mine.so``; ``backend: "native"`` serves the library that ``default_model_filename``
names. Does not own what a library does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from engine.backend import (
    BACKEND_DIRECTORY,
    Executor,
    Placement,
    Signature,
    library_places,
)
from engine.backends.native import keeper
from engine.backends.native.calls import Caller, InsideCaller, Nobody
from engine.backends.native.executor import Order, complete, load
from engine.errors import InvalidArgument, NotFound
from engine.modelconfig.schema import ModelConfig

_ISOLATION = "isolation"
_COMPLETES = b"servetune_model_complete"


class Native:
    """Loads shared libraries that speak ``servetune_backend.h``."""

    def __init__(self, backends: Path | None = None, caller: Caller | None = None) -> None:
        self._backends = backends
        self._caller = caller or Nobody()

    def configured(self, settings: Mapping[str, str]) -> Native:
        """Look into the server's backend directory, too."""
        directory = settings.get(BACKEND_DIRECTORY)
        return Native(Path(directory) if directory else None, self._caller)

    def calling(self, inside: object) -> Native:
        """Let its models call others by ``inside``, an ``engine.inside.Inside``."""
        return Native(self._backends, InsideCaller(inside))  # type: ignore[arg-type]  # what is used of it

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """See that the library is there; what it takes and gives only the configuration says.

        Raises:
            NotFound: there is none.
            InvalidArgument: ``isolation`` is neither process nor none.
        """
        self._find(directory, config)
        _isolated(config)
        return None

    def auto_complete(self, directory: Path, config: ModelConfig) -> ModelConfig:
        """Have the library complete a configuration, if it exports the function for that.

        Raises:
            EngineError: it refuses, or is none.
        """
        order = self._order(directory, config, Placement())
        if _COMPLETES not in order.path.read_bytes():  # the name of what it exports is in it
            return config
        text = keeper.completed(order) if _isolated(config) else complete(order)
        if not text:
            return config
        # A child process imports this package, and needs no protobuf.
        from engine.modelconfig.convert import from_json  # noqa: PLC0415 - see above

        source = f"{order.path}: servetune_model_complete"
        try:
            values = json.loads(text)
        except ValueError as fault:
            raise InvalidArgument(f"{source}: the configuration is no JSON: {fault}") from None
        if not isinstance(values, dict):
            raise InvalidArgument(f"{source}: the configuration must be a JSON object")
        return from_json(values, source)

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Executor:
        """Make one instance.

        Raises:
            EngineError: there is no library, it is not one of ours, or what it returned.
        """
        order = self._order(directory, config, placement)
        if _isolated(config):
            return keeper.Keeper(order, self._caller)
        return load(order, self._caller)

    def _order(self, directory: Path, config: ModelConfig, placement: Placement) -> Order:
        from engine.modelconfig.convert import to_json  # noqa: PLC0415 - as above

        path = self._find(directory, config)
        return Order(path, directory, config, json.dumps(to_json(config)), placement)

    def _find(self, directory: Path, config: ModelConfig) -> Path:
        file = config.default_model_filename
        if file:
            places: tuple[Path, ...] = (directory / file,)
        else:
            places = library_places(config.backend, directory, self._backends, config.runtime)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise NotFound(
                f"model '{config.name}': there is no library: looked for"
                f" {', '.join(map(str, places))}"
            )
        return found.absolute()


def _isolated(config: ModelConfig) -> bool:
    word = config.parameters.get(_ISOLATION, "process")
    if word not in {"process", "none"}:
        raise InvalidArgument(
            f"model '{config.name}': parameters[{_ISOLATION!r}]: expected process (the default) or"
            f" none, found {word!r}"
        )
    return word == "process"


BACKEND = Native()
