"""A TensorFlow model in its process: what the child makes (``engine.child.entry``).

Owns the threads on which several batches are computed at once, and the form of their arrays. Does
not own the loading (``loaded``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from engine.backend import Work
from engine.backends.tensorflow import loaded
from engine.backends.tensorflow.settings import Wanted
from engine.child.entry import Outside
from engine.child.executor import AT_ONCE
from engine.errors import Internal
from engine.types import Array, DType, Tensor

_BITS = tf.bfloat16.as_numpy_dtype
_DTYPES = {dtype.numpy: dtype for dtype in DType if dtype is not DType.BF16}


def make(given: Mapping[str, Any], outside: Outside) -> TensorFlowExecutor:
    """Load a model."""
    del outside
    return TensorFlowExecutor(loaded.load(Wanted.read(given)))


class TensorFlowExecutor:
    """One loaded model; as many batches at once as instances ask for."""

    overlaps = True

    def __init__(self, model: loaded.Model) -> None:
        self._model = model
        self._threads = ThreadPoolExecutor(AT_ONCE, "compute")

    def execute(self, batch: Sequence[Work]) -> None:
        """Have the batch computed; it is answered later."""
        for work in batch:
            self._threads.submit(self._answer, work)

    def _answer(self, work: Work) -> None:
        asked = work.request
        try:
            given = {one.name: _given(one) for one in asked.inputs}
            made = self._model.call(given, [one.name for one in asked.outputs])
            outputs = tuple(_made(one.name, made[one.name]) for one in asked.outputs)
        except Exception as fault:  # noqa: BLE001 - TensorFlow may raise anything
            work.replies.send(Internal(f"TensorFlow execute failure: {fault}"), final=True)
        else:
            work.replies.send(outputs, final=True)

    def describe(self) -> Mapping[str, str]:
        """Say what really runs."""
        intra = tf.config.threading.get_intra_op_parallelism_threads()
        return {
            "runtime": f"tensorflow {tf.__version__}",
            "loader": self._model.loader,
            "intra_op_threads": str(intra or "all cores"),
        }

    def close(self) -> None:
        """Let the model go."""
        self._threads.shutdown()


def _given(tensor: Tensor) -> Array:
    array = np.asarray(
        tensor.array, order="C"
    )  # ascontiguousarray would add a dimension to a scalar
    return array.view(_BITS) if tensor.dtype is DType.BF16 else array


def _made(name: str, result: Any) -> Tensor:  # noqa: ANN401 - untyped library
    array = np.array(result, object) if isinstance(result, bytes) else np.asarray(result)
    if array.dtype == _BITS:
        return Tensor(name, DType.BF16, array.view(np.uint16))
    return Tensor(name, _DTYPES[array.dtype], array)
