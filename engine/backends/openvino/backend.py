"""Loading OpenVINO models: what ``engine.backend`` asks for, out of the parts beside this one."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.backend import Placement, Runnable, Signature
from engine.backends.openvino import library
from engine.backends.openvino.graph import find, read_model
from engine.backends.openvino.request import Compiled, Request
from engine.backends.openvino.settings import Settings, read
from engine.errors import ConfigError, InvalidArgument, Unavailable
from engine.modelconfig.agree import disagreements
from engine.modelconfig.findings import located
from engine.modelconfig.schema import ModelConfig
from engine.shelf import Shelf

logger = logging.getLogger(__name__)


class OpenVino:
    """Loads ``model.xml``, or another format under ``default_model_filename``."""

    #: instances share a model that was compiled for their number of threads
    threaded = True

    def __init__(self) -> None:
        self._shelf: Shelf[Compiled] = Shelf()

    @property
    def compiled(self) -> int:
        """How many compiled models there are."""
        return len(self._shelf)

    @staticmethod
    def no_gpu() -> str:
        """Say why KIND_AUTO is the CPU: always."""
        return "OpenVINO does not run on NVIDIA GPUs"

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read the model's own inputs and outputs, with the batch the configuration gives it.

        Raises:
            InvalidArgument: a parameter of the configuration is wrong, or the model cannot be read.
            EngineError: the file or OpenVINO is missing, or it has types that cannot be served.
        """
        path = find(directory, config)
        return read_model(path, config, read(config, Placement()))[1]

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Make an infer request for one instance; the first one compiles the model.

        Raises:
            EngineError: what is missing or wrong, and where.
        """
        path = find(directory, config)
        settings = read(config, placement)
        key = (path, _stamps(path), repr(config), repr(settings))
        compiled = self._shelf.take(key, lambda: _compile(path, config, settings))
        try:
            return Request(compiled, config, lambda: self._shelf.put_back(key))
        except BaseException:
            self._shelf.put_back(key)
            raise


def _stamps(path: Path) -> tuple[tuple[int, int], ...]:
    """Tell a model's files from those that may stand there later."""
    files = sorted(path.rglob("*")) if path.is_dir() else (path, path.with_suffix(".bin"))
    found = (file.stat() for file in files if file.is_file())
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)


def _compile(path: Path, config: ModelConfig, settings: Settings) -> Compiled:
    model, signature = read_model(path, config, settings)
    differing = disagreements(config, signature.inputs, signature.outputs)
    if found := list(located((one for one in differing if not one.warning), str(path))):
        raise ConfigError(found)
    for key in settings.idle:
        logger.warning("%s: OpenVINO's %s has no %s: it is left out", path, settings.device, key)
    core = library.core(settings)
    try:
        compiled = core.compile_model(model, settings.device, dict(settings.properties))
    except library.FAULTS as fault:
        text, there = library.said(fault), core.available_devices
        if settings.device.partition(".")[0] not in {"AUTO", *there}:
            raise Unavailable(
                f"{path}: OpenVINO finds no device for TARGET_DEVICE '{settings.device}'; there"
                f" are: {', '.join(there)} ({text})"
            ) from fault
        raise InvalidArgument(f"{path}: OpenVINO could not compile it: {text}") from fault
    return Compiled.of(compiled, signature, settings)
