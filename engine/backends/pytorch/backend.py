"""The backend: finds the model file, and has it opened, once PyTorch itself is there.

Nothing here imports ``torch``; that is why a server without PyTorch models does without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.backend import Placement, Runnable, Signature
from engine.backends.pytorch.settings import read
from engine.backends.pytorch.shared import Claims, Shelf
from engine.errors import NotFound, Unsupported
from engine.modelconfig.schema import ModelConfig

_USUAL = ("model.pt", "model.pt2")


@dataclass(frozen=True, slots=True)
class PyTorch:
    """Loads ``model.pt`` or ``model.pt2``. ``claims`` and ``shelf`` are what its models share.

    ``bring`` imports a module by its name.
    """

    claims: Claims = field(default_factory=Claims)
    shelf: Shelf = field(default_factory=Shelf)
    bring: Callable[[str], Any] = import_module

    @property
    def threaded(self) -> bool:
        """An instance computes with as many threads as it is placed with."""
        return True

    def no_gpu(self) -> str:
        """Say why PyTorch as it is installed cannot use a GPU, "" if it can."""
        try:
            torch = self.bring("torch")
        except ImportError:
            return ""  # which the load will say in full
        if torch.cuda.is_available():
            return ""
        return (
            f"PyTorch {torch.__version__} finds no GPU that it can use; a build for CUDA is needed,"
            " and a driver that is new enough for it"
        )

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read an exported program's inputs and outputs; the other kinds do not tell them.

        Raises:
            EngineError: the file is missing or cannot be read, a parameter is wrong, or the
                configuration leaves out what the file does not tell.
        """
        path = _find(directory, config)
        read(config)
        signature: Signature | None = self._opening(config).inspect(path, config)
        return signature

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Load one instance.

        Raises:
            EngineError: what is missing or wrong, where, and what to do.
        """
        path = _find(directory, config)
        settings = read(config)
        opening = self._opening(config)
        compiler = partial(tensorrt, self.bring, config)
        loaded: Runnable = opening.load(
            path, config, placement, settings, opening.Sharing(self.claims, self.shelf, compiler)
        )
        return loaded

    def _opening(self, config: ModelConfig) -> Any:  # noqa: ANN401 - a module that needs torch
        try:
            return self.bring("engine.backends.pytorch.opening")
        except ImportError as fault:
            if (fault.name or "").partition(".")[0] != "torch":
                raise
            raise Unsupported(
                f"model '{config.name}' needs PyTorch, which cannot be imported ({fault});"
                " pip install 'servetune[torch]'"
            ) from fault


def tensorrt(bring: Callable[[str], Any], config: ModelConfig) -> Any:  # noqa: ANN401 - untyped library
    """Bring Torch-TensorRT.

    Raises:
        Unsupported: it cannot be imported; says how to get it.
    """
    try:
        return bring("torch_tensorrt")
    except (ImportError, OSError, RuntimeError) as fault:  # also one whose libraries are missing
        raise Unsupported(
            f"model '{config.name}': gpu_execution_accelerator tensorrt needs Torch-TensorRT, which"
            f" cannot be imported ({fault}); pip install torch-tensorrt in the release of the"
            " installed torch, or take the accelerator out of config.pbtxt"
        ) from fault


def _find(directory: Path, config: ModelConfig) -> Path:
    wanted = (config.default_model_filename,) if config.default_model_filename else _USUAL
    for name in wanted:
        if (directory / name).is_file():
            return directory / name
    there = sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []
    raise NotFound(
        f"{directory / wanted[0]}: no such file; {directory} holds"
        f" {', '.join(there) or 'nothing'}: put the model there, or name it in"
        " default_model_filename"
    )
