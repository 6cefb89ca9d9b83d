"""One instance of a plan: an execution context for each of its profiles, and how a batch runs.

Rules:

1. a batch runs in the context of the profile that fits it best (``plan.choose``); a run sets the
   shapes of its inputs, and TensorRT says those of its outputs;
2. inputs are copied to the GPU, outputs back, on the instance's own stream, and the thread waits
   for them; what lies on this GPU already is used there, and what is wanted there is written there;
3. a shape that a graph is wanted for runs once as it is (TensorRT prepares on the way), and is
   captured then; from the next run on the graph runs in its place. Graphs know addresses, so a run
   that binds somebody's memory has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from engine.backends.tensorrt.buffers import Buffers
from engine.backends.tensorrt.device import Device
from engine.backends.tensorrt.plan import Plan, Profile, Shape, choose
from engine.backends.tensorrt.settings import MOST_GRAPHS, Settings, may_capture
from engine.errors import Internal
from engine.tensorrtlib import Library
from engine.types import Array, DType, OnDevice, Place, TensorSpec, on_host, place_of

logger = logging.getLogger(__name__)

#: a profile, and the shapes of the inputs
_Key = tuple[int, tuple[tuple[str, Shape], ...]]


@dataclass(frozen=True, slots=True)
class Opened:
    """A plan, deserialised on one GPU; shared by the instances there."""

    library: Library
    engine: Any
    runtime: Any
    plan: Plan


class Session:
    """Runs a plan. ``profiles`` are those it may use; ``closed`` is called at the end."""

    def __init__(
        self,
        opened: Opened,
        profiles: Sequence[Profile],
        settings: Settings,
        device: Device,
        *,
        batched: bool,
        closed: Callable[[], None],
    ) -> None:
        self.device = settings.device
        self._opened, self._profiles, self._settings = opened, tuple(profiles), settings
        self._gpu, self._batched, self._closed = device, batched, closed
        self._inputs = {one.name: one for one in opened.plan.inputs}
        self._outputs = {one.name: one for one in opened.plan.outputs}
        self._buffers = Buffers(device)
        self._graphs: dict[_Key | None, int] = {}
        device.enter()
        with ExitStack() as undo:
            undo.callback(self._buffers.close)
            self._stream = device.open_stream(settings.priority)
            undo.callback(device.close_stream, self._stream)
            self._contexts = {one.number: self._context(one) for one in self._profiles}
            for profile in self._profiles:
                self._buffers.reserve(self._largest(profile))
            undo.pop_all()
        self._buffers.moved = False

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute ``outputs``.

        Raises:
            InvalidArgument: no profile takes the inputs' shapes.
            Internal: TensorRT or CUDA failed, with what they say.
        """
        return self._run(on_host(inputs), dict.fromkeys(outputs))

    def run_bound(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Compute the outputs that ``places`` names, as ``run`` does, on this GPU's own memory."""
        return self._run(inputs, places)

    def describe(self) -> Mapping[str, str]:
        """Say what really runs the model."""
        settings = self._settings
        return {
            "runtime": self._opened.library.text,
            "device": f"GPU {settings.device}",
            "profiles": ", ".join(str(one.number) for one in self._profiles),
            "cuda_graphs": "on" if settings.graphs else "off",
            "stream_priority": settings.priority.value,
        }

    def close(self) -> None:
        """Free everything on the GPU."""
        self._gpu.enter()
        self._contexts.clear()
        self._forget_graphs()
        self._buffers.close()
        self._gpu.close_stream(self._stream)
        self._closed()

    def _context(self, profile: Profile) -> Any:  # noqa: ANN401 - untyped library
        library, engine = self._opened.library, self._opened.engine
        strategies = library.module.ExecutionContextAllocationStrategy
        context = engine.create_execution_context(getattr(strategies, self._settings.strategy))
        if context is None or not context.set_optimization_profile_async(
            profile.number, self._stream
        ):
            raise Internal(
                f"{library.text} made no execution context for profile {profile.number}:"
                f" {library.why()}"
            )
        self._gpu.wait(self._stream, spins=False)
        return context

    def _largest(self, profile: Profile) -> Mapping[str, int]:
        """Say how many bytes every tensor takes at most under a profile, as far as is known."""
        context, plan = self._contexts[profile.number], self._opened.plan
        sizes: dict[str, int] = {}
        for name, spec in self._inputs.items():
            if name not in plan.shape_tensors:
                sizes[name] = _bytes(spec, profile.inputs[name].most)
                context.set_input_shape(name, profile.inputs[name].most)
        if not plan.shape_tensors:
            for name, spec in self._outputs.items():
                shape = tuple(context.get_tensor_shape(name))
                if -1 not in shape:
                    sizes[name] = _bytes(spec, shape)
        return sizes

    def _run(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        if any(0 in array.shape for array in inputs.values()):
            return self._nothing(inputs, places)
        self._gpu.enter()
        values = {
            name: tuple(int(one) for one in np.asarray(array).reshape(-1))
            if name in self._opened.plan.shape_tensors
            else array.shape
            for name, array in inputs.items()
        }
        profile = choose(self._profiles, values)
        context = self._contexts[profile.number]
        # Whatever fails, nothing of this run may still be under way when its memory is used again.
        try:
            kept = self._set_inputs(context, inputs)
            found = self._set_outputs(context, places)
            bound = any(place_of(one) for one in inputs.values()) or any(places.values())
            self._execute(context, None if bound else (profile.number, tuple(values.items())))
            answers = {name: self._fetch(name, found[name]) for name in places}
        finally:
            self._gpu.wait(self._stream, spins=self._settings.spins)
        del kept
        return {
            name: answer if place_of(answer) is not None else np.array(answer)
            for name, answer in answers.items()
        }

    def _nothing(
        self, inputs: Mapping[str, Array], places: Mapping[str, Place | None]
    ) -> Mapping[str, Array]:
        """Answer a batch of no rows, which no profile takes, without asking TensorRT."""
        name = next(name for name, array in inputs.items() if 0 in array.shape)
        shapes = {one: self._outputs[one].shape[1:] for one in places}
        if (
            not self._batched
            or any(-1 in shape for shape in shapes.values())
            or any(array.shape[0] for array in inputs.values())
        ):
            choose(self._profiles, {name: inputs[name].shape})
        return {
            one: np.empty((0, *shape), self._outputs[one].dtype.numpy)
            for one, shape in shapes.items()
        }

    def _set_inputs(self, context: Any, inputs: Mapping[str, Array]) -> list[Array]:  # noqa: ANN401 - untyped library
        """Set shapes and places; give what has to live until the run is over."""
        kept: list[Array] = []
        for name, given in inputs.items():
            spec, place = self._inputs[name], place_of(given)
            if name in self._opened.plan.shape_tensors:
                array = np.ascontiguousarray(np.asarray(given), spec.dtype.numpy)
                kept.append(array)
                self._check(context.set_tensor_address(name, array.ctypes.data), name)
                continue
            self._check(context.set_input_shape(name, tuple(given.shape)), name)
            if place is not None and place.device == self.device:
                self._check(context.set_tensor_address(name, place.address), name)
                continue
            array = np.asarray(given)
            if self._settings.pinned_inputs:
                pinned = self._buffers.pinned(name, spec.dtype.numpy, array.shape)
                np.copyto(pinned, array)
                array = pinned
            array = np.ascontiguousarray(array)
            kept.append(array)
            address = self._buffers.address(name, array.nbytes)
            self._check(context.set_tensor_address(name, address), name)
            self._gpu.to_device(address, array, self._stream)
        if missing := context.infer_shapes():
            raise Internal(
                f"{self._opened.library.text} cannot tell the outputs' shapes: it lacks"
                f" {', '.join(missing)}"
            )
        return kept

    def _set_outputs(
        self,
        context: Any,  # noqa: ANN401 - untyped library
        places: Mapping[str, Place | None],
    ) -> dict[str, tuple[Shape, int, Array | None]]:
        """Set every output's place; give its shape and address, or the array on the host."""
        found: dict[str, tuple[Shape, int, Array | None]] = {}
        for name, spec in self._outputs.items():
            shape = tuple(int(one) for one in context.get_tensor_shape(name))
            if -1 in shape:
                raise Internal(
                    f"output '{name}' has shape {list(shape)}, which depends on the values of the"
                    " inputs; such plans are not served"
                )
            size, place, array = _bytes(spec, shape), places.get(name), None
            if name in self._opened.plan.host_outputs:
                array = np.empty(shape, spec.dtype.numpy)
                address = array.ctypes.data
            elif place is not None and place.device == self.device and place.size >= size:
                address = place.address
            else:
                address = self._buffers.address(name, size)
            self._check(context.set_tensor_address(name, address), name)
            found[name] = (
                shape,
                address,
                array if array is not None else self._bound(spec, shape, place, address),
            )
        return found

    @staticmethod
    def _bound(spec: TensorSpec, shape: Shape, place: Place | None, address: int) -> Array | None:
        """Show an output that is where it is wanted."""
        if place is None or place.address != address:
            return None
        return OnDevice(place, spec.dtype.numpy, shape).as_array()

    def _fetch(self, name: str, found: tuple[Shape, int, Array | None]) -> Array:
        """Have an output copied to the host, unless it is where it should be."""
        shape, address, array = found
        if array is not None:
            return array
        dtype = self._outputs[name].dtype.numpy
        if self._settings.pinned_outputs:
            array = self._buffers.pinned(name, dtype, shape)
        else:
            array = np.empty(shape, dtype)
        self._gpu.to_host(array, address, self._stream)
        return array

    def _execute(self, context: Any, key: _Key | None) -> None:  # noqa: ANN401 - untyped library
        """Apply rule 3."""
        if self._buffers.moved:
            self._forget_graphs()
        graph = self._graphs.get(key, 0)
        if graph and key is not None:
            self._gpu.launch(graph, self._stream)
            return
        self._enqueue(context)
        if key is None or key in self._graphs or len(self._graphs) >= MOST_GRAPHS:
            return
        if may_capture(self._settings, dict(key[1]), batched=self._batched):
            self._graphs[key] = self._capture(context, key)

    def _capture(self, context: Any, key: _Key) -> int:  # noqa: ANN401 - untyped library
        """Record what has just run; 0 if that cannot be."""
        self._gpu.wait(self._stream, spins=self._settings.spins)
        graph = self._gpu.capture(
            self._stream, lambda: bool(context.execute_async_v3(self._stream))
        )
        if not graph:
            logger.warning(
                "%s: no CUDA graph can be made for %s (%s): it runs without",
                *(self._opened.library.text, dict(key[1]), self._opened.library.why()),
            )
        return graph

    def _enqueue(self, context: Any) -> None:  # noqa: ANN401 - untyped library
        if not context.execute_async_v3(self._stream):
            library = self._opened.library
            raise Internal(f"{library.text} failed to run the model: {library.why()}")

    def _forget_graphs(self) -> None:
        for graph in filter(None, self._graphs.values()):
            self._gpu.drop(graph)
        self._graphs.clear()
        self._buffers.moved = False

    def _check(self, taken: object, name: str) -> None:
        if not taken:
            library = self._opened.library
            raise Internal(f"{library.text} refuses tensor '{name}': {library.why()}")


def _bytes(spec: TensorSpec, shape: Shape) -> int:
    assert spec.dtype is not DType.BYTES
    return prod(shape) * spec.dtype.size
