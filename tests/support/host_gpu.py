"""A GPU whose memory is this process's own, so that what runs on the CPU can use its addresses."""

from __future__ import annotations

import ctypes

import numpy as np

from engine.memory.cuda import CudaBlock
from engine.v2.call import CudaRegion

_ALIGNED = 256


class HostGpu:
    """CUDA's driver, as far as regions need it. ``copies`` tells what was copied, and how."""

    def __init__(self, size: int) -> None:
        self._room = np.zeros(size + _ALIGNED, np.uint8)
        self.start = -self._room.ctypes.data % _ALIGNED + self._room.ctypes.data
        self._size = size
        self.copies: list[str] = []

    @property
    def memory(self) -> memoryview:
        """The bytes, from the first aligned one on."""
        at = self.start - self._room.ctypes.data
        return self._room[at : at + self._size].data

    def block(self, region: CudaRegion) -> CudaBlock:
        """Open a region, which is all of the memory."""
        return CudaBlock(self, self.open(region.handle, region.device), region.device)

    def open(self, handle: bytes, device: int) -> int:
        assert handle is not None
        assert device == 0
        return self.start

    def size(self, address: int) -> int:
        assert address == self.start
        return self._size

    def to_host(self, address: int, device: int, into: memoryview) -> None:
        self._note("to host", address, device, len(into))
        at = address - self.start
        into[:] = self.memory[at : at + len(into)]

    def to_device(self, address: int, device: int, content: bytes) -> None:
        self._note("to device", address, device, len(content))
        at = address - self.start
        self.memory[at : at + len(content)] = content

    def within(self, to: int, source: int, device: int, size: int) -> None:
        self._note("within", to, device, size)
        ctypes.memmove(to, source, size)

    def close(self, address: int, device: int) -> None:
        assert (address, device) == (self.start, 0)

    def _note(self, what: str, address: int, device: int, size: int) -> None:
        assert device == 0
        assert self.start <= address <= address + size <= self.start + self._size
        self.copies.append(what)
