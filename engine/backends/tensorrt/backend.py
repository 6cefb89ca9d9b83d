"""Loading plans: what ``engine.backend`` asks for, out of the parts beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from engine.backend import Placement, Runnable, Signature
from engine.backends.tensorrt.device import Device, Gpu
from engine.backends.tensorrt.library import deserialize
from engine.backends.tensorrt.plan import Plan, read, usable
from engine.backends.tensorrt.session import Opened, Session
from engine.backends.tensorrt.settings import Shared, read_shared
from engine.backends.tensorrt.settings import read as read_settings
from engine.cudadriver import CudaDriver
from engine.errors import ConfigError, NotFound
from engine.modelconfig.agree import disagreements
from engine.modelconfig.findings import located
from engine.modelconfig.schema import ModelConfig
from engine.shelf import Shelf
from engine.tensorrtlib import RTX, TENSORRT, Libraries, needed

#: the file of a plan where the configuration names none
DEFAULT = "model.plan"


@cache  # the driver is loaded once
def _driver() -> CudaDriver:
    return CudaDriver("A TensorRT plan", "serve its ONNX file on the CPU instead")


def _gpu(number: int) -> Device:
    return Gpu(_driver(), number)


@dataclass(frozen=True, slots=True)
class TensorRt:
    """Loads ``model.plan``. ``libraries`` bring TensorRT, ``open_gpu`` a GPU by CUDA's number."""

    libraries: Libraries = field(default_factory=Libraries)
    open_gpu: Callable[[int], Device] = _gpu
    shared: Shared = field(default_factory=Shared)
    shelf: Shelf[Opened] = field(default_factory=Shelf)

    def configured(self, settings: Mapping[str, str]) -> TensorRt:
        """Set up what all plans share.

        Raises:
            InvalidArgument: a setting is not what it should be.
        """
        return replace(self, shared=read_shared(settings))

    def no_gpu(self) -> str:
        """Say why no plan can run here, "" if one can."""
        why = [self.libraries.missing(name) for name in (TENSORRT, RTX)]
        if all(why):
            return f"no TensorRT can be imported ({why[0]}); pip install 'servetune[tensorrt]'"
        return ""

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read a plan's inputs, outputs and largest batch, on the first GPU that it may use.

        Raises:
            EngineError: the file, TensorRT or a GPU is missing, or the plan is not for them.
        """
        path = _find(directory, config)
        number = next((one for group in config.instance_group for one in group.gpus), 0)
        key = self._key(path, number)
        opened = self.shelf.take(key, lambda: self._open(path, config, number))
        try:
            return opened.plan.signature()
        finally:
            self.shelf.put_back(key)

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Make the execution contexts of one instance; the first one on a GPU reads the plan.

        Raises:
            EngineError: what is missing or wrong, and where.
        """
        path = _find(directory, config)
        settings = read_settings(config, placement)
        key = self._key(path, settings.device)
        opened = self.shelf.take(key, lambda: self._open(path, config, settings.device))
        try:
            _check(config, opened.plan, path)
            return Session(
                opened,
                usable(opened.plan, settings.profiles, config, path),
                settings,
                self.open_gpu(settings.device),
                batched=config.max_batch_size > 0,
                closed=lambda: self.shelf.put_back(key),
            )
        except BaseException:
            self.shelf.put_back(key)
            raise

    def _key(self, path: Path, device: int) -> tuple[object, ...]:
        stat = path.stat()
        return path.resolve(), stat.st_mtime_ns, stat.st_size, device, self.shared

    def _open(self, path: Path, config: ModelConfig, device: int) -> Opened:
        content = path.read_bytes()
        library = self.libraries.take(needed(content), config.name)
        self.open_gpu(device).enter()
        engine, runtime = deserialize(library, content, path, self.shared)
        return Opened(library, engine, runtime, read(engine, path))


def _check(config: ModelConfig, plan: Plan, path: Path) -> None:
    """Hold a configuration against the plan it is for."""
    differing = disagreements(config, plan.inputs, plan.outputs)
    if found := list(located((one for one in differing if not one.warning), str(path))):
        raise ConfigError(found)


def _find(directory: Path, config: ModelConfig) -> Path:
    path = directory / (config.default_model_filename or DEFAULT)
    if not path.is_file():
        there = sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []
        raise NotFound(
            f"{path}: no such file; {directory} holds {', '.join(there) or 'nothing'}: put the"
            " plan there, or name it in default_model_filename"
        )
    return path
