"""Memory of a GPU that another process shares, by CUDA's handle.

Speaks to the driver's own library (``libcuda.so.1``, which comes with it), so that nothing has to
be installed and nothing is loaded before the first region is registered. Copies wait for the GPU.
Does not own bounds (``bounds``), nor regions (``RegionTable``).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Protocol

from engine.cudadriver import LIBRARY, CudaDriver
from engine.errors import Internal, InvalidArgument
from engine.memory.bounds import refusal
from engine.types import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.v2.binary import Content
    from engine.v2.call import CudaRegion

_HANDLE_SIZE = 64
#: The driver opens peers' memory when it is first touched.
_LAZY_PEER_ACCESS = 1


class Driver(Protocol):
    """What is needed of CUDA. An address is the driver's, and of one device."""

    def open(self, handle: bytes, device: int) -> int:
        """Map another process's memory; raises EngineError."""
        ...

    def size(self, address: int) -> int:
        """Say how many bytes there are at an address."""
        ...

    def to_host(self, address: int, device: int, into: memoryview) -> None:
        """Copy out of the GPU's memory."""
        ...

    def to_device(self, address: int, device: int, content: bytes) -> None:
        """Copy into the GPU's memory."""
        ...

    def within(self, to: int, source: int, device: int, size: int) -> None:
        """Copy inside the GPU's memory."""
        ...

    def close(self, address: int, device: int) -> None:
        """Unmap it."""
        ...


class CudaBlock:
    """Mapped memory of a GPU."""

    def __init__(self, driver: Driver, address: int, device: int) -> None:
        self._driver = driver
        self._address = address
        self._device = device

    def read(self, offset: int, into: memoryview) -> None:
        """Copy ``len(into)`` bytes from ``offset`` on.

        Raises:
            Internal: the driver's error.
        """
        self._driver.to_host(self._address + offset, self._device, into)

    def write(self, offset: int, content: Content) -> None:
        """Copy ``content`` to ``offset``.

        Raises:
            Internal: the driver's error.
        """
        self._driver.to_device(self._address + offset, self._device, bytes(content))

    def place(self, offset: int, size: int) -> Place:
        """Say where a span is."""
        driver, address, device = self._driver, self._address + offset, self._device
        return Place(device, address, size, lambda into: driver.to_host(address, device, into))

    def write_from(self, offset: int, place: Place, size: int) -> None:
        """Copy ``size`` bytes of the same GPU to ``offset``, unless they lie there already.

        Raises:
            Internal: the driver's error.
        """
        to = self._address + offset
        if place.address != to:
            self._driver.within(to, place.address, self._device, size)

    def close(self) -> None:
        """Unmap it."""
        self._driver.close(self._address, self._device)


class OpenCuda:
    """Opens regions of GPU memory; the driver is loaded for the first of them."""

    def __init__(self, load: Callable[[], Driver] | None = None) -> None:
        self._load = load or LibCuda
        self._driver: Driver | None = None

    def __call__(self, region: CudaRegion) -> CudaBlock:
        """Open a region.

        Raises:
            Unavailable: there is no driver, or no such device.
            InvalidArgument: the handle is none, or the region is larger than its memory.
        """
        if self._driver is None:
            self._driver = self._load()
        driver = self._driver
        try:
            address = driver.open(region.handle, region.device)
        except Internal as error:
            raise InvalidArgument(f"{refusal(region.name)} ({error.message})") from error
        if not region.size or region.size > driver.size(address):
            driver.close(address, region.device)
            raise InvalidArgument(refusal(region.name))
        return CudaBlock(driver, address, region.device)


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * _HANDLE_SIZE),)


class LibCuda:
    """The driver's library.

    Raises:
        Unavailable: there is no such library, or no GPU.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        driver = CudaDriver("CUDA shared memory", "use system shared memory", library)
        self._enter, self._call = driver.enter, driver.call

    def open(self, handle: bytes, device: int) -> int:
        """Map another process's memory.

        Raises:
            Unavailable: no such device.
            Internal: the driver's error. So for the others.
        """
        self._enter(device)
        address = ctypes.c_uint64()
        spelled = _Handle.from_buffer_copy(handle)
        self._call("cuIpcOpenMemHandle_v2", ctypes.byref(address), spelled, _LAZY_PEER_ACCESS)
        return address.value

    def size(self, address: int) -> int:
        """Say how many bytes there are at an address."""
        size = ctypes.c_size_t()
        at = ctypes.c_uint64(address)
        self._call("cuMemGetAddressRange_v2", None, ctypes.byref(size), at)
        return size.value

    def to_host(self, address: int, device: int, into: memoryview) -> None:
        """Copy out of the GPU's memory."""
        self._enter(device)
        place = (ctypes.c_char * len(into)).from_buffer(into)
        size = ctypes.c_size_t(len(into))
        self._call("cuMemcpyDtoH_v2", place, ctypes.c_uint64(address), size)

    def to_device(self, address: int, device: int, content: bytes) -> None:
        """Copy into the GPU's memory."""
        self._enter(device)
        size = ctypes.c_size_t(len(content))
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_char_p(content), size)

    def within(self, to: int, source: int, device: int, size: int) -> None:
        """Copy inside the GPU's memory; done when this returns."""
        self._enter(device)
        places = ctypes.c_uint64(to), ctypes.c_uint64(source)
        self._call("cuMemcpyDtoD_v2", *places, ctypes.c_size_t(size))
        # Unlike copies from and to the host, this one does not wait for the GPU by itself.
        self._call("cuStreamSynchronize", None)

    def close(self, address: int, device: int) -> None:
        """Unmap it."""
        self._enter(device)
        self._call("cuIpcCloseMemHandle", ctypes.c_uint64(address))
