"""Loading ``model.py``: finding its class, initialising it, and ``auto_complete_config``.

Owns what is done wherever a model runs: in the engine's process (``backend``) or in its own
(``child``). Does not own which of them it is. Configurations are in their JSON form here, so that a
model's own process needs nothing that reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.backends.python import api
from engine.backends.python.asking import Asking
from engine.backends.python.door import closed, opened, through
from engine.backends.python.executor import CheckedExecutor, PythonExecutor
from engine.backends.python.imports import Modules
from engine.backends.python.trace import told
from engine.errors import Internal, InvalidArgument, NotFound

if TYPE_CHECKING:
    from engine.calling import Caller

FILE = "model.py"
_CLASS = "TritonPythonModel"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One instance that is to be loaded; ``arguments`` are what ``initialize`` is given."""

    path: Path
    name: str
    arguments: Mapping[str, str]
    outputs: Sequence[str]
    decoupled: bool
    sequences: bool


def load(wanted: Wanted, caller: Caller) -> PythonExecutor:
    """Make and initialise one instance, which calls other models by ``caller``.

    Raises:
        EngineError: what it raised.
    """
    path = wanted.path
    modules, asking = Modules((path.parent, path.parent.parent)), Asking(caller)
    opened(modules.name, asking)
    try:
        with through(asking):
            model = _model_class(path, modules)()
            _check(model, path)
            if (initialize := getattr(model, "initialize", None)) is not None:
                initialize(dict(wanted.arguments))
    except (Internal, NotFound):
        modules.forget()
        closed(modules.name)
        raise
    except BaseException as fault:
        modules.forget()
        closed(modules.name)
        raise Internal(f"model '{wanted.name}': {told(fault)}") from fault
    asking.open = True
    make = CheckedExecutor if hasattr(model, "is_ready") else PythonExecutor
    return make(
        model,
        modules,
        wanted.name,
        wanted.outputs,
        asking,
        decoupled=wanted.decoupled,
        sequences=wanted.sequences,
    )


def complete(path: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Run the model's ``auto_complete_config``, if it has one.

    Raises:
        InvalidArgument: the model refuses the configuration, or gives one that is none.
        Internal: the file cannot be run.
    """
    modules = Modules((path.parent, path.parent.parent))
    try:
        complete = getattr(_model_class(path, modules), "auto_complete_config", None)
        if complete is None:
            return config
        try:
            completed = complete(api.ModelConfig(config))
        except Exception as fault:
            raise InvalidArgument(f"{path}: auto_complete_config: {told(fault)}") from fault
    finally:
        modules.forget()
    if not isinstance(completed, api.ModelConfig):
        raise InvalidArgument(
            f"{path}: auto_complete_config must return the configuration that it was given, not"
            f" {type(completed).__name__}"
        )
    return completed.as_dict()


def _model_class(path: Path, modules: Modules) -> Any:  # noqa: ANN401 - the user's class
    try:
        module = modules.load(path)
    except Exception as fault:
        raise Internal(f"{path}: {told(fault)}") from fault
    found = getattr(module, _CLASS, None)
    if found is None:
        raise Internal(f"{path}: module '{path.stem}' has no attribute '{_CLASS}'")
    return found


def _check(model: object, path: Path) -> None:
    if not callable(getattr(model, "execute", None)):
        raise Internal(f"{path}: class {_CLASS} has no method 'execute'")
