"""Memory that a server shares with the load client: POSIX shared memory, or a GPU's.

Owns the memory and its end: nothing of it is left, in ``/dev/shm`` or on the GPU. Does not own what
lies where in it (``regions``).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Protocol

from analyzer.errors import LoadError
from engine.cudadriver import LIBRARY, CudaDriver
from engine.errors import EngineError
from engine.v2.call import CudaRegion, Region, SystemRegion

FOLDER = Path("/dev/shm")  # noqa: S108 - where the kernel has shared memory
KINDS = ("none", "system", "cuda")


class Memory(Protocol):
    """A piece of memory that another process may open."""

    @property
    def region(self) -> Region:
        """What the server is told of it."""
        ...

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Put bytes there."""
        ...

    def opened(self) -> None:
        """Take note that the server has it open."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class SystemMemory:
    """POSIX shared memory.

    Raises:
        LoadError: there is not enough, or none at all.
    """

    def __init__(self, name: str, size: int) -> None:
        self._path = FOLDER / name
        self.region = SystemRegion(name, f"/{name}", 0, size)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise LoadError(f"--shared-memory system: {self._path}: {error.strerror}") from error
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError as error:
            self.close()
            raise LoadError(
                f"--shared-memory system: {size} bytes in {FOLDER}: {error.strerror}"
            ) from error

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Put bytes there."""
        os.pwrite(self._descriptor, content, offset)

    def opened(self) -> None:
        """Take its name away: whatever becomes of us, nothing is left behind."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * 64),)


class GpuMemory:
    """Memory of the first GPU.

    Raises:
        LoadError: there is no GPU, or not enough memory on it.
    """

    def __init__(self, name: str, size: int, library: str = LIBRARY) -> None:
        address, handle = ctypes.c_uint64(), _Handle()
        self._address: ctypes.c_uint64 | None = None
        try:
            self._driver = CudaDriver("--shared-memory cuda", "use system or none", library)
            self._driver.enter(0)
            self._driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
            self._address = address
            self._driver.call("cuIpcGetMemHandle", ctypes.byref(handle), address)
        except EngineError as error:
            self.close()
            raise LoadError(error.message) from error
        self.region = CudaRegion(name, 0, size, bytes(handle))

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Copy bytes there."""
        assert self._address is not None
        whole = bytes(content)
        to = ctypes.c_uint64(self._address.value + offset)
        size = ctypes.c_size_t(len(whole))
        try:
            self._driver.enter(0)
            self._driver.call("cuMemcpyHtoD_v2", to, ctypes.c_char_p(whole), size)
        except EngineError as error:
            raise LoadError(f"--shared-memory cuda: {error.message}") from error

    def opened(self) -> None:
        """Do nothing: it has no name that could be left behind."""

    def close(self) -> None:
        """Let go of it."""
        address, self._address = self._address, None
        if address is not None:
            with contextlib.suppress(EngineError):
                self._driver.enter(0)
                self._driver.call("cuMemFree_v2", address)


def memory_of(kind: str, name: str, size: int) -> Memory:
    """Get memory of a kind.

    Raises:
        LoadError: there is no such kind, or no such memory.
    """
    match kind:
        case "system":
            return SystemMemory(name, size)
        case "cuda":
            return GpuMemory(name, size)
        case other:
            raise LoadError(f"no shared memory {other!r}; there are: {', '.join(KINDS)}")
