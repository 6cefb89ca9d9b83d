"""TensorFlow models, run by TensorFlow.

A SavedModel is loaded by ``tf.saved_model.load``, and where that fails by the loader of TensorFlow
1: each fails on some that the other reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from engine.backend import Placement, Signature
from engine.backends.tensorflow.settings import Settings
from engine.errors import Internal, InvalidArgument, Unsupported
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType, TensorSpec

logger = logging.getLogger(__name__)

_V1 = tf.compat.v1
_NAMES = {"float16": DType.FP16, "float32": DType.FP32, "float64": DType.FP64}
_NAMES |= {"bfloat16": DType.BF16, "string": DType.BYTES}
_INIT = "__saved_model_init_op"
Call = Callable[[Mapping[str, Array], Sequence[str]], Mapping[str, Any]]


def inspect(path: Path, config: ModelConfig, settings: Settings) -> Signature | None:
    """Read a SavedModel's signature; None for a graph, and where a rank is not known.

    Raises:
        EngineError: there is no such signature, or it has types that cannot be served.
    """
    if settings.graph:
        if not config.input or not config.output:
            raise InvalidArgument(
                f"{path}: a frozen graph does not say which of its tensors are inputs and outputs;"
                " write all of them in config.pbtxt"
            )
        return None
    _, signature = _signature(path, settings)
    sides = [_specs(path, side) for side in (signature.inputs, signature.outputs)]
    if None in sides:
        return None
    inputs, outputs = (tuple(side or ()) for side in sides)
    every = (*inputs, *outputs)
    batchable = bool(inputs) and all(spec.shape[:1] == (-1,) for spec in every)
    return Signature(inputs, outputs, batchable)


def _signature(path: Path, settings: Settings) -> tuple[str, Any]:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as fault:
        raise Internal(f"{path}: no SavedModel that can be read: {fault}") from fault
    tags = [sorted(graph.meta_info_def.tags) for graph in saved.meta_graphs]
    for graph in saved.meta_graphs:
        if settings.tag in graph.meta_info_def.tags:
            key = _chosen(path, settings, graph.signature_def)
            return key, graph.signature_def[key]
    raise InvalidArgument(
        f"{path}: no graph is tagged '{settings.tag}' (TF_GRAPH_TAG); there are {tags}"
    )


def _chosen(path: Path, settings: Settings, signatures: Any) -> str:  # noqa: ANN401 - untyped library
    names = sorted(str(name) for name in signatures if name != _INIT)
    wanted = settings.signature or "serving_default"
    if wanted in names:
        return wanted
    if settings.signature or not names:
        raise InvalidArgument(
            f"{path}: no signature '{wanted}' (TF_SIGNATURE_DEF); there are: {', '.join(names)}"
        )
    return names[0]


def _specs(path: Path, side: Any) -> list[TensorSpec] | None:  # noqa: ANN401 - untyped library
    specs = []
    for name, told in sorted(side.items()):
        if told.tensor_shape.unknown_rank:
            return None
        word = tf.dtypes.as_dtype(told.dtype).name
        dtype = _NAMES.get(word) or DType.__members__.get(word.upper())
        if dtype is None:
            raise Unsupported(f"{path}: tensor '{name}' is a {word}, which V2 has no type for")
        shape = tuple(int(dim.size) for dim in told.tensor_shape.dim)
        specs.append(TensorSpec(name, dtype, shape))
    return specs


def load(path: Path, config: ModelConfig, settings: Settings, placement: Placement) -> _Model:
    """Load one instance.

    Raises:
        EngineError: TensorFlow's text, and where.
    """
    if placement.device is not None and not tf.config.list_physical_devices("GPU"):
        raise Unsupported(
            f"model '{config.name}' is to run on GPU {placement.device}, and this TensorFlow cannot"
            " use one; install tensorflow[and-cuda], or write kind: KIND_CPU"
        )
    _set_threads(config, settings)
    if settings.graph:
        return _Model(_graph(path, config), config, "frozen graph")
    key, _ = _signature(path, settings)
    try:
        return _Model(_second(path, settings, key), config, "tf.saved_model")
    except Exception as fault:  # noqa: BLE001 - whatever it is, the other loader is tried
        logger.info("%s: tf.saved_model.load failed (%s); TensorFlow 1's is tried", path, fault)
    try:
        return _Model(_first(path, settings, key), config, "TensorFlow 1 loader")
    except Exception as fault:
        raise Internal(f"{path}: TensorFlow could not load it: {fault}") from fault


def _set_threads(config: ModelConfig, settings: Settings) -> None:
    counts = (
        (settings.intra_op_threads, tf.config.threading.set_intra_op_parallelism_threads),
        (settings.inter_op_threads, tf.config.threading.set_inter_op_parallelism_threads),
    )
    for count, set_count in counts:
        if count is None:
            continue
        try:
            set_count(count)
        except RuntimeError as fault:
            logger.warning("model '%s': its thread count has no effect: %s", config.name, fault)


def _second(path: Path, settings: Settings, key: str) -> Call:
    whole = tf.saved_model.load(str(path), tags=[settings.tag])
    function = whole.signatures[key]

    def call(
        inputs: Mapping[str, Array], outputs: Sequence[str], _kept: object = whole
    ) -> Mapping[str, Any]:  # a signature does not keep the variables that it reads
        results = function(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: results[name].numpy() for name in outputs}

    return call


def _first(path: Path, settings: Settings, key: str) -> Call:
    graph = tf.Graph()
    session = _V1.Session(graph=graph)
    with graph.as_default():
        meta = _V1.saved_model.loader.load(session, [settings.tag], str(path))
    signature = meta.signature_def[key]
    given = {name: told.name for name, told in signature.inputs.items()}
    made = {name: told.name for name, told in signature.outputs.items()}
    return _session_call(session, given, made)


def _graph(path: Path, config: ModelConfig) -> Call:
    read = _V1.GraphDef()
    graph = tf.Graph()
    try:
        read.ParseFromString(path.read_bytes())
        with graph.as_default():
            tf.import_graph_def(read, name="")
        given = {tensor.name: _tensor(graph, tensor.name) for tensor in config.input}
        made = {tensor.name: _tensor(graph, tensor.name) for tensor in config.output}
    except Exception as fault:
        raise Internal(f"{path}: TensorFlow could not load the graph: {fault}") from fault
    return _session_call(_V1.Session(graph=graph), given, made)


def _tensor(graph: Any, name: str) -> str:  # noqa: ANN401 - untyped library
    return str(graph.get_tensor_by_name(name if ":" in name else f"{name}:0").name)


def _session_call(session: Any, given: Mapping[str, str], made: Mapping[str, str]) -> Call:  # noqa: ANN401 - untyped library
    def call(inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Any]:
        feed = {given[name]: array for name, array in inputs.items()}
        results: Mapping[str, Any] = session.run({name: made[name] for name in outputs}, feed)
        return results

    return call


@dataclass(slots=True)
class _Model:
    """One loaded model."""

    call: Call | None
    config: ModelConfig
    loader: str

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            Internal: TensorFlow's text.
        """
        assert self.call is not None
        bits = {one.name for one in self.config.input if one.data_type is DType.BF16}
        given = {
            name: np.ascontiguousarray(array).view(tf.bfloat16.as_numpy_dtype)
            if name in bits
            else np.ascontiguousarray(array)
            for name, array in inputs.items()
        }
        try:
            results = self.call(given, outputs)
        except Exception as fault:
            raise Internal(f"TensorFlow execute failure: {fault}") from fault
        return {name: _array(results[name]) for name in outputs}

    def describe(self) -> Mapping[str, str]:
        """Say what really runs."""
        intra = tf.config.threading.get_intra_op_parallelism_threads()
        return {
            "runtime": f"tensorflow {tf.__version__}",
            "loader": self.loader,
            "process": "the server's",
            "intra_op_threads": f"{intra or 'all cores'}, for all TensorFlow models",
        }

    def close(self) -> None:
        """Let the model go."""
        self.call = None


def _array(result: Any) -> Array:  # noqa: ANN401 - untyped library
    array = np.asarray(result)
    return array.view(np.uint16) if array.dtype == tf.bfloat16.as_numpy_dtype else array
