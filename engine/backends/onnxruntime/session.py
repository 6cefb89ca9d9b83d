"""ONNX Runtime sessions: making them, and reading their signature.

Does not decide how a session is made (``settings``, ``providers``), nor how it runs (``running``).
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from engine.backend import Placement, Runnable, Signature
from engine.backends.onnxruntime import graphs, libraries, rtx
from engine.backends.onnxruntime.accelerated import through_openvino
from engine.backends.onnxruntime.plugin import Plugin
from engine.backends.onnxruntime.providers import (
    CPU,
    CUDA,
    TENSORRT,
    Provider,
    cached,
    choose,
    lacking,
    runs_elsewhere,
    unused,
)
from engine.backends.onnxruntime.running import (
    DTYPES,
    FAULTS,
    RecordedSession,
    Session,
    SessionOnGpu,
    nodes_of,
    shape_of,
    shortened,
)
from engine.backends.onnxruntime.settings import GraphLevel, Pool, Settings, read, read_pool
from engine.backends.onnxruntime.sized import SIZES, BySize, sizes_of
from engine.errors import ConfigError, Internal, NotFound, Problem, Unsupported
from engine.modelconfig.agree import disagreements
from engine.modelconfig.findings import located
from engine.modelconfig.schema import ModelConfig
from engine.types import DType, TensorSpec

logger = logging.getLogger(__name__)

_LEVELS = {
    GraphLevel.ALL: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    GraphLevel.EXTENDED: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    GraphLevel.BASIC: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    GraphLevel.NONE: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_ASSIGNMENT = "session.record_ep_graph_assignment_info"
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """Loads ``model.onnx``: a file, or a folder that holds one beside its weights.

    Its sessions have threads of their own, or share a ``pool``.
    """

    pool: Pool | None = None

    @property
    def threaded(self) -> bool:
        """Whether a session has as many threads as it is placed with."""
        return self.pool is None

    def configured(self, settings: Mapping[str, str]) -> OnnxRuntime:
        """Set up what the sessions share.

        Raises:
            InvalidArgument: a setting is not what it should be.
        """
        pool = read_pool(settings)
        if pool is not None:
            _share(pool)
        return replace(self, pool=pool)

    @staticmethod
    def no_gpu() -> str:
        """Say why this installation cannot use a GPU, "" if it can."""
        return lacking(CUDA, ort.get_available_providers())

    def inspect(self, directory: Path, config: ModelConfig) -> Signature | None:
        """Read the model's own inputs and outputs.

        Raises:
            InvalidArgument: a parameter of the configuration is wrong; told here, so that nothing
                has to be loaded to learn of it.
            EngineError: the file is missing, cannot be read, or has types that cannot be served.
        """
        path = _find(directory, config)
        read(config, Placement())
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Nothing is run here, so nothing is prepared: this costs a fraction of a real load.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if self.pool is None:
            options.intra_op_num_threads = 1
        else:  # once there is a pool, no session of the process may do without it
            options.use_per_session_threads = False
        return _signature(_open(path, options, (Provider(CPU),)), path)

    def load(self, directory: Path, config: ModelConfig, placement: Placement) -> Runnable:
        """Make a session for one instance.

        Raises:
            EngineError: what is missing or wrong, and where; also if ONNX Runtime would run the
                model with other providers than the configuration asks for.
        """
        path = _find(directory, config)
        settings = read(config, placement, self.pool)
        available = _available(config, placement)
        if runs_elsewhere(config, placement, available):
            return through_openvino(directory, path, config, placement)
        chosen = choose(config, placement, available)
        if any(provider.name in {TENSORRT, rtx.NAME} for provider in chosen):
            chosen = cached(chosen, _cache_folder(directory))
        device = placement.device or 0
        session = _open(path, _options(settings), chosen, device)
        if why := unused(config, chosen, session.get_providers(), nodes_of(session)):
            raise Unsupported(f"{path}: {why}")
        signature = _signature(session, path)
        _check(config, signature, path)
        if placement.device is None or CUDA not in session.get_providers() or not _binds(signature):
            return Session(session, settings, config)
        return _on_gpu(
            session,
            signature,
            lambda: _open(path, _options(settings), chosen, device),
            _Wanted(path, settings, config, placement.device, _recorded(chosen)),
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a session on a GPU is for."""

    path: Path
    settings: Settings
    config: ModelConfig
    device: int
    recorded: bool


def _on_gpu(
    session: Any,  # noqa: ANN401 - untyped library
    signature: Signature,
    another: Callable[[], Any],
    wanted: _Wanted,
) -> Runnable:
    """Run a session on a GPU; or several, where each is to see one size of batch."""
    config, recorded = wanted.config, wanted.recorded
    sizes = sizes_of(config) if signature.batchable else ()
    if recorded and (why := _not_recordable(config, signature, sizes)):
        raise Unsupported(f"{wanted.path}: {graphs.ENABLE} needs {why}")
    kind = RecordedSession if recorded else SessionOnGpu

    def made(session: Any) -> SessionOnGpu:  # noqa: ANN401 - untyped library
        return kind(session, wanted.settings, config, wanted.device)

    if not sizes or not (recorded or _convolves(session)):
        return made(session)
    return BySize(made(session), lambda: made(another()), sizes, fixed=recorded)


@cache  # ONNX Runtime has one pool in a process, made anew by every call
def _share(pool: Pool) -> None:
    ort.set_global_thread_pool_sizes(pool.intra_op_threads, pool.inter_op_threads)


@cache  # a plug-in is registered once
def _plugin() -> Plugin:
    return Plugin(ort)


