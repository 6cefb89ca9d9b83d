"""Python models: ``model.py`` with a class ``TritonPythonModel``, as in Triton's python backend.

Owns where a model runs: by default each instance in a process of its own (``engine.child``),
which may die without the server, and is started again; on demand in the server's process, where a
debugger reaches it, each with modules of its own (``imports``) and on its own thread. Does not own
the loading (``loading``), nor the environment (``environment``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from engine.attending import attended
from engine.backend import Executor, Placement, Signature
from engine.backends.python import environment
from engine.backends.python.child import tell
from engine.backends.python.loading import FILE, Wanted, complete, load
from engine.backends.python.settings import PARAMETER, Settings, read, yes
from engine.calling import Calls, Nobody
from engine.child.calls import ChildCalls
from engine.child.executor import ChildExecutor, said
from engine.child.life import Setup
from engine.errors import NotFound, Unsupported
from engine.inside import Inside
from engine.modelconfig.convert import from_json, to_json
from engine.modelconfig.schema import ModelConfig

_CHILD = "engine.backends.python.child"
# A class that has no other above it, in a file that does not name the method, has none.
_ALONE = re.compile(r"^class TritonPythonModel(\(\s*(object)?\s*\))?\s*:", re.MULTILINE)


class Python:
    """Loads ``model.py``."""

    def __init__(self, settings: Settings | None = None, inside: Inside | None = None) -> None:
        self._settings = settings or Settings()
        self._inside = inside

    def configured(self, settings: Mapping[str, str]) -> Python:
        """Give the backend as ``--backend-config`` wants it.

        Raises:
            InvalidArgument: a setting has a value that cannot be.
        """
        return Python(read(settings), self._inside)

    def calling(self, inside: Inside) -> Python:
        """Give the backend whose models call others by ``inside``."""
        return Python(self._settings, inside)

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """See that the file is there; what it takes and gives only the model itself can say.

        Raises:
            NotFound: the file is missing.
            Unsupported: it asks for an environment of its own within the server's process.
        """
        _find(directory, config)
        if self._is_inside(config) and config.parameters.get(environment.PARAMETER):
            raise Unsupported(
                f"model '{config.name}': parameters[{environment.PARAMETER!r}]: a model that runs"
                f" in the server's process has the server's environment; remove {PARAMETER}"
            )
        return None

    def auto_complete(self, directory: Path, config: ModelConfig) -> ModelConfig:
        """Run the model's ``auto_complete_config``, if it has one.

        Raises:
            InvalidArgument: the model refuses the configuration, or gives one that is none.
            Internal: the file cannot be run.
        """
        path = _find(directory, config)
        if self._is_inside(config):
            completed = complete(path, to_json(config))
        else:
            text = path.read_text(encoding="utf-8", errors="replace")
            if "auto_complete_config" not in text and _ALONE.search(text):
                return config
            given = {"path": str(path), "config": to_json(config)}
            completed = json.loads(
                said(self._setup("make_completed", given, config, directory, ""))
            )
        return from_json(completed, f"{path}: auto_complete_config")

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Executor:
        """Make and initialise one instance.

        Raises:
            EngineError: the file is missing, or what it raised.
        """
        wanted = Wanted(
            _find(directory, config),
            config.name,
            _arguments(directory, config, placement),
            [output.name for output in config.output],
            decoupled=config.decoupled,
            sequences=config.sequence_batching is not None,
        )
        key = config.name, int(directory.name) if directory.name.isdecimal() else 1
        if self._is_inside(config):
            if self._inside is None:
                return load(wanted, Nobody())
            return attended(partial(load, wanted), Calls(self._inside, key))
        setup = self._setup("make", tell(wanted), config, directory, placement.instance)
        calls = None if self._inside is None else ChildCalls(self._inside, key)
        return ChildExecutor(setup, calls)

    def _is_inside(self, config: ModelConfig) -> bool:
        where = f"model '{config.name}': parameters[{PARAMETER!r}]"
        return self._settings.in_process or yes(config.parameters.get(PARAMETER, ""), where)

    def _setup(
        self,
        function: str,
        given: Mapping[str, object],
        config: ModelConfig,
        directory: Path,
        instance: str,
    ) -> Setup:
        chosen = environment.find(
            config.parameters.get(environment.PARAMETER, ""), directory.parent
        )
        return Setup(
            name=instance or config.name,
            make=f"{_CHILD}:{function}",
            given=dict(given),
            python=chosen.python,
            environment=chosen.variables,
            memory=self._settings.memory,
            patience_s=self._settings.patience_s,
        )


def _find(directory: Path, config: ModelConfig) -> Path:
    path = directory / (config.default_model_filename or FILE)
    if not path.is_file():
        raise NotFound(
            f"{path}: no such file; put the model there, or name it in default_model_filename"
        )
    return path


def _kind(placement: Placement) -> str:
    if placement.by_model:
        return "MODEL"
    return "CPU" if placement.device is None else "GPU"


def _arguments(directory: Path, config: ModelConfig, placement: Placement) -> dict[str, str]:
    """Write what ``initialize`` is given; every value is a text."""
    return {
        "model_config": json.dumps(to_json(config)),
        "model_instance_kind": _kind(placement),
        "model_instance_name": placement.instance,
        "model_instance_device_id": str(placement.device or 0),
        "model_repository": str(directory.parent),
        "model_version": directory.name,
        "model_name": config.name,
    }
