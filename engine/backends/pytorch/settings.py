"""How a PyTorch model is to run: pure, from the configuration's ``parameters``.

The keys are those of Triton's PyTorch backend. What is None is left as PyTorch has it. Its
Python runtime (``runtime: "model.py"``) is not served: such a model is a Python model.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig

_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_PYTHON_RUNTIME = ("NUM_THREADS", "NUM_INTEROP_THREADS", "TORCH_COMPILE_OPTIONAL_PARAMETERS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a model's parameters ask for."""

    inference_mode: bool = True
    optimized_execution: bool = True
    cudnn: bool = True
    weight_sharing: bool = False
    cache_cleaning: bool = False
    intra_op_threads: int | None = None
    inter_op_threads: int | None = None
    jit_executor: bool | None = None
    jit_profiling: bool | None = None
    tensor_fuser: bool | None = None


def read(config: ModelConfig) -> Settings:
    """Read a model's parameters.

    Raises:
        InvalidArgument: one is not what it should be.
        Unsupported: they are the Python runtime's.
    """
    asked = [key for key in _PYTHON_RUNTIME if key in config.parameters]
    if asked or config.runtime.endswith(".py"):
        raise Unsupported(
            f"model '{config.name}': {', '.join(asked) or config.runtime} belongs to the Python"
            ' runtime of PyTorch models, which is not served; write backend: "python" and a'
            " model.py with a TritonPythonModel that imports torch"
        )
    return Settings(
        inference_mode=_switch(config, "INFERENCE_MODE") is not False,
        optimized_execution=not _switch(config, "DISABLE_OPTIMIZED_EXECUTION"),
        cudnn=not _switch(config, "DISABLE_CUDNN"),
        weight_sharing=bool(_switch(config, "ENABLE_WEIGHT_SHARING")),
        cache_cleaning=bool(_switch(config, "ENABLE_CACHE_CLEANING")),
        intra_op_threads=_count(config, "INTRA_OP_THREAD_COUNT"),
        inter_op_threads=_count(config, "INTER_OP_THREAD_COUNT"),
        jit_executor=_switch(config, "ENABLE_JIT_EXECUTOR"),
        jit_profiling=_switch(config, "ENABLE_JIT_PROFILING"),
        tensor_fuser=_switch(config, "ENABLE_TENSOR_FUSER"),
    )


def _switch(config: ModelConfig, key: str) -> bool | None:
    text = config.parameters.get(key)
    if text is None:
        return None
    value = _SWITCH.get(text.lower())
    if value is None:
        raise _wrong(config, key, "true or false")
    return value


def _count(config: ModelConfig, key: str) -> int | None:
    text = config.parameters.get(key)
    if text is None:
        return None
    count = int(text) if text.isascii() and text.isdigit() else 0
    if count < 1:
        raise _wrong(config, key, "a whole number above 0")
    return count


def _wrong(config: ModelConfig, key: str, wanted: str) -> InvalidArgument:
    found = config.parameters[key]
    return InvalidArgument(
        f"model '{config.name}': parameters['{key}']: expected {wanted}, found '{found}'"
    )
