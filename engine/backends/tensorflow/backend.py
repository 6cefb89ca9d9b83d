"""The backend: finds the model, and chooses what runs it: TensorFlow, else OpenVINO.

TensorFlow runs in a process of its own (``apart``): neither its threads nor its memory are the
server's. Nothing here imports either of the two before a model needs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from engine.backend import Placement, Runnable, Signature
from engine.backends.tensorflow import apart, signature
from engine.backends.tensorflow.apart import Shelf
from engine.backends.tensorflow.settings import IDLE, Settings, read
from engine.errors import InvalidArgument, NotFound, Unsupported
from engine.modelconfig.schema import ModelConfig

logger = logging.getLogger(__name__)

_USUAL = ("model.savedmodel", "model.graphdef")


def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _without_cuda() -> bool:
    """Say whether the installed TensorFlow is the build that has no CUDA in it."""
    try:
        metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class TensorFlow:
    """Loads ``model.savedmodel`` or ``model.graphdef``; ``has`` says if a package is installed.

    ``on_cpu_only`` says whether its TensorFlow can use no GPU.
    """

    has: Callable[[str], bool] = _installed
    on_cpu_only: Callable[[], bool] = _without_cuda
    shelf: Shelf = field(default_factory=Shelf)

    def no_gpu(self) -> str:
        """Say why what is installed cannot use a GPU, "" if it can. TensorFlow is not imported."""
        install = "pip install 'tensorflow[and-cuda]'"
        if not self.has("tensorflow"):
            if self.has("openvino"):
                return f"OpenVINO runs TensorFlow models on the CPU only; {install}"
            return ""  # which the load will say in full
        if self.on_cpu_only():
            return f"tensorflow-cpu has no CUDA in it; pip uninstall -y tensorflow-cpu && {install}"
        return ""

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read a SavedModel's signature; None for a frozen graph, and where a rank is not known.

        Raises:
            EngineError: it is missing or cannot be read, or a setting is wrong.
        """
        path, settings = _find(directory, config), read(config)
        self._runs_here(config)
        if not settings.graph:
            return signature.inspect(path, settings)
        if not config.input or not config.output:
            raise InvalidArgument(
                f"{path}: a frozen graph does not say which of its tensors are inputs and outputs;"
                " write all of them in config.pbtxt"
            )
        return None

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Load one instance.

        Raises:
            EngineError: what is missing or wrong, where, and what to do.
        """
        path, settings = _find(directory, config), read(config)
        for key in IDLE.keys() & config.parameters.keys():
            logger.warning("model '%s': %s has no effect: %s", config.name, key, IDLE[key])
        loaded = self._load(path, config, settings, placement)
        logger.info("model '%s' is run by %s", config.name, loaded.describe()["runtime"])
        return loaded

    def _load(
        self, path: Path, config: ModelConfig, settings: Settings, placement: Placement
    ) -> Runnable:
        if self._runs_here(config):
            return apart.load(path, config, settings, placement, self.shelf)
        borrowed = import_module("engine.backends.tensorflow.borrowed")
        loaded: Runnable = borrowed.load(path, config, settings, placement)
        return loaded

    def _runs_here(self, config: ModelConfig) -> bool:
        """Say whether TensorFlow is there, and not only OpenVINO.

        Raises:
            Unsupported: neither is.
        """
        if self.has("tensorflow"):
            return True
        if self.has("openvino"):
            return False
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
