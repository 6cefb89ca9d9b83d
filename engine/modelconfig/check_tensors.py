"""What may be wrong with a model's inputs and outputs (Triton's ``ValidateIOShape``).

Owns: the rules for one tensor's name, type, dimensions, reshape, format and label file. Does not
own: whether the model file agrees (``agree``).

1. A reshape has as many elements as the dimensions: between the dimensions that vary, too.
2. An empty reshape is for a model that batches scalars; without a batch, a scalar is dims: [ 1 ].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod

from engine.modelconfig.findings import Finding
from engine.modelconfig.locate import Path
from engine.modelconfig.schema import Dims, InputFormat, ModelConfig, ModelInput, ModelOutput

_ANY = -1  # the dimension that may vary


def check_tensors(config: ModelConfig) -> Iterator[Finding]:
    """Say what is wrong with inputs and outputs."""
    lists: tuple[tuple[str, Sequence[ModelInput | ModelOutput]], ...] = (
        ("input", config.input),
        ("output", config.output),
    )
    for kind, tensors in lists:
        counts = Counter(tensor.name for tensor in tensors if tensor.name)
        for index, tensor in enumerate(tensors):
            path: Path = (kind, index)
            if counts[tensor.name] > 1:
                counts[tensor.name] = 0  # said once
                what = f"model {kind} {tensor.name!r} is given more than once for {config.name}"
                yield Finding((*path, "name"), what, "every name may stand once")
            yield from _tensor(tensor, kind, path, config)
    for index, tensor in enumerate(config.input):
        yield from _input(tensor, ("input", index), config)
    yield from check_labels(config)


def leaves_the_folder(filename: str) -> bool:
    """Say whether a file named in a configuration would lie outside of the model's folder."""
    return filename.startswith("/") or ".." in filename.split("/")


def _tensor(
    tensor: ModelInput | ModelOutput, kind: str, path: Path, config: ModelConfig
) -> Iterator[Finding]:
    after = f" for {config.name}"
    if not tensor.name:
        yield Finding(path, f"model {kind} must specify 'name'{after}")
        return
    prefix = f"model {kind} '{tensor.name}' "
    if not tensor.dims:
        hint = "dims exclude the batch dimension; a scalar has dims: [ 1 ]"
        yield Finding(path, f"{prefix}must specify 'dims'{after}", hint)
    for index, dim in enumerate(tensor.dims):
        if dim < 1 and dim != _ANY:
            yield Finding(
                (*path, "dims", index),
                f"{prefix}dimension must be integer >= 1, or -1 to indicate a variable-size "
                f"dimension{after}",
            )
    if tensor.reshape == () and config.max_batch_size == 0:
        what = (
            f"{prefix}cannot have empty reshape for non-batching model as scalar tensors are not "
            f"supported{after}"
        )
        yield Finding((*path, "reshape"), what, "remove the reshape: dims: [ 1 ] is a scalar")
    elif tensor.reshape is not None:
        what = _reshape(tensor.dims, tensor.reshape)
        if what:
            yield Finding((*path, "reshape"), f"{prefix}{what}{after}")
    if tensor.is_shape_tensor and config.platform not in {"", "tensorrt_plan"}:
        what = f"shape tensors are only supported for TensorRT platform{after}"
        yield Finding((*path, "is_shape_tensor"), what)
    if tensor.is_non_linear_format_io and config.platform not in {"", "tensorrt_plan"}:
        what = f"Non-linear IO format is only supported for the TensorRT platform{after}"
        yield Finding((*path, "is_non_linear_format_io"), what)


def _reshape(dims: Dims, shape: Dims) -> str:
    """Say what is wrong with a reshape (rule 1); "" if nothing is."""
    if any(dim < 1 and dim != _ANY for dim in shape):
        return (
            "reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension"
        )
    if dims.count(_ANY) != shape.count(_ANY):
        return "has different number of variable-size dimensions for dims and reshape"
    if _runs(dims) != _runs(shape):
        return "has different size for dims and reshape"
    return ""


def _runs(dims: Dims) -> list[int]:
    """Multiply the dimensions between those that may vary."""
    runs: list[list[int]] = [[]]
    for dim in dims:
        if dim == _ANY:
            runs.append([])
        else:
            runs[-1].append(dim)
    return [prod(run) for run in runs]


def _input(tensor: ModelInput, path: Path, config: ModelConfig) -> Iterator[Finding]:
    image = tensor.format is not InputFormat.FORMAT_NONE
    if image and len(tensor.dims) != len("HWC"):
        what = f"model input NHWC/NCHW require 3 dims for {config.name}"
        yield Finding((*path, "format"), what, f"this input has {len(tensor.dims)}")
    if tensor.optional and config.max_batch_size > 0 and config.backend == "onnxruntime":
        yield Finding(
            (*path, "optional"),
            f"unable to load model '{config.name}', optional input '{tensor.name}' is not "
            "supported for models that support batching",
            "set max_batch_size: 0, or make the input required",
        )


def check_labels(config: ModelConfig) -> Iterator[Finding]:
    """Say which label files are not in the model's folder."""
    for index, output in enumerate(config.output):
        if leaves_the_folder(output.label_filename):
            yield Finding(
                ("output", index, "label_filename"),
                f"model output '{output.name}' label file '{output.label_filename}' is outside of "
                f"the model's folder for {config.name}",
                "name a file in the folder that holds config.pbtxt",
            )
