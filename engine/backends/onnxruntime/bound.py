"""Running a session on tensors where they lie: ONNX Runtime's I/O binding.

Inputs on the session's own GPU are read there, outputs are written where the client wants them,
whatever else comes from and goes to the host. An output whose shape is not known before the run is
left where ONNX Runtime puts it on the GPU; from there it is one copy within the GPU to its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np

from engine.types import Array, OnDevice, Place, place_of

_CUDA = "cuda"


class Bound:
    """A session on GPU ``device``, whose outputs have these types and shapes (-1: may vary).

    ``batched`` says that the first dimension of every tensor is the batch. ``memory`` is what ONNX
    Runtime calls the memory there.
    """

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - untyped library
        outputs: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
        device: int,
        *,
        batched: bool,
        memory: str = _CUDA,
    ) -> None:
        self._session = session
        self._outputs = outputs
        self._device = device
        self._batched = batched
        self._memory = memory

    def run(
        self,
        inputs: Mapping[str, Array],
        places: Mapping[str, Place | None],
        options: Any,  # noqa: ANN401 - untyped library
    ) -> list[Array]:
        """Compute the outputs that ``places`` names, in its order; ONNX Runtime's faults pass."""
        binding = self._session.io_binding()
        rows: int | None = None
        for name, array in inputs.items():
            rows = array.shape[0] if self._batched and array.shape else rows
            self._bind_input(binding, name, array)
        take = [self._bind_output(binding, name, place, rows) for name, place in places.items()]
        self._session.run_with_iobinding(binding, options)
        binding.synchronize_outputs()
        return [of(value) for of, value in zip(take, binding.get_outputs(), strict=True)]

    def _bind_input(self, binding: Any, name: str, array: Array) -> None:  # noqa: ANN401 - untyped library
        place = place_of(array)
        if place is not None and place.device == self._device:
            kind, shape = array.dtype.type, list(array.shape)
            binding.bind_input(name, self._memory, self._device, kind, shape, place.address)
        else:
            binding.bind_cpu_input(name, np.ascontiguousarray(np.asarray(array)))

    def _bind_output(
        self,
        binding: Any,  # noqa: ANN401 - untyped library
        name: str,
        place: Place | None,
        rows: int | None,
    ) -> Callable[[Any], Array]:
        """Bind an output; give what makes an array of its value."""
        if place is None or place.device != self._device:
            binding.bind_output(name)
            return _to_host
        dtype, shape = self._outputs[name]
        if self._batched and rows is not None and shape[:1] == (-1,):
            shape = (rows, *shape[1:])
        if -1 in shape:
            binding.bind_output(name, self._memory, self._device)
            return partial(self._left, dtype)
        if prod(shape) * dtype.itemsize > place.size:
            binding.bind_output(name)  # whoever asked for it is told that there is no room
            return _to_host
        where = place.address
        binding.bind_output(name, self._memory, self._device, dtype.type, list(shape), where)
        array = OnDevice(place, dtype, shape).as_array()
        return lambda _: array

    def _left(self, dtype: np.dtype[Any], value: Any) -> Array:  # noqa: ANN401 - untyped library
        """Show a value where ONNX Runtime left it; it stays as long as somebody may read it."""
        shape = tuple(value.shape())
        size = prod(shape) * dtype.itemsize
        place = Place(self._device, value.data_ptr(), size, lambda into: _copy(value, into))
        return OnDevice(place, dtype, shape).as_array()


def _to_host(value: Any) -> Array:  # noqa: ANN401 - untyped library
    array: Array = value.numpy()
    return array


def _copy(value: Any, into: memoryview) -> None:  # noqa: ANN401 - untyped library
    into[:] = np.ascontiguousarray(value.numpy()).reshape(-1).view(np.uint8).data
