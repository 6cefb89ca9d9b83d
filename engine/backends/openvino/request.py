"""One instance of an OpenVINO model: an infer request of a compiled model that others share.

Owns the way between the engine's arrays and OpenVINO's tensors: BF16 is a bit pattern here, which
numpy has no type for; a scalar is one element here; a batch may have to be filled up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backend import Signature
from engine.backends.openvino.library import FAULTS, openvino, said, version
from engine.backends.openvino.settings import Settings
from engine.errors import Internal, InvalidArgument
from engine.modelconfig.schema import ModelConfig
from engine.types import Array, DType

_SHOWN = {
    "num_streams": "NUM_STREAMS",
    "inference_threads": "INFERENCE_NUM_THREADS",
    "performance_hint": "PERFORMANCE_HINT",
    "precision": "INFERENCE_PRECISION_HINT",
    "devices": "EXECUTION_DEVICES",
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the instances of a model version share."""

    model: Any
    signature: Signature
    settings: Settings


class Request:
    """An infer request. ``put_back`` is called when it is closed."""

    def __init__(
        self, compiled: Compiled, config: ModelConfig, put_back: Callable[[], None]
    ) -> None:
        self._compiled = compiled
        self._request: Any = compiled.model.create_infer_request()
        self._put_back: Callable[[], None] | None = put_back
        signature = compiled.signature
        self._inputs = {spec.name: place for place, spec in enumerate(signature.inputs)}
        self._outputs = {spec.name: place for place, spec in enumerate(signature.outputs)}
        self._bits_in = {spec.name for spec in signature.inputs if spec.dtype is DType.BF16}
        self._bits_out = {spec.name for spec in signature.outputs if spec.dtype is DType.BF16}
        # A configuration has no scalars: one element stands for one, on both sides.
        self._scalars_in = {spec.name for spec in signature.inputs if not spec.shape}
        scalars_out = {spec.name for spec in signature.outputs if not spec.shape}
        self._scalars_out = {
            tensor.name: tensor.dims
            for tensor in config.output
            if tensor.name in scalars_out and tensor.reshape is None
        }
        self._rows = config.max_batch_size if compiled.settings.fixed_batch else 0
        self._pads = compiled.settings.padding

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            InvalidArgument: the model takes batches of one size only, and this is another.
            Internal: OpenVINO failed; its text.
        """
        rows = 0
        if self._rows:
            rows = len(next(iter(inputs.values()), ()))
            inputs = self._filled(inputs, rows)
        try:
            feed = {self._inputs[name]: self._given(name, array) for name, array in inputs.items()}
            results = self._request.infer(feed, share_inputs=True, share_outputs=True)
            return {name: self._taken(name, results, rows) for name in outputs}
        except FAULTS as fault:
            raise Internal(f"OpenVINO error: {said(fault)}") from fault

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        compiled = self._compiled
        described = {"runtime": f"openvino {version()}", "device": compiled.settings.device}
        for word, key in _SHOWN.items():
            if text := _property(compiled.model, key):
                described[word] = text
        if self._rows:
            described["batch"] = f"{self._rows} rows" + (", filled up" if self._pads else "")
        return described

    def close(self) -> None:
        """Let the request go; the last one takes the compiled model with it."""
        put_back, self._put_back = self._put_back, None
        if put_back is not None:
            self._request = None
            put_back()

    def _filled(self, inputs: Mapping[str, Array], rows: int) -> Mapping[str, Array]:
        """Bring a batch to the one size that there is."""
        if rows == self._rows:
            return inputs
        if not self._pads or rows > self._rows:
            raise InvalidArgument(
                f"a batch of {rows}, but this model takes batches of {self._rows} only"
                " (SKIP_OV_DYNAMIC_BATCHSIZE); set ENABLE_BATCH_PADDING: YES to have smaller ones"
                " filled up"
            )
        more = self._rows - rows
        return {
            name: np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
            for name, array in inputs.items()
        }

    def _given(self, name: str, array: Array) -> object:
        if name in self._scalars_in:
            array = array.reshape(())
        if not (array.flags.c_contiguous and array.flags.aligned):
            array = np.array(array, order="C")
        if name in self._bits_in:
            ov = openvino()
            return ov.Tensor(np.array(array), ov.Shape(array.shape), ov.Type.bf16)
        return array

    def _taken(self, name: str, results: Any, rows: int) -> Array:  # noqa: ANN401 - untyped library
        """Copy a result out: its memory is the next run's."""
        if name in self._bits_out:
            array: Array = self._request.get_output_tensor(self._outputs[name]).data.view(np.uint16)
        else:
            array = results[self._outputs[name]]
        if self._rows and array.ndim:
            array = array[:rows]
        array = np.array(array, order="C")
        dims = self._scalars_out.get(name)
        return array if dims is None else array.reshape(dims)


def _property(model: Any, key: str) -> str:  # noqa: ANN401 - untyped library
    """Read a property of a compiled model; "" if its device has none of the kind."""
    try:
        value = model.get_property(key)
    except FAULTS:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    name = getattr(value, "get_type_name", None)
    return str(name() if name is not None else value)
