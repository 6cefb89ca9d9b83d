"""ONNX Runtime sessions: making them, reading their signature, running them.

Owns the way between the engine's arrays and ONNX Runtime's: strings are ``bytes`` here and
``str`` there; BF16 tensors, which numpy does not know, are 16-bit patterns here and go through
``OrtValue`` there. Does not decide how a session is made (``settings``, ``providers``).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from engine.backend import Placement, Runnable, Signature
from engine.backends.onnxruntime import libraries
from engine.backends.onnxruntime.accelerated import through_openvino
from engine.backends.onnxruntime.bound import Bound
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
from engine.backends.onnxruntime.settings import GraphLevel, Pool, Settings, read, read_pool
from engine.errors import ConfigError, Internal, InvalidArgument, NotFound, Problem, Unsupported
from engine.modelconfig.agree import disagreements
from engine.modelconfig.findings import located
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType, Place, TensorSpec, on_host, place_of

logger = logging.getLogger(__name__)

# Everything that ONNX Runtime's native part raises; its classes share no ancestor of their own.
_FAULTS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(ort_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
)
_DTYPES = {
    "tensor(bool)": DType.BOOL,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(float16)": DType.FP16,
    "tensor(float)": DType.FP32,
    "tensor(double)": DType.FP64,
    "tensor(string)": DType.BYTES,
    "tensor(bfloat16)": DType.BF16,
}
_LEVELS = {
    GraphLevel.ALL: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    GraphLevel.EXTENDED: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    GraphLevel.BASIC: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    GraphLevel.NONE: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_ONNX_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
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
        available = ort.get_available_providers()
        if runs_elsewhere(config, placement, available):
            return through_openvino(directory, path, config, placement)
        chosen = choose(config, placement, available)
        if any(provider.name == TENSORRT for provider in chosen):
            chosen = cached(chosen, _cache_folder(directory))
        if placement.device is not None:
            libraries.load(libraries.CUDA, _cuda_version())
        if any(provider.name == TENSORRT for provider in chosen):
            libraries.load(libraries.TENSORRT, _cuda_version())
        session = _open(path, _options(settings), chosen)
        if why := unused(config, chosen, session.get_providers(), _nodes(session)):
            raise Unsupported(f"{path}: {why}")
        signature = _signature(session, path)
        _check(config, signature, path)
        if placement.device is not None and CUDA in session.get_providers() and _binds(signature):
            return _SessionOnGpu(session, settings, config, placement.device)
        return _Session(session, settings, config)


class _Session:
    """A session, and what has to be done to its tensors."""

    def __init__(self, session: Any, settings: Settings, config: ModelConfig) -> None:  # noqa: ANN401 - untyped library
        self._session = session
        self._settings = settings
        inputs = {node.name: _DTYPES[node.type] for node in session.get_inputs()}
        self._dtypes = {node.name: _DTYPES[node.type] for node in session.get_outputs()}
        self._texts_in = [name for name, dtype in inputs.items() if dtype is DType.BYTES]
        self._texts_out = [name for name, dtype in self._dtypes.items() if dtype is DType.BYTES]
        self._bits_in = {name for name, dtype in inputs.items() if dtype is DType.BF16}
        # A configuration has no scalars: one element stands for one, on both sides.
        self._scalars_in = frozenset(node.name for node in session.get_inputs() if not node.shape)
        scalars_out = {node.name for node in session.get_outputs() if not node.shape}
        self._scalars_out = {
            tensor.name: tensor.dims
            for tensor in config.output
            if tensor.name in scalars_out and tensor.reshape is None
        }
        self._by_value = bool(self._bits_in) or DType.BF16 in self._dtypes.values()
        self._run_options = ort.RunOptions()
        for key, value in settings.run_entries.items():
            self._run_options.add_run_config_entry(key, value)

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            InvalidArgument: a string is not UTF-8, the only strings that ONNX has.
            Internal: ONNX Runtime failed; its code and text.
        """
        inputs = self._without_dims(on_host(inputs))
        if self._texts_in:
            inputs = {
                name: _to_text(name, array) if name in self._texts_in else array
                for name, array in inputs.items()
            }
        try:
            if self._by_value:
                arrays = self._run_by_value(inputs, outputs)
            else:
                arrays = self._session.run(outputs, inputs, self._run_options)
        except _FAULTS as fault:
            raise Internal(f"onnx runtime error {_said(fault)}") from fault
        results = self._with_dims(dict(zip(outputs, arrays, strict=True)))
        for name in self._texts_out:
            if name in results:
                results[name] = _to_bytes(results[name])
        return results

    def _without_dims(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        if not self._scalars_in:
            return inputs
        return {
            name: array.reshape(()) if name in self._scalars_in else array
            for name, array in inputs.items()
        }

    def _with_dims(self, results: dict[str, Array]) -> dict[str, Array]:
        for name, dims in self._scalars_out.items():
            if name in results:
                array = results[name]
                # A scalar may come as numpy's own kind of one, which is no array.
                array = np.asarray(array) if place_of(array) is None else array
                results[name] = array.reshape(dims)
        return results

    def interrupt(self, *, on: bool) -> None:
        """Have a run end between two nodes of the graph; any thread may call this."""
        self._run_options.terminate = on

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        settings, session = self._settings, self._session
        said = {
            "runtime": f"onnxruntime {ort.__version__}",
            "providers": ", ".join(session.get_providers()),
            "intra_op_threads": str(settings.intra_op_threads or "all cores"),
            "execution_mode": "parallel" if settings.parallel else "sequential",
            "graph_optimization": settings.graph_level.name.lower(),
            "spinning": "on" if settings.spins else "off",
        }
        if settings.parallel:
            said["inter_op_threads"] = str(settings.inter_op_threads or "all cores")
        if settings.pool is not None:
            shared = settings.pool.intra_op_threads or "all cores"
            said |= {"intra_op_threads": f"{shared}, shared by all models", "spinning": "shared"}
        if nodes := _nodes(session):
            said["nodes"] = _told(nodes)
        return said

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _run_by_value(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Sequence[Array]:
        values = {
            name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
            if name in self._bits_in
            else ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in (
                (name, np.ascontiguousarray(array)) for name, array in inputs.items()
            )
        }
        results = self._session.run_with_ort_values(outputs, values, self._run_options)
        return [
            _bits(value) if self._dtypes[name] is DType.BF16 else value.numpy()
            for name, value in zip(outputs, results, strict=True)
        ]


class _SessionOnGpu(_Session):
    """A session on a GPU, which uses tensors in the memory of that GPU where they are."""

    def __init__(self, session: Any, settings: Settings, config: ModelConfig, device: int) -> None:  # noqa: ANN401 - untyped library
        super().__init__(session, settings, config)
        self.device = device
        outputs = {
            node.name: (_DTYPES[node.type].numpy, _shape(node)) for node in session.get_outputs()
        }
        self._bound = Bound(session, outputs, device, batched=config.max_batch_size > 0)

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute the outputs that ``places`` names, each there if it is on this GPU.

        Raises:
            Internal: ONNX Runtime failed; its code and text.
        """
        try:
            arrays = self._bound.run(self._without_dims(inputs), places, self._run_options)
        except _FAULTS as fault:
            raise Internal(f"onnx runtime error {_said(fault)}") from fault
        return self._with_dims(dict(zip(places, arrays, strict=True)))

    def close(self) -> None:
        """Free the session."""
        super().close()
        del self._bound


@cache  # ONNX Runtime has one pool in a process, made anew by every call
def _share(pool: Pool) -> None:
    ort.set_global_thread_pool_sizes(pool.intra_op_threads, pool.inter_op_threads)


def _cuda_version() -> str:
    """Say which CUDA this ONNX Runtime was built for; "" where it does not tell."""
    return str(getattr(ort, "cuda_version", None) or "")


def _binds(signature: Signature) -> bool:
    """Say whether all tensors are of types that numpy and ONNX Runtime both have on a GPU."""
    specs = (*signature.inputs, *signature.outputs)
    return not any(spec.dtype in {DType.BYTES, DType.BF16} for spec in specs)


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


def _open(path: Path, options: Any, chosen: Sequence[Provider]) -> Any:  # noqa: ANN401 - untyped library
    try:
        return ort.InferenceSession(
            path,
            options,
            providers=[(provider.name, dict(provider.options)) for provider in chosen],
            enable_fallback=0,
        )
    except _FAULTS as fault:
        raise Internal(f"{path}: ONNX Runtime could not load it: error {_said(fault)}") from fault


def _signature(session: Any, path: Path) -> Signature:  # noqa: ANN401 - untyped library
    inputs = tuple(_spec("input", node, path) for node in session.get_inputs())
    outputs = tuple(_spec("output", node, path) for node in session.get_outputs())
    # Without an input nothing would say how large a batch is.
    batchable = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return Signature(inputs, outputs, batchable)


def _spec(kind: str, node: Any, path: Path) -> TensorSpec:  # noqa: ANN401 - untyped library
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise Unsupported(
            f"{path}: {kind} '{node.name}' is a {node.type}, which the V2 protocol has no type for"
        )
    return TensorSpec(node.name, dtype, _shape(node))


def _shape(node: Any) -> tuple[int, ...]:  # noqa: ANN401 - untyped library
    return tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)


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


def _said(fault: Exception) -> str:
    """Shorten ``[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : text`` to ``2: text``, as Triton."""
    parts = str(fault).split(" : ", 3)
    return f"{parts[1]}: {parts[3]}" if len(parts) == 4 else str(fault)  # noqa: PLR2004 - as above


def _nodes(session: Any) -> dict[str, int]:  # noqa: ANN401 - untyped library
    """Count the graph's nodes by provider, where this ONNX Runtime can tell (1.24 and later)."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return {}
    counts: dict[str, int] = {}
    for part in ask():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _told(nodes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} on {name}" for name, count in sorted(nodes.items()))


def _to_text(name: str, array: Array) -> Array:
    text = np.empty(array.shape, dtype=object)
    flat = text.reshape(-1)
    for place, element in enumerate(array.reshape(-1)):
        try:
            flat[place] = element.decode()
        except UnicodeDecodeError as fault:
            raise InvalidArgument(
                f"input '{name}', element {place}: not UTF-8 text ({fault.reason} at byte"
                f" {fault.start}); ONNX strings are UTF-8"
            ) from fault
    return text


def _to_bytes(array: Array) -> Array:
    encoded = np.empty(array.shape, dtype=object)
    flat = encoded.reshape(-1)
    for place, element in enumerate(array.reshape(-1)):
        flat[place] = element.encode()
    return encoded


def _bits(value: Any) -> Array:  # noqa: ANN401 - untyped library
    """Copy a BF16 tensor out as its 16-bit patterns."""
    raw = (ctypes.c_char * value.tensor_size_in_bytes()).from_address(value.data_ptr())
    return np.frombuffer(raw, np.uint16).reshape(value.shape()).copy()
