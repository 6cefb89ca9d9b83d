"""A session of ONNX Runtime as a Runnable: on the CPU, on a GPU, and as a CUDA graph.

Owns the way between the engine's arrays and ONNX Runtime's: strings are ``bytes`` here and
``str`` there; BF16 tensors, which numpy does not know, are 16-bit patterns here and go through
``OrtValue`` there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from engine.backends.onnxruntime import graphs
from engine.backends.onnxruntime.bound import Bound
from engine.backends.onnxruntime.settings import Settings
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType, Place, on_host, place_of

# Everything that ONNX Runtime's native part raises; its classes share no ancestor of their own.
FAULTS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(ort_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
)
DTYPES = {
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
_ONNX_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


class Session:
    """A session, and what has to be done to its tensors."""

    def __init__(self, session: Any, settings: Settings, config: ModelConfig) -> None:  # noqa: ANN401 - untyped library
        self._session = session
        self._settings = settings
        inputs = {node.name: DTYPES[node.type] for node in session.get_inputs()}
        self._dtypes = {node.name: DTYPES[node.type] for node in session.get_outputs()}
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
            arrays = self._arrays(inputs, outputs)
        except FAULTS as fault:
            raise Internal(f"onnx runtime error {shortened(fault)}") from fault
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
        if nodes := nodes_of(session):
            said["nodes"] = _told(nodes)
        return said

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _arrays(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Sequence[Array]:
        if self._by_value:
            return self._run_by_value(inputs, outputs)
        arrays: Sequence[Array] = self._session.run(outputs, inputs, self._run_options)
        return arrays

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


class SessionOnGpu(Session):
    """A session on a GPU, which uses tensors in the memory of that GPU where they are."""

    def __init__(self, session: Any, settings: Settings, config: ModelConfig, device: int) -> None:  # noqa: ANN401 - untyped library
        super().__init__(session, settings, config)
        self.device = device
        outputs = {
            node.name: (DTYPES[node.type].numpy, shape_of(node)) for node in session.get_outputs()
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
        except FAULTS as fault:
            raise Internal(f"onnx runtime error {shortened(fault)}") from fault
        return self._with_dims(dict(zip(places, arrays, strict=True)))

    def close(self) -> None:
        """Free the session."""
        super().close()
        del self._bound


class RecordedSession(SessionOnGpu):
    """A session on a GPU whose runs of one shape are launched as a CUDA graph."""

    def __init__(self, session: Any, settings: Settings, config: ModelConfig, device: int) -> None:  # noqa: ANN401 - untyped library
        super().__init__(session, settings, config, device)
        outputs = {
            node.name: (DTYPES[node.type].numpy, shape_of(node)[1:])
            for node in session.get_outputs()
        }
        self._recorded = graphs.Recorded(session, outputs, device)

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute outputs; a recording has places of its own, so they are copied from there."""
        return self.run(inputs, tuple(places))

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        return {**super().describe(), "cuda_graphs": "on"}

    def close(self) -> None:
        """Free the session."""
        super().close()
        del self._recorded

    def _arrays(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Sequence[Array]:
        return self._recorded.run(inputs, outputs, self._run_options)


def shape_of(node: Any) -> tuple[int, ...]:  # noqa: ANN401 - untyped library
    """Read a tensor's shape; -1 where a dimension may vary."""
    return tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)


def shortened(fault: Exception) -> str:
    """Shorten ``[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : text`` to ``2: text``, as Triton."""
    parts = str(fault).split(" : ", 3)
    return f"{parts[1]}: {parts[3]}" if len(parts) == 4 else str(fault)  # noqa: PLR2004 - as above


def nodes_of(session: Any) -> dict[str, int]:  # noqa: ANN401 - untyped library
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
