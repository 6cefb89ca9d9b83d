"""An instance's memory for its tensors: on the GPU, and pinned on the host for what is copied.

A buffer grows and never shrinks; where it has grown its address is another one, and graphs that
were captured with the old one are worth nothing (``moved``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.backends.tensorrt.device import Device
from engine.types import Array


class Buffers:
    """Memory by tensor."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._there: dict[str, tuple[int, int]] = {}
        self._pinned: dict[str, Array] = {}
        self.moved = False

    def address(self, name: str, size: int) -> int:
        """Give a place on the GPU for so many bytes of a tensor."""
        address, had = self._there.get(name, (0, -1))
        if had >= size:
            return address
        if had >= 0:
            del self._there[name]
            self._device.free(address)
            self.moved = True
        address = self._device.allocate(size)
        self._there[name] = address, size
        return address

    def pinned(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Give a pinned array for a tensor; what it held is gone."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = self._pinned.get(name)
        if memory is None or memory.nbytes < size:
            if memory is not None:
                del self._pinned[name]
                self._device.unpin(memory)
            memory = self._pinned[name] = self._device.pin(size)
        return memory[:size].view(dtype).reshape(shape)

    def reserve(self, sizes: Mapping[str, int]) -> None:
        """Have memory before it is needed, so that a load fails and no run."""
        for name, size in sizes.items():
            self.address(name, size)

    def close(self) -> None:
        """Give everything back."""
        for address, _ in self._there.values():
            self._device.free(address)
        for memory in self._pinned.values():
            self._device.unpin(memory)
        self._there.clear()
        self._pinned.clear()
