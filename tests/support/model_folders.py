"""Model repositories on a disk, backends without a runtime, and models that only wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from engine.backend import Backend, Placement, Runnable, Signature
from engine.clock import Clock
from engine.errors import Internal, NotFound
from engine.execution.host import Host
from engine.execution.model import ServedModel
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType, TensorSpec

BATCHING = Signature(
    (TensorSpec("x", DType.FP32, (-1, 3)),), (TensorSpec("y", DType.FP32, (-1, 2)),), True
)


def write_model(
    repository: Path,
    name: str,
    config: str | None = "",
    versions: Sequence[str] = ("1",),
    file: str = "model.onnx",
) -> Path:
    """Write a model's folder: a config.pbtxt, if not None, and ``file`` in each version."""
    folder = repository / name
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    for version in versions:
        (folder / version).mkdir(exist_ok=True)
        if file:
            (folder / version / file).write_text(name, encoding="utf-8")
    return folder


def write_ensemble(repository: Path, name: str, *steps: str, version: int = -1) -> Path:
    """Write an ensemble that sends its one tensor through ``steps``, one after the other."""
    tensors = ["x", *(f"t{place}" for place in range(1, len(steps))), "y"]
    listed = "".join(
        f'step {{ model_name: "{step}" model_version: {version} '
        f'input_map {{ key: "x" value: "{tensors[place]}" }} '
        f'output_map {{ key: "y" value: "{tensors[place + 1]}" }} }} '
        for place, step in enumerate(steps)
    )
    config = (
        'platform: "ensemble" input { name: "x" data_type: TYPE_FP32 dims: 3 } '
        'output { name: "y" data_type: TYPE_FP32 dims: 2 } '
        f"ensemble_scheduling {{ {listed} }}"
    )
    return write_model(repository, name, config, file="")


class FakeBackend:
    """Knows every model file's signature in advance, and runs nothing."""

    def __init__(self, signature: Signature | None = BATCHING) -> None:
        self.signature = signature

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        if "unreadable" in directory.parts:
            message = f"{directory}: not a model file"
            raise Internal(message)
        assert config.name
        return self.signature

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        del directory, config, placement
        return _Nothing()


class _Nothing:
    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        return dict.fromkeys(outputs, inputs["x"])

    def describe(self) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        return


def find(name: str) -> Backend:
    """Find the one backend there is, under Triton's name for ONNX models."""
    if name != "onnxruntime":
        message = f"no backend named {name!r}; there are: onnxruntime"
        raise NotFound(message)
    return FakeBackend()


class FakeModel:
    """A served model that drains when it is told to, or at once."""

    def __init__(self, name: str, version: int, config: ModelConfig, *, at_once: bool) -> None:
        self.name = name
        self.version = version
        self.config = config
        self.stopped = 0
        self.load_ns = 0
        self.runtime: Mapping[str, str] = {}
        self.recruit: Callable[..., None] = lambda *_: None  # it cannot change its instances
        self._at_once = at_once
        self._drained: Callable[[], None] | None = None

    def stop(self, drained: Callable[[], None]) -> None:
        self.stopped += 1
        self._drained = drained
        if self._at_once:
            self.drain()

    def drain(self) -> None:
        assert self._drained is not None
        self._drained()


class FakeLoader:
    """Makes fake models; fails for the versions in ``broken``; remembers all it made.

    ``gate`` is called on the loading thread with the name of the model that is being loaded.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.directories: list[Path] = []
        self.order: list[str] = []
        self.gate: Callable[[str], object] | None = None
        self.broken: dict[tuple[str, int], Exception] = {}
        self.made: list[FakeModel] = []
        self._at_once = at_once

    def __call__(
        self,
        name: str,
        version: int,
        directory: Path,
        config: ModelConfig,
        backend: Backend,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        host: Host,
    ) -> ServedModel:
        assert directory.name == str(version)
        assert backend
        assert clock
        assert loop
        assert host.cores
        self.directories.append(directory)
        return self._make(name, version, config)

    def compose(self, name: str, version: int, folder: Path, config: ModelConfig) -> ServedModel:
        """Stand for what makes ensembles."""
        assert config.is_ensemble
        assert folder.name == name
        return self._make(name, version, config)

    def _make(self, name: str, version: int, config: ModelConfig) -> ServedModel:
        self.order.append(name)
        if self.gate is not None:
            self.gate(name)
        if (name, version) in self.broken:
            raise self.broken[name, version]
        model = FakeModel(name, version, config, at_once=self._at_once)
        self.made.append(model)
        return cast("ServedModel", model)
