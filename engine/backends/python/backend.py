"""Python models: ``model.py`` with a class ``TritonPythonModel``, as in Triton's python backend.

Owns finding, loading and initialising one, and ``auto_complete_config``. Models run in the
engine's process, each instance with modules of its own (``imports``) and on its own thread; they
share the interpreter's lock. What a model asks for that takes a process of its own is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.backend import Executor, Placement, Signature
from engine.backends.python import api
from engine.backends.python.executor import CheckedExecutor, PythonExecutor
from engine.backends.python.imports import Modules
from engine.backends.python.trace import told
from engine.errors import Internal, InvalidArgument, NotFound, Unsupported
from engine.modelconfig.convert import from_json, to_json
from engine.modelconfig.schema import ModelConfig

_FILE = "model.py"
_CLASS = "TritonPythonModel"
_OWN_PROCESS = ("EXECUTION_ENV_PATH",)


class Python:
    """Loads ``model.py``."""

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """See that the file is there; what it takes and gives only the model itself can say.

        Raises:
            NotFound: the file is missing.
            Unsupported: it asks for an environment of its own.
        """
        _find(directory, config)
        for name in _OWN_PROCESS:
            if name in config.parameters:
                raise Unsupported(
                    f"model '{config.name}': parameters[{name!r}]: Python models run in the"
                    " server's own environment yet; install what the model needs there, and remove"
                    " the parameter"
                )
        return None

    def auto_complete(self, directory: Path, config: ModelConfig) -> ModelConfig:
        """Run the model's ``auto_complete_config``, if it has one.

        Raises:
            InvalidArgument: the model refuses the configuration, or gives one that is none.
            Internal: the file cannot be run.
        """
        path = _find(directory, config)
        modules = Modules((directory, directory.parent))
        try:
            complete = getattr(_model_class(path, modules), "auto_complete_config", None)
            if complete is None:
                return config
            try:
                completed = complete(api.ModelConfig(to_json(config)))
            except (Exception, SystemExit) as fault:
                raise InvalidArgument(f"{path}: auto_complete_config: {told(fault)}") from fault
        finally:
            modules.forget()
        if not isinstance(completed, api.ModelConfig):
            raise InvalidArgument(
                f"{path}: auto_complete_config must return the configuration that it was given, not"
                f" {type(completed).__name__}"
            )
        return from_json(completed.as_dict(), f"{path}: auto_complete_config")

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Executor:
        """Make and initialise one instance.

        Raises:
            EngineError: the file is missing, or what it raised.
        """
        path = _find(directory, config)
        modules = Modules((directory, directory.parent))
        try:
            model = _model_class(path, modules)()
            _check(model, path)
            if (initialize := getattr(model, "initialize", None)) is not None:
                initialize(_arguments(directory, config, placement))
        except (Internal, NotFound):
            modules.forget()
            raise
        except (Exception, SystemExit) as fault:
            modules.forget()
            raise Internal(f"model '{config.name}': {told(fault)}") from fault
        make = CheckedExecutor if hasattr(model, "is_ready") else PythonExecutor
        return make(
            model,
            modules,
            config.name,
            [output.name for output in config.output],
            decoupled=config.decoupled,
        )


def _find(directory: Path, config: ModelConfig) -> Path:
    path = directory / (config.default_model_filename or _FILE)
    if not path.is_file():
        raise NotFound(
            f"{path}: no such file; put the model there, or name it in default_model_filename"
        )
    return path


def _model_class(path: Path, modules: Modules) -> Any:  # noqa: ANN401 - the user's class
    try:
        module = modules.load(path)
    except (Exception, SystemExit) as fault:
        raise Internal(f"{path}: {told(fault)}") from fault
    found = getattr(module, _CLASS, None)
    if found is None:
        raise Internal(f"{path}: module '{path.stem}' has no attribute '{_CLASS}'")
    return found


def _check(model: object, path: Path) -> None:
    if not callable(getattr(model, "execute", None)):
        raise Internal(f"{path}: class {_CLASS} has no method 'execute'")


def _arguments(directory: Path, config: ModelConfig, placement: Placement) -> dict[str, str]:
    """Write what ``initialize`` is given; every value is a text."""
    return {
        "model_config": json.dumps(to_json(config)),
        "model_instance_kind": "CPU" if placement.device is None else "GPU",
        "model_instance_name": placement.instance,
        "model_instance_device_id": str(placement.device or 0),
        "model_repository": str(directory.parent),
        "model_version": directory.name,
        "model_name": config.name,
    }
