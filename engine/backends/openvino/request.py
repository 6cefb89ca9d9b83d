"""One instance of an OpenVINO model: an infer request of a compiled model that others share.

Owns the way between the engine's arrays and OpenVINO's tensors: BF16 is a bit pattern here, which
numpy has no type for; a scalar is one element here; a batch may have to be filled up.

Inputs are made tensors here and set one by one. Given arrays, OpenVINO's ``infer`` first asks the
request for its own tensors, in Python's lock, and waits there for another stream whose thread waits
for that lock: two instances stood still at their first batches (2026.4). For the same reason what a
compiled model says of itself is read when it is compiled, not while it computes.
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
    """What the instances of a model version share.

    ``types`` are the inputs' own, in OpenVINO's words; ``described`` is what it said of itself when
    it was compiled.
    """

    model: Any
    signature: Signature
    settings: Settings
    types: tuple[Any, ...]
    described: Mapping[str, str]

    @classmethod
    def of(cls, model: Any, signature: Signature, settings: Settings) -> Compiled:  # noqa: ANN401 - untyped library
        """Read what has to be known of a model that nobody runs yet."""
        said = {word: _property(model, key) for word, key in _SHOWN.items()}
        described = {word: text for word, text in said.items() if text}
        types = tuple(port.element_type for port in model.inputs)
        return cls(model, signature, settings, types, described)


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
            # Tensors share the arrays' memory, so both have to last until the answer is there.
            feed = [(self._inputs[name], self._given(name, one)) for name, one in inputs.items()]
            for place, (_, tensor) in feed:
                self._request.set_input_tensor(place, tensor)
            results = self._request.infer(share_outputs=True)
            return {name: self._taken(name, results, rows) for name in outputs}
        except FAULTS as fault:
            raise Internal(f"OpenVINO error: {said(fault)}") from fault

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        compiled = self._compiled
        described = {
            "runtime": f"openvino {version()}",
            "device": compiled.settings.device,
            **compiled.described,
        }
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

    def _given(self, name: str, array: Array) -> tuple[Array, Any]:
        """Make a tensor of an array, and return the array that it shares its memory with."""
        if name in self._scalars_in:
            array = array.reshape(())
        if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
            # OpenVINO shares no memory that is only to be read.
            array = np.array(array, order="C")
        ov, kind = openvino(), self._compiled.types[self._inputs[name]]
        return array, ov.Tensor(array, ov.Shape(array.shape), kind)

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
