"""Finding the library of a native model, and which process it runs in.

Owns the search (Triton's order: version's folder, model's folder, backend directory) and the
parameter ``isolation``. The name in ``config.pbtxt`` is the library's: ``backend: "mine"`` is
``libtriton_mine.so``; ``backend: "native"`` serves the library that ``default_model_filename``
names. Does not own what a library does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from engine.attending import attended
from engine.backend import (
    BACKEND_DIRECTORY,
    Executor,
    Placement,
    Signature,
    library_places,
)
from engine.backends.native.carry import Form
from engine.backends.native.child import tell
from engine.backends.native.executor import Order, complete, load
from engine.calling import Calls, Nobody
from engine.child.calls import ChildCalls
from engine.child.executor import ChildExecutor, said
from engine.child.life import Memory, Setup
from engine.errors import InvalidArgument, NotFound
from engine.inside import Inside
from engine.modelconfig.convert import from_json, to_json
from engine.modelconfig.schema import ModelConfig

_ISOLATION = "isolation"
_CHILD = "engine.backends.native.child"
#: how long a library may take to unmake an instance
PATIENCE_S = 5.0
_COMPLETES = b"servetune_model_complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """Loads shared libraries that speak ``servetune_backend.h``.

    ``backends`` is the server's backend directory, ``settings`` are the library's own.
    """

    backends: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    inside: Inside | None = None
    patience_s: float = PATIENCE_S

    def configured(self, settings: Mapping[str, str]) -> Native:
        """Look into the server's backend directory, too, and give libraries their settings."""
        own = dict(settings)
        directory = own.pop(BACKEND_DIRECTORY, "")
        return replace(self, backends=Path(directory) if directory else None, settings=own)

    def calling(self, inside: Inside) -> Native:
        """Give the backend whose models call others by ``inside``."""
        return replace(self, inside=inside)

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
        text = (
            said(_setup("make_completed", order, self.patience_s))
            if _isolated(config)
            else complete(order)
        )
        if not text:
            return config
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
        key = config.name, order.version
        if _isolated(config):
            calls = None if self.inside is None else ChildCalls(self.inside, key)
            return ChildExecutor(_setup("make", order, self.patience_s), calls)
        if self.inside is None:
            return load(order, Nobody())
        return attended(partial(load, order), Calls(self.inside, key))

    def _order(self, directory: Path, config: ModelConfig, placement: Placement) -> Order:
        path = self._find(directory, config)
        return Order(
            path,
            directory,
            json.dumps(to_json(config)),
            _form(config),
            placement,
            json.dumps(dict(self.settings)),
        )

    def _find(self, directory: Path, config: ModelConfig) -> Path:
        file = config.default_model_filename
        if file:
            places: tuple[Path, ...] = (directory / file,)
        else:
            places = library_places(config.backend, directory, self.backends, config.runtime)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise NotFound(
                f"model '{config.name}': there is no library: looked for"
                f" {', '.join(map(str, places))}"
            )
        return found.absolute()


def _form(config: ModelConfig) -> Form:
    """Read what a model may answer."""
    lead = (-1,) if config.max_batch_size > 0 else ()
    known = {
        one.name: (one.data_type, (*lead, *(one.dims if one.reshape is None else one.reshape)))
        for one in config.output
    }
    return Form(config.name, config.decoupled, known)


def _setup(function: str, order: Order, patience_s: float) -> Setup:
    return Setup(
        name=order.placement.instance or order.form.model,
        make=f"{_CHILD}:{function}",
        given=tell(order),
        memory=Memory(prefix="servetune_native_"),
        patience_s=patience_s,
    )


def _isolated(config: ModelConfig) -> bool:
    word = config.parameters.get(_ISOLATION, "process")
    if word not in {"process", "none"}:
        raise InvalidArgument(
            f"model '{config.name}': parameters[{_ISOLATION!r}]: expected process (the default) or"
            f" none, found {word!r}"
        )
    return word == "process"