def _available(config: ModelConfig, placement: Placement) -> Sequence[str]:
    """List the providers that can be used, once the libraries that they need are looked for."""
    available = [*ort.get_available_providers(), *_plugin().names]
    if placement.device is None:
        return available
    libraries.load(libraries.CUDA, _cuda_version())
    optimization = config.optimization
    asked = optimization.execution_accelerators if optimization else None
    if asked is None or all(one.name != "tensorrt" for one in asked.gpu_execution_accelerator):
        return available
    libraries.load(libraries.TENSORRT, _cuda_version())
    if rtx.NAME in available and not libraries.usable(libraries.TENSORRT[0]):
        return [name for name in available if name != TENSORRT]
    return available


def _cuda_version() -> str:
    """Say which CUDA this ONNX Runtime was built for; "" where it does not tell."""
    return str(getattr(ort, "cuda_version", None) or "")


def _binds(signature: Signature) -> bool:
    """Say whether all tensors are of types that numpy and ONNX Runtime both have on a GPU."""
    specs = (*signature.inputs, *signature.outputs)
    return not any(spec.dtype in {DType.BYTES, DType.BF16} for spec in specs)


def _recorded(chosen: Sequence[Provider]) -> bool:
    """Say whether CUDA graphs are asked for."""
    return any(graphs.asked_for(one.options) for one in chosen if one.name == CUDA)


def _not_recordable(config: ModelConfig, signature: Signature, sizes: Sequence[int]) -> str:
    """Say what a CUDA graph needs that a model lacks, "" if nothing."""
    if config.max_batch_size < 1 or not signature.batchable:
        return "a model that batches (max_batch_size of at least 1)"
    loose = [spec.name for spec in (*signature.inputs, *signature.outputs) if -1 in spec.shape[1:]]
    if loose:
        return f"fixed shapes but for the batch, which '{loose[0]}' has not"
    if config.max_batch_size > 1 and not sizes:
        return f"parameters['{SIZES}'] other than 0"
    return ""


def _convolves(session: Any) -> bool:  # noqa: ANN401 - untyped library
    """Say whether CUDA has convolutions to plan; true where this ONNX Runtime cannot tell."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return True
    return any(
        "Conv" in node.op_type
        for part in ask()
        if part.ep_name == CUDA
        for node in part.get_nodes()
    )


def _cache_folder(directory: Path) -> str:
    """Make the folder for what TensorRT builds of one version; "" where none can be written.

    Its name is hidden from those who look for changes of the model's files.
    """
    folder = directory.parent / ".tensorrt" / directory.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as fault:
        logger.warning(
            "%s: cannot be written (%s): TensorRT will build the model at every load;"
            " trt_engine_cache_path can name another folder",
            folder,
            fault.strerror,
        )
        return ""
    return str(folder)


def _find(directory: Path, config: ModelConfig) -> Path:
    path = directory / (config.default_model_filename or "model.onnx")
    if path.is_dir():
        path /= "model.onnx"
    if not path.is_file():
        there = sorted(one.name for one in directory.iterdir()) if directory.is_dir() else []
        raise NotFound(
            f"{path}: no such file; {directory} holds {', '.join(there) or 'nothing'}: put the"
            " model there, or name it in default_model_filename"
        )
    return path


def _options(settings: Settings) -> Any:  # noqa: ANN401 - untyped library
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if settings.pool is not None:
        options.use_per_session_threads = False
    else:
        options.intra_op_num_threads = settings.intra_op_threads
        options.inter_op_num_threads = settings.inter_op_threads
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if settings.parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    options.graph_optimization_level = _LEVELS[settings.graph_level]
    options.enable_cpu_mem_arena = settings.arena
    options.enable_mem_pattern = settings.memory_pattern
    options.add_session_config_entry(_ASSIGNMENT, "1")
    for key, value in settings.entries.items():
        options.add_session_config_entry(key, value)
    return options


def _open(path: Path, options: Any, chosen: Sequence[Provider], device: int = 0) -> Any:  # noqa: ANN401 - untyped library
    plugged = any(provider.name == rtx.NAME for provider in chosen)
    listed = None if plugged else [(one.name, dict(one.options)) for one in chosen]
    try:
        # With a plug-in all providers belong into the options; the CPU is there of itself.
        for one in chosen if plugged else ():
            if one.name == rtx.NAME:
                _plugin().add(options, one.options, device)
            elif one.name != CPU:
                options.add_provider(one.name, dict(one.options))
        return ort.InferenceSession(path, options, providers=listed, enable_fallback=0)
    except FAULTS as fault:
        raise Internal(
            f"{path}: ONNX Runtime could not load it: error {shortened(fault)}"
        ) from fault


def _signature(session: Any, path: Path) -> Signature:  # noqa: ANN401 - untyped library
    inputs = tuple(_spec("input", node, path) for node in session.get_inputs())
    outputs = tuple(_spec("output", node, path) for node in session.get_outputs())
    # Without an input nothing would say how large a batch is.
    batchable = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return Signature(inputs, outputs, batchable)


def _spec(kind: str, node: Any, path: Path) -> TensorSpec:  # noqa: ANN401 - untyped library
    dtype = DTYPES.get(node.type)
    if dtype is None:
        raise Unsupported(
            f"{path}: {kind} '{node.name}' is a {node.type}, which the V2 protocol has no type for"
        )
    return TensorSpec(node.name, dtype, shape_of(node))


def _check(config: ModelConfig, signature: Signature, path: Path) -> None:
    """Hold a configuration against the model it is for."""
    differing = disagreements(config, signature.inputs, signature.outputs)
    found = list(located((one for one in differing if not one.warning), str(path)))
    found += [
        Problem(
            str(path),
            f"optional input '{tensor.name}' in a model that batches",
            hint="set max_batch_size to 0, or make the input required",
        )
        for tensor in config.input
        if tensor.optional and config.max_batch_size > 0
    ]
    if found:
        raise ConfigError(found)
