"""Which backend a model is for, if its configuration leaves it open: pure.

Owns: Triton's deduction (``AutoCompleteBackendFields``): by platform, else by
``default_model_filename``, else by what lies in the first version's folder; at last by a
model's name of the form ``x.<backend>``. Does not own: whether that backend exists here.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.errors import InvalidArgument
from engine.modelconfig.schema import ModelConfig

# In Triton's order: the first that fits is the backend.
_PLATFORMS = {
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "torch_aoti",
}
_FILES = {
    "model.savedmodel": "tensorflow",
    "model.graphdef": "tensorflow",
    "model.plan": "tensorrt",
    "model.onnx": "onnxruntime",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.pt2": "torch_aoti",
    "model.py": "python",
}
# For the hint only: a file that is a model, under a name nobody looks for.
_ENDINGS = {name.rpartition(".")[2]: name for name in _FILES}


def recognise(config: ModelConfig, name: str, files: Collection[str]) -> str:
    """Name the backend of a model; "" for an ensemble, which has none.

    ``files`` are the names in the folder of the model's first version.

    Raises:
        InvalidArgument: nothing tells.
    """
    if config.backend or config.is_ensemble:
        return config.backend
    if config.platform:
        if config.platform in _PLATFORMS:
            return _PLATFORMS[config.platform]
        raise InvalidArgument(
            f"unexpected platform type '{config.platform}' for {name}; "
            f'there are: {", ".join(sorted(_PLATFORMS))}, ensemble; or write backend: "..."'
        )
    if config.default_model_filename:
        backend = _FILES.get(config.default_model_filename)
        if backend is not None:
            return backend
        hint = _by_ending([config.default_model_filename])
        raise InvalidArgument(
            f"cannot tell the backend of model '{name}' from default_model_filename: "
            f'"{config.default_model_filename}"; {hint}'
        )
    for file, backend in _FILES.items():
        if file in files:
            return backend
    _, dot, backend = name.partition(".")
    if dot:
        return backend
    raise InvalidArgument(
        f"Invalid model name: Could not determine backend for model '{name}' with no backend in "
        "model configuration. Expected model name of the form 'model.<backend_name>'. "
        f"{_by_ending(files)}"
    )


def _by_ending(files: Collection[str]) -> str:
    for file in sorted(files):
        usual = _ENDINGS.get(file.rpartition(".")[2])
        if usual is not None:
            return (
                f'Write backend: "{_FILES[usual]}" and default_model_filename: "{file}" in '
                "config.pbtxt"
            )
    return 'Write backend: "..." in config.pbtxt'
