"""A GPU as an instance needs it: memory there and pinned memory here, a stream, captured graphs.

Speaks to the driver (``engine.cudadriver``); a stream or an address of the driver's is one of the
CUDA runtime's, which TensorRT speaks of. Does not own what is copied or run, nor when.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.cudadriver import CudaDriver
from engine.errors import Internal
from engine.modelconfig.schema import ModelPriority
from engine.types import Array

_NON_BLOCKING = 1
_UNTIMED, _BLOCKING = 2, 1
#: other threads may go on calling CUDA while a stream of this one is captured
_THREAD_LOCAL = 1


class Device(Protocol):
    """What is needed of a GPU. Addresses, streams and graphs are numbers of CUDA's; 0 is none."""

    def enter(self) -> None:
        """Make it this thread's."""
        ...

    def allocate(self, size: int) -> int:
        """Have memory on it."""
        ...

    def free(self, address: int) -> None:
        """Give it back."""
        ...

    def pin(self, size: int) -> Array:
        """Have bytes on the host that the GPU copies from and to by itself."""
        ...

    def unpin(self, memory: Array) -> None:
        """Give them back."""
        ...

    def to_device(self, address: int, memory: Array, stream: int) -> None:
        """Have all of an array's bytes copied to the GPU, in its turn."""
        ...

    def to_host(self, memory: Array, address: int, stream: int) -> None:
        """Have an array's bytes copied from the GPU, in their turn."""
        ...

    def open_stream(self, priority: ModelPriority) -> int:
        """Make a stream."""
        ...

    def close_stream(self, stream: int) -> None:
        """End it."""
        ...

    def wait(self, stream: int, *, spins: bool) -> None:
        """Wait until all is done."""
        ...

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> int:
        """Record what ``enqueue`` puts on a stream; 0 if it cannot be recorded."""
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Run what was recorded."""
        ...

    def drop(self, graph: int) -> None:
        """Forget it."""
        ...


@dataclass(slots=True)
class Gpu:
    """A GPU, by CUDA's number, through the driver."""

    driver: CudaDriver
    number: int

    def enter(self) -> None:
        """Make it this thread's; raises Unavailable if there is no such GPU."""
        self.driver.enter(self.number)

    def allocate(self, size: int) -> int:
        """Have memory on it; raises Internal where there is not so much. So for the others."""
        address = ctypes.c_uint64()
        self.driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size)))
        return address.value

    def free(self, address: int) -> None:
        """Give it back."""
        self.driver.call("cuMemFree_v2", ctypes.c_uint64(address))

    def pin(self, size: int) -> Array:
        """Have bytes on the host that the GPU copies from and to by itself."""
        place = ctypes.c_void_p()
        wanted = ctypes.c_size_t(max(1, size))
        self.driver.call("cuMemHostAlloc", ctypes.byref(place), wanted, ctypes.c_uint(0))
        assert place.value is not None
        memory = (ctypes.c_uint8 * max(1, size)).from_address(place.value)
        return np.ctypeslib.as_array(memory)[:size]

    def unpin(self, memory: Array) -> None:
        """Give them back."""
        self.driver.call("cuMemFreeHost", ctypes.c_void_p(memory.ctypes.data))

    def to_device(self, address: int, memory: Array, stream: int) -> None:
        """Have all of an array's bytes copied to the GPU, in its turn."""
        self.driver.call(
            "cuMemcpyHtoDAsync_v2",
            ctypes.c_uint64(address),
            ctypes.c_void_p(memory.ctypes.data),
            ctypes.c_size_t(memory.nbytes),
            ctypes.c_void_p(stream),
        )

    def to_host(self, memory: Array, address: int, stream: int) -> None:
        """Have an array's bytes copied from the GPU, in their turn."""
        self.driver.call(
            "cuMemcpyDtoHAsync_v2",
            ctypes.c_void_p(memory.ctypes.data),
            ctypes.c_uint64(address),
            ctypes.c_size_t(memory.nbytes),
            ctypes.c_void_p(stream),
        )

    def open_stream(self, priority: ModelPriority) -> int:
        """Make a stream, before or behind the others as far as this GPU ranks them."""
        least, greatest, stream = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
        self.driver.call("cuCtxGetStreamPriorityRange", ctypes.byref(least), ctypes.byref(greatest))
        ranks = {ModelPriority.MAX: greatest.value, ModelPriority.MIN: least.value}
        rank = ctypes.c_int(ranks.get(priority, 0))
        flags = ctypes.c_uint(_NON_BLOCKING)
        self.driver.call("cuStreamCreateWithPriority", ctypes.byref(stream), flags, rank)
        return stream.value or 0

    def close_stream(self, stream: int) -> None:
        """End it."""
        self.driver.call("cuStreamDestroy_v2", ctypes.c_void_p(stream))

    def wait(self, stream: int, *, spins: bool) -> None:
        """Wait until all is done; a thread that does not spin leaves its core to others."""
        event = ctypes.c_void_p()
        flags = ctypes.c_uint(_UNTIMED | (0 if spins else _BLOCKING))
        self.driver.call("cuEventCreate", ctypes.byref(event), flags)
        try:
            self.driver.call("cuEventRecord", event, ctypes.c_void_p(stream))
            self.driver.call("cuEventSynchronize", event)
        finally:
            self.driver.call("cuEventDestroy_v2", event)

    def capture(self, stream: int, enqueue: Callable[[], bool]) -> int:
        """Record what ``enqueue`` puts on a stream; 0 if it cannot be recorded."""
        graph, runnable = ctypes.c_void_p(), ctypes.c_void_p()
        where = ctypes.c_void_p(stream)
        self.driver.call("cuStreamBeginCapture_v2", where, ctypes.c_int(_THREAD_LOCAL))
        done = False
        try:
            done = enqueue()
        finally:
            try:
                self.driver.call("cuStreamEndCapture", where, ctypes.byref(graph))
            except Internal:
                done = False
        if not graph.value:
            return 0
        try:
            if done:
                none = ctypes.c_ulonglong(0)
                self.driver.call("cuGraphInstantiateWithFlags", ctypes.byref(runnable), graph, none)
        finally:
            self.driver.call("cuGraphDestroy", graph)
        return runnable.value or 0

    def launch(self, graph: int, stream: int) -> None:
        """Run what was recorded."""
        self.driver.call("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def drop(self, graph: int) -> None:
        """Forget it."""
        self.driver.call("cuGraphExecDestroy", ctypes.c_void_p(graph))
