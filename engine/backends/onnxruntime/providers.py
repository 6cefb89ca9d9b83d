"""Which execution providers a model asks for: pure, from its configuration.

Rules, from Triton's ONNX Runtime backend:

1. order: the GPU accelerators as listed, then CUDA (always on a GPU instance), then the CPU
   accelerators as listed, then the CPU;
2. accelerators for GPUs mean nothing on a CPU instance;
3. parameters are translated and checked here; one that is not known is an error;
4. a provider that the installed ONNX Runtime lacks is an error that names the package to
   install. Falling back to the CPU in silence is how wrong figures are made;
5. the ``openvino`` accelerator of a CPU instance is the package ``openvino`` where ONNX Runtime has
   no such provider (``runs_elsewhere``);
6. a provider that was asked for and that ONNX Runtime drops, or gives none of the graph's nodes, is
   an error too, unless ``parameters['allow_provider_fallback']`` says ``true``;
7. where TensorRT cannot be used and TensorRT-RTX's plug-in is there, that stands in (``rtx``); it
   needs no CUDA provider beside it;
8. what TensorRT builds is kept beside the model (``cached``), so that a model is built once and not
   by every start of the server; a parameter can say where else, or that it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.backend import Placement
from engine.backends.onnxruntime import rtx
from engine.errors import InvalidArgument, Unsupported
from engine.modelconfig.schema import Accelerator, ExecutionAccelerators, ModelConfig

#: the parameter that lets a model run without the provider it asks for
FALLBACK = "allow_provider_fallback"

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

_SWAP = "pip uninstall -y onnxruntime && pip install {} (only one of them can be installed)"
_INSTALL = {
    CUDA: _SWAP.format("onnxruntime-gpu"),
    TENSORRT: _SWAP.format("onnxruntime-gpu") + " and pip install 'tensorrt-cu13>=10.13,<11'",
    OPENVINO: _SWAP.format("onnxruntime-openvino"),
    rtx.NAME: rtx.INSTALL,
}

_PRECISIONS = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "BF16": {"trt_bf16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}
_TENSORRT_RENAMED = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_TENSORRT_PASSED_ON = frozenset(
    (
        "trt_max_partition_iterations",
        "trt_min_subgraph_size",
        "trt_dla_enable",
        "trt_dla_core",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_dump_subgraphs",
        "trt_force_sequential_engine_build",
        "trt_context_memory_sharing_enable",
        "trt_layer_norm_fp32_fallback",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
        "trt_force_timing_cache",
        "trt_detailed_build_log",
        "trt_build_heuristics_enable",
        "trt_sparsity_enable",
        "trt_builder_optimization_level",
        "trt_auxiliary_streams",
        "trt_tactic_sources",
        "trt_extra_plugin_lib_paths",
        "trt_profile_min_shapes",
        "trt_profile_max_shapes",
        "trt_profile_opt_shapes",
        "trt_cuda_graph_enable",
        "trt_dump_ep_context_model",
        "trt_ep_context_file_path",
        "trt_ep_context_embed_mode",
    )
)
_CUDA_SWITCHES = frozenset(("do_copy_in_default_stream", "use_ep_level_unified_stream"))
# Triton's deprecated places for CUDA options: top-level parameters, some of them numbered.
_CUDA_TOP_LEVEL: Mapping[str, Mapping[str, str]] = {
    "cudnn_conv_algo_search": {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "gpu_mem_limit": {},
    "arena_extend_strategy": {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "do_copy_in_default_stream": {},
}
_SWITCH = {"0": "0", "1": "1", "false": "0", "true": "1"}


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider and its options, in ONNX Runtime's own words."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


def choose(
    config: ModelConfig, placement: Placement, available: Collection[str]
) -> tuple[Provider, ...]:
    """List the providers of one instance, the preferred first; the CPU is always the last.

    Raises:
        InvalidArgument: an accelerator or a parameter that does not exist.
        Unsupported: a provider that is not among ``available``.
    """
    chosen = (*_asked_for(config, placement, available), Provider(CPU))
    for provider in chosen:
        if lacks := lacking(provider.name, available):
            kind = " or write kind: KIND_CPU" if placement.device is not None else ""
            raise Unsupported(
                f"model '{config.name}' needs {provider.name}: {lacks}, or take the accelerator"
                f" out of config.pbtxt{kind}"
            )
    return chosen


def cached(chosen: Sequence[Provider], folder: str) -> tuple[Provider, ...]:
    """Apply rule 8; without a ``folder`` that can be written nothing is kept by itself."""
    if not folder:
        return tuple(chosen)
    kept = {
        TENSORRT: {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": folder,
        },
        rtx.NAME: {rtx.CACHE: folder},
    }
    return tuple(Provider(one.name, {**kept.get(one.name, {}), **one.options}) for one in chosen)


def runs_elsewhere(config: ModelConfig, placement: Placement, available: Collection[str]) -> bool:
    """Apply rule 5.

    Raises:
        InvalidArgument: an accelerator or a parameter that does not exist.
    """
    if placement.device is not None or OPENVINO in available:
        return False
    return any(provider.name == OPENVINO for provider in _asked_for(config, placement, available))


def unused(
    config: ModelConfig,
    chosen: Sequence[Provider],
    had: Collection[str],
    nodes: Mapping[str, int],
) -> str:
    """Say why a session is not what was asked for (rule 6), "" if it is.

    ``had`` are the providers that the session has, and ``nodes`` counts the nodes of each; it is
    empty if that is not known.

    Raises:
        InvalidArgument: the parameter is neither true nor false.
    """
    if _switch(FALLBACK, config.parameters.get(FALLBACK, "false")) == "1":
        return ""
    if missing := [provider.name for provider in chosen if provider.name not in had]:
        return (
            f"ONNX Runtime could not use {', '.join(missing)} and would run the model with"
            f" {', '.join(had)} instead: see its message above (a library that is not there, or an"
            " option it does not take)"
        )
    # CUDA is there of itself below an accelerator; the first one is what was asked for.
    first = chosen[0].name
    if not nodes or first == CPU or nodes.get(first):
        return ""
    counts = ", ".join(f"{count} on {name}" for name, count in sorted(nodes.items()))
    return (
        f"{first} takes none of the model's nodes ({counts}): take the accelerator out of"
        f" config.pbtxt, or write parameters {FALLBACK}: true to serve the model all the same"
    )


def lacking(name: str, available: Collection[str]) -> str:
    """Say that the installed ONNX Runtime has no provider of that name; "" if it has it."""
    if name in available:
        return ""
    has = ", ".join(available)
    return f"the installed ONNX Runtime lacks {name} (it has: {has}); {_INSTALL[name]}"


def _asked_for(
    config: ModelConfig, placement: Placement, available: Collection[str]
) -> Iterator[Provider]:
    optimization = config.optimization
    accelerators = (optimization.execution_accelerators if optimization else None) or (
        ExecutionAccelerators()
    )
    if placement.device is not None:
        cuda = _cuda_top_level(config.parameters)
        device, needs_cuda = str(placement.device), True
        for accelerator in accelerators.gpu_execution_accelerator:
            translate = _ON_GPU.get(accelerator.name)
            if translate is None:
                raise _unknown(config, accelerator, _ON_GPU)
            provider = translate(accelerator.parameters)
            if provider.name == TENSORRT and TENSORRT not in available and rtx.NAME in available:
                provider = Provider(rtx.NAME, rtx.instead(accelerator.parameters))
            if provider.name == CUDA:
                cuda |= provider.options
            elif provider.name == rtx.NAME:  # a plug-in is given its device, not the number of it
                needs_cuda = CUDA in available
                yield provider
            else:
                yield Provider(provider.name, {**provider.options, "device_id": device})
        if needs_cuda:
            yield Provider(CUDA, {**cuda, "device_id": device})
    for accelerator in accelerators.cpu_execution_accelerator:
        translate = _ON_CPU.get(accelerator.name)
        if translate is None:
            raise _unknown(config, accelerator, _ON_CPU)
        yield translate(accelerator.parameters)


def _tensorrt(parameters: Mapping[str, str]) -> Provider:
    options: dict[str, str] = {}
    for key, value in parameters.items():
        if key == "precision_mode":
            if value not in _PRECISIONS:
                raise InvalidArgument(
                    f"unsupported precision mode '{value}' is requested; there are:"
                    f" {', '.join(_PRECISIONS)}"
                )
            options |= _PRECISIONS[value]
        elif key in _TENSORRT_RENAMED:
            options[_TENSORRT_RENAMED[key]] = value
        elif key in _TENSORRT_PASSED_ON:
            options[key] = value
        else:
            raise InvalidArgument(
                f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator"
            )
    return Provider(TENSORRT, options)


def _tensorrt_rtx(parameters: Mapping[str, str]) -> Provider:
    return Provider(rtx.NAME, rtx.own(parameters))


def _cuda(parameters: Mapping[str, str]) -> Provider:
    return Provider(
        CUDA,
        {
            key: _switch(key, value) if key in _CUDA_SWITCHES else value
            for key, value in parameters.items()
        },
    )


def _openvino(parameters: Mapping[str, str]) -> Provider:
    if parameters:
        raise InvalidArgument(
            "OpenVINO Execution Accelerator takes no parameters, found"
            f" {', '.join(sorted(parameters))}"
        )
    return Provider(OPENVINO, {"device_type": "CPU"})


def _cuda_top_level(parameters: Mapping[str, str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, words in _CUDA_TOP_LEVEL.items():
        value = parameters.get(key)
        if value is None:
            continue
        if words and value not in words:
            raise InvalidArgument(
                f"parameters['{key}']: expected one of {', '.join(words)}, found '{value}'"
            )
        options[key] = _switch(key, value) if key in _CUDA_SWITCHES else words.get(value, value)
    return options


def _switch(key: str, value: str) -> str:
    if value.lower() not in _SWITCH:
        raise InvalidArgument(f"parameter '{key}': expected true or false, found '{value}'")
    return _SWITCH[value.lower()]


def _unknown(
    config: ModelConfig, accelerator: Accelerator, there_are: Collection[str]
) -> InvalidArgument:
    return InvalidArgument(
        f"model '{config.name}': unknown Execution Accelerator '{accelerator.name}' is requested;"
        f" there are: {', '.join(there_are)}"
    )


_ON_GPU: Mapping[str, Callable[[Mapping[str, str]], Provider]] = {
    "tensorrt": _tensorrt,
    "cuda": _cuda,
    rtx.ACCELERATOR: _tensorrt_rtx,
}
_ON_CPU: Mapping[str, Callable[[Mapping[str, str]], Provider]] = {"openvino": _openvino}
