"""CUDA graphs: what a run launches, recorded once and launched again as a whole.

ONNX Runtime records a session's third run if ``enable_cuda_graph`` is set for its CUDA provider,
and from then on launches the recording: it reads its inputs, and writes its outputs, where they
lay when it was recorded. So the tensors live on the GPU in one place, into which inputs are
copied. One recording is of one shape, which is what a session of ``sized`` sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from engine.types import Array

_CUDA = "cuda"
_ON = frozenset(("1", "true"))
ENABLE = "enable_cuda_graph"


def asked_for(options: Mapping[str, str]) -> bool:
    """Say whether a CUDA provider's options ask for graphs."""
    return options.get(ENABLE, "0").lower() in _ON


class Recorded:
    """Runs a session by its recording; ``outputs`` gives the shape of each but for the batch.

    ``memory`` is what ONNX Runtime calls the memory there.
    """

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - untyped library
        outputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
        device: int,
        memory: str = _CUDA,
    ) -> None:
        self._session = session
        self._outputs = outputs
        self._device = device
        self._memory = memory
        self._inputs: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._binding: Any = None

    def run(
        self,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        options: Any,  # noqa: ANN401 - untyped library
    ) -> list[Array]:
        """Compute ``outputs`` of inputs whose shape never changes; ONNX Runtime's faults pass."""
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        if self._binding is None:
            self._bind(arrays)
        else:
            for name, array in arrays.items():
                self._inputs[name].update_inplace(array)
        self._session.run_with_iobinding(self._binding, options)
        return [self._values[name].numpy() for name in outputs]

    def _bind(self, arrays: Mapping[str, Array]) -> None:
        """Give every tensor its place, the first time."""
        binding = self._session.io_binding()
        rows = next(iter(arrays.values())).shape[0]
        for name, array in arrays.items():
            value = ort.OrtValue.ortvalue_from_numpy(array, self._memory, self._device)
            self._inputs[name] = value
            binding.bind_ortvalue_input(name, value)
        for name, (dtype, shape) in self._outputs.items():
            full = [rows, *shape]
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                full, dtype.type, self._memory, self._device
            )
            self._values[name] = value
            binding.bind_ortvalue_output(name, value)
        self._binding = binding
