"""What a configuration means to TensorRT-RTX's provider: pure.

It is a plug-in for ONNX Runtime with options of its own. Rules:

1. as the accelerator ``tensorrt_rtx`` it takes them as they are (``nv_``, ``enable_cuda_graph``);
2. it stands in for the accelerator ``tensorrt`` where TensorRT itself cannot be used: parameters
   that have a counterpart are translated, those that only say how TensorRT builds and keeps its
   engines have no effect, and a precision is refused, since it computes in what the ONNX file says.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import InvalidArgument, Unsupported

NAME = "NvTensorRTRTXExecutionProvider"
ACCELERATOR = "tensorrt_rtx"
CACHE = "nv_runtime_cache_path"
INSTALL = "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"
_COUNTERPARTS = {
    "max_workspace_size_bytes": "nv_max_workspace_size",
    "trt_profile_min_shapes": "nv_profile_min_shapes",
    "trt_profile_max_shapes": "nv_profile_max_shapes",
    "trt_profile_opt_shapes": "nv_profile_opt_shapes",
    "trt_cuda_graph_enable": "enable_cuda_graph",
    "trt_detailed_build_log": "nv_detailed_build_log",
    "trt_dump_subgraphs": "nv_dump_subgraphs",
}
_PRECISION = "precision_mode"
_INT8 = "int8_"
_TO_CONVERT = {"FP16": "onnx_fp16", "INT8": "onnx_int8"}


def own(parameters: Mapping[str, str]) -> dict[str, str]:
    """Apply rule 1.

    Raises:
        InvalidArgument: a parameter that is none of its own.
    """
    for key in parameters:
        if not key.startswith("nv_") and key != "enable_cuda_graph":
            raise InvalidArgument(
                f"unknown parameter '{key}' is provided for TensorRT-RTX Execution Accelerator; its"
                " own begin with nv_"
            )
    return dict(parameters)


def instead(parameters: Mapping[str, str]) -> dict[str, str]:
    """Apply rule 2 to parameters of TensorRT, which have been checked.

    Raises:
        Unsupported: a precision other than the file's.
    """
    precision = parameters.get(_PRECISION, "FP32")
    if precision != "FP32" or any(key.startswith(_INT8) for key in parameters):
        to = _TO_CONVERT.get(precision, "onnx_fp16")
        raise Unsupported(
            f"TensorRT is not there, and TensorRT-RTX, which is, has no precision_mode {precision}:"
            f" it computes in what the ONNX file says; convert it (engine convert --to {to}) and"
            f" take the parameter out, or pip install 'servetune[tensorrt]'"
        )
    return {_COUNTERPARTS[key]: value for key, value in parameters.items() if key in _COUNTERPARTS}
