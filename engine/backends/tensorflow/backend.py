"""The backend: finds the model, and chooses what runs it: TensorFlow, else OpenVINO.

It runs in the server's process for now: TensorFlow's threads and memory are the server's too.
Nothing here imports either of the two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.backend import Placement, Runnable, Signature
from engine.backends.tensorflow.settings import IDLE, read
from engine.errors import NotFound, Unsupported
from engine.modelconfig.schema import ModelConfig

logger = logging.getLogger(__name__)

_HERE = "engine.backends.tensorflow"
_USUAL = ("model.savedmodel", "model.graphdef")


@dataclass(frozen=True, slots=True)
class TensorFlow:
    """Loads ``model.savedmodel`` or ``model.graphdef``; ``bring`` imports a module by its name."""

    bring: Callable[[str], Any] = import_module

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read a SavedModel's signature, which takes TensorFlow; a frozen graph has none.

        Raises:
            EngineError: it is missing or cannot be read, or a setting is wrong.
        """
        path, settings = _find(directory, config), read(config)
        runtime = self._runtime(config)
        signature: Signature | None = runtime.inspect(path, config, settings)
        return signature

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Load one instance.

        Raises:
            EngineError: what is missing or wrong, where, and what to do.
        """
        path, settings = _find(directory, config), read(config)
        for key in IDLE.keys() & config.parameters.keys():
            logger.warning("model '%s': %s has no effect: %s", config.name, key, IDLE[key])
        runtime = self._runtime(config)
        loaded: Runnable = runtime.load(path, config, settings, placement)
        logger.info("model '%s' is run by %s", config.name, loaded.describe()["runtime"])
        return loaded

    def _runtime(self, config: ModelConfig) -> Any:  # noqa: ANN401 - a module that needs a package
        for name, package in (("loaded", "tensorflow"), ("borrowed", "openvino")):
            try:
                return self.bring(f"{_HERE}.{name}")
            except ImportError as fault:
                if (fault.name or "").partition(".")[0] != package:
                    raise
        raise Unsupported(
            f"model '{config.name}' needs TensorFlow, and neither that nor OpenVINO, which reads"
            " its models too, is installed; pip install 'servetune[tensorflow]' or"
            " 'servetune[openvino]'"
        )


def _find(directory: Path, config: ModelConfig) -> Path:
    wanted = (config.default_model_filename,) if config.default_model_filename else _USUAL
    for name in wanted:
        if (directory / name).exists():
            return directory / name
    raise NotFound(
        f"{directory / wanted[0]}: the model is missing; put it there, or name it in"
        " default_model_filename"
    )
