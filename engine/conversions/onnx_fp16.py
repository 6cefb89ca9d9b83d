"""ONNX to ONNX in fp16, inputs and outputs as they were.

For GPUs. A CPU has no arithmetic for it, and is slower with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.conversion import Conversion, Job
from engine.errors import InvalidArgument


def _write(job: Job, directory: Path) -> Sequence[str]:
    onnx = import_module("onnx")
    float16 = import_module("onnxruntime.transformers.float16")
    try:
        model = onnx.load(job.model)
        before = _floats(model, onnx.TensorProto.FLOAT)
        half: Any = float16.convert_float_to_float16(model, keep_io_types=True)
        onnx.save(half, directory / "model.onnx")
    except Exception as fault:
        text = f"{type(fault).__name__}: {fault}"
        raise InvalidArgument(f"{job.model}: cannot be converted to fp16: {text}") from fault
    if before == 0:
        raise InvalidArgument(f"{job.model}: has no FP32 weights, so there is nothing to convert")
    left = _floats(half, onnx.TensorProto.FLOAT)
    remarks = [
        f"{before - left} of {before} FP32 weights are FP16 now; inputs and outputs are unchanged"
    ]
    return (*remarks, "a CPU computes this more slowly than FP32: it is meant for GPUs")


def _floats(model: Any, kind: int) -> int:  # noqa: ANN401 - untyped library
    return sum(one.data_type == kind for one in model.graph.initializer)


CONVERSION = Conversion(
    summary="ONNX in FP16, for GPUs; inputs and outputs stay as they are",
    backend="onnxruntime",
    platform="onnxruntime_onnx",
    filename="model.onnx",
    write=_write,
)
