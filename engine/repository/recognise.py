"""Which backend a model is for, if its configuration leaves it open: pure.

Owns: Triton's deduction (``AutoCompleteBackendFields``): by platform, else by
``default_model_filename``, else by what lies in the first version's folder; at last by a
model's name of the form ``x.<backend>``. What follows is filled in: name, backend, platform and
the model file's name. Does not own: whether that backend exists here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from engine.errors import InvalidArgument
from engine.modelconfig.schema import ModelConfig


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of model file that Triton knows by name."""

    backend: str
    platform: str
    filename: str


_PYTORCH = "pytorch"
# In Triton's order (core/src/constants.h): the first that fits is the model's.
_KINDS = (
    _Kind("tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    _Kind("tensorflow", "tensorflow_graphdef", "model.graphdef"),
    _Kind("tensorrt", "tensorrt_plan", "model.plan"),
    _Kind("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    _Kind("openvino", "", "model.xml"),
    _Kind(_PYTORCH, "pytorch_libtorch", "model.pt"),
    _Kind(_PYTORCH, "libtorch", "model.pt"),
    _Kind(_PYTORCH, "torch_aoti", "model.pt2"),
    _Kind("python", "", "model.py"),
)
_PLATFORMS = sorted({kind.platform for kind in _KINDS if kind.platform})


def recognise(config: ModelConfig, name: str, files: Collection[str]) -> ModelConfig:
    """Fill in which model this is, and which backend it is for; an ensemble has none.

    ``files`` are the names in the folder of the model's first version.

    Raises:
        InvalidArgument: nothing tells.
    """
    config = replace(config, name=config.name or name)
    if config.is_ensemble:
        return replace(config, platform=config.platform or "ensemble")
    kind = next(_fitting(config, files), None)
    if kind is None:
        backend = config.backend or name.partition(".")[2]
        if not backend:
            raise InvalidArgument(_untold(config, name, files))
        return replace(config, backend=backend)
    return replace(
        config,
        backend=kind.backend,
        platform=config.platform or kind.platform,
        default_model_filename=config.default_model_filename or kind.filename,
    )


def _fitting(config: ModelConfig, files: Collection[str]) -> Iterator[_Kind]:
    """List the kinds a model may be of, the likeliest first."""
    filename = config.default_model_filename
    kinds = [kind for kind in _KINDS if config.backend in {"", kind.backend}]
    if config.platform:
        yield from (kind for kind in kinds if kind.platform == config.platform)
    elif filename:
        yield from (kind for kind in kinds if kind.filename == filename)
    elif config.backend != _PYTORCH:  # which is TorchScript's unless its platform says otherwise
        yield from (kind for kind in kinds if kind.filename in files)
    if config.backend:  # whatever its file is called
        yield from kinds


def _untold(config: ModelConfig, name: str, files: Collection[str]) -> str:
    if config.platform:
        return (
            f"unexpected platform type '{config.platform}' for {name}; "
            f'there are: {", ".join(_PLATFORMS)}, ensemble; or write backend: "..."'
        )
    filename = config.default_model_filename
    if filename:
        return (
            f"cannot tell the backend of model '{name}' from default_model_filename: "
            f'"{filename}"; {_by_ending([filename])}'
        )
    return (
        f"Invalid model name: Could not determine backend for model '{name}' with no backend in "
        "model configuration. Expected model name of the form 'model.<backend_name>'. "
        f"{_by_ending(files)}"
    )


def _by_ending(files: Collection[str]) -> str:
    """Suggest a backend for a file that is a model, under a name that nobody looks for."""
    endings = {kind.filename.rpartition(".")[2]: kind.backend for kind in _KINDS}
    for file in sorted(files):
        backend = endings.get(file.rpartition(".")[2])
        if backend is not None:
            return (
                f'Write backend: "{backend}" and default_model_filename: "{file}" in config.pbtxt'
            )
    return 'Write backend: "..." in config.pbtxt'
