"""TensorRT for PyTorch models: what a configuration asks of Torch-TensorRT, and how it is asked.

An accelerator for GPUs means nothing on a CPU instance, as in the ONNX backend. What TensorRT
cannot take, Torch-TensorRT leaves to PyTorch. Does not import it: it is brought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.backend import Placement
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import Accelerator, ModelConfig
from engine.types import DType

_PRECISIONS = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16"}
_TYPES = {
    DType.BOOL: "bool",
    DType.INT8: "int8",
    DType.UINT8: "uint8",
    DType.INT32: "int32",
    DType.INT64: "int64",
    DType.FP16: "float16",
    DType.BF16: "bfloat16",
    DType.FP32: "float32",
    DType.FP64: "float64",
}
_NUMBERS = {"max_workspace_size_bytes": "workspace_size", "minimum_segment_size": "min_block_size"}


def unchanged(module: Any) -> Any:  # noqa: ANN401 - untyped library
    """Leave a module as it is."""
    return module


def choose(
    config: ModelConfig, placement: Placement, bring: Callable[[], Any]
) -> Callable[[Any], Any]:
    """Give what is to be done to a module before it runs; ``bring`` gives Torch-TensorRT.

    Raises:
        InvalidArgument: an accelerator or a parameter that does not exist, or dims left open.
        Unsupported: Torch-TensorRT is not there.
    """
    optimization = config.optimization
    accelerators = optimization.execution_accelerators if optimization else None
    if accelerators is None:
        return unchanged
    for one in accelerators.cpu_execution_accelerator:
        raise _unknown(config, one, "PyTorch models have none on the CPU")
    if placement.device is None:
        return unchanged
    for one in accelerators.gpu_execution_accelerator:
        if one.name != "tensorrt":
            raise _unknown(config, one, "there is: tensorrt")
        asked = _options(one.parameters)
        return _compile(config, bring(), asked)
    return unchanged


def _unknown(config: ModelConfig, one: Accelerator, there_are: str) -> InvalidArgument:
    return InvalidArgument(
        f"model '{config.name}': unknown Execution Accelerator '{one.name}' is requested;"
        f" {there_are}"
    )


def _options(parameters: Mapping[str, str]) -> Mapping[str, int | str]:
    options: dict[str, int | str] = {"precision": "float32"}
    for key, value in parameters.items():
        if key == "precision_mode":
            if value not in _PRECISIONS:
                raise InvalidArgument(
                    f"unsupported precision mode '{value}' is requested; there are:"
                    f" {', '.join(_PRECISIONS)}"
                )
            options["precision"] = _PRECISIONS[value]
        elif key in _NUMBERS and value.isascii() and value.isdigit():
            options[_NUMBERS[key]] = int(value)
        elif key in _NUMBERS:
            raise InvalidArgument(f"parameter '{key}': expected a whole number, found '{value}'")
        else:
            raise InvalidArgument(
                f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator"
            )
    return options


def _compile(
    config: ModelConfig,
    tensorrt: Any,  # noqa: ANN401 - untyped library
    options: Mapping[str, int | str],
) -> Callable[[Any], Any]:
    shapes = tuple(_shapes(config))
    numbers = {key: value for key, value in options.items() if key != "precision"}
    precision = str(options["precision"])

    def compiled(module: Any) -> Any:  # noqa: ANN401 - untyped library
        script = hasattr(module, "inlined_graph")
        inputs = [
            tensorrt.Input(**shape, dtype=getattr(tensorrt.dtype, kind)) for kind, shape in shapes
        ]
        try:
            return tensorrt.compile(
                module,
                ir="torchscript" if script else "dynamo",
                inputs=inputs,
                enabled_precisions={getattr(tensorrt.dtype, precision)},
                require_full_compilation=False,
                **numbers,
            )
        except Exception as fault:
            raise Internal(f"model '{config.name}': Torch-TensorRT failed: {fault}") from fault

    return compiled


def _shapes(config: ModelConfig) -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """List the inputs' types and shapes in the configuration's order: fixed, or up to a batch."""
    for tensor in config.input:
        kind = _TYPES.get(tensor.data_type)
        if kind is None:
            raise InvalidArgument(
                f"model '{config.name}': input '{tensor.name}' is of"
                f" {tensor.data_type.config_name}, which TensorRT has no type for; take the"
                " accelerator out"
            )
        dims = tensor.dims if tensor.reshape is None else tensor.reshape
        if -1 in dims:
            raise InvalidArgument(
                f"model '{config.name}': input '{tensor.name}' has dims {list(dims)}, and TensorRT"
                " has to know how large they are; write them in config.pbtxt, or take the"
                " accelerator out"
            )
        if config.max_batch_size == 0:
            yield kind, {"shape": dims}
        else:
            most = (config.max_batch_size, *dims)
            yield kind, {"min_shape": (1, *dims), "opt_shape": most, "max_shape": most}
