"""TensorFlow models, loaded by TensorFlow. Imported in a model's own process only.

A SavedModel is loaded by ``tf.saved_model.load``, and where that fails by the loader of TensorFlow
1: each fails on some that the other reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from engine.backends.tensorflow.settings import Wanted
from engine.errors import Internal, Unsupported
from engine.types import Array

logger = logging.getLogger(__name__)

_V1 = tf.compat.v1
Call = Callable[[Mapping[str, Array], Sequence[str]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Model:
    """One loaded model: what computes it, and which loader read it. Any thread may ``call``."""

    call: Call
    loader: str


def load(wanted: Wanted) -> Model:
    """Load a model; its thread counts become the process's.

    Raises:
        EngineError: TensorFlow's text, and where.
    """
    threading = tf.config.threading
    if wanted.intra_op_threads is not None:
        threading.set_intra_op_parallelism_threads(wanted.intra_op_threads)
    if wanted.inter_op_threads is not None:
        threading.set_inter_op_parallelism_threads(wanted.inter_op_threads)
    if wanted.gpu is not None and not tf.config.list_physical_devices("GPU"):
        raise Unsupported(
            f"model '{wanted.model}' is to run on GPU {wanted.gpu}, and this TensorFlow cannot"
            " use one; install tensorflow[and-cuda], or write kind: KIND_CPU"
        )
    path = wanted.path
    if not wanted.signature:
        return Model(_graph(wanted), "frozen graph")
    try:
        return Model(_second(wanted), "tf.saved_model")
    except Exception as fault:  # noqa: BLE001 - whatever it is, the other loader is tried
        logger.info("%s: tf.saved_model.load failed (%s); TensorFlow 1's is tried", path, fault)
    try:
        return Model(_first(wanted), "TensorFlow 1 loader")
    except Exception as fault:
        raise Internal(f"{path}: TensorFlow could not load it: {fault}") from fault


def _second(wanted: Wanted) -> Call:
    whole = tf.saved_model.load(wanted.path, tags=[wanted.tag])
    function = whole.signatures[wanted.signature]

    def call(
        inputs: Mapping[str, Array], outputs: Sequence[str], _kept: object = whole
    ) -> Mapping[str, Any]:  # a signature does not keep the variables that it reads
        results = function(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: results[name].numpy() for name in outputs}

    return call


def _first(wanted: Wanted) -> Call:
    graph = tf.Graph()
    session = _V1.Session(graph=graph)
    with graph.as_default():
        meta = _V1.saved_model.loader.load(session, [wanted.tag], wanted.path)
    signature = meta.signature_def[wanted.signature]
    given = {name: told.name for name, told in signature.inputs.items()}
    made = {name: told.name for name, told in signature.outputs.items()}
    return _session_call(session, given, made)


def _graph(wanted: Wanted) -> Call:
    read = _V1.GraphDef()
    graph = tf.Graph()
    try:
        read.ParseFromString(Path(wanted.path).read_bytes())
        with graph.as_default():
            tf.import_graph_def(read, name="")
        given = {name: _tensor(graph, name) for name in wanted.inputs}
        made = {name: _tensor(graph, name) for name in wanted.outputs}
    except Exception as fault:
        text = f"{wanted.path}: TensorFlow could not load the graph: {fault}"
        raise Internal(text) from fault
    return _session_call(_V1.Session(graph=graph), given, made)


def _tensor(graph: Any, name: str) -> str:  # noqa: ANN401 - untyped library
    return str(graph.get_tensor_by_name(name if ":" in name else f"{name}:0").name)


def _session_call(session: Any, given: Mapping[str, str], made: Mapping[str, str]) -> Call:  # noqa: ANN401 - untyped library
    def call(inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Any]:
        feed = {given[name]: array for name, array in inputs.items()}
        results: Mapping[str, Any] = session.run({name: made[name] for name in outputs}, feed)
        return results

    return call
