"""Tensors from one process to another: anonymous shared memory with one writer and one reader.

Owns where a block lies and when its place is free again. Does not own which process sends what
(``channel``), nor what a tensor means (``tensors``). Rules:

1. the memory is a memfd: it has no name in ``/dev/shm``, counts as the processes' own memory, and
   is gone with them, however they end;
2. a block begins with a byte that says that it is in use. The writer sets it, the reader clears it
   when nobody holds a view of the block any more, whichever thread that is: views never go stale,
   and no message is needed;
3. an arena grows by steps and is never cut (it is sealed), so that no end of one process can take
   pages from under the other. What it did not need for a while goes back to the system;
4. who needs more than an arena's limit is refused;
5. the descriptor is used under a lock, and not once it is closed: its number may be another's then.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from contextlib import suppress
from typing import Any

import numpy as np

from engine.errors import Unavailable
from engine.types import Array

_HEAD = 64
_PAGE = mmap.PAGESIZE
#: so often it is looked whether memory can be given back
_OFTEN = 256
_ADD_SEALS, _SEAL_SHRINK = 1033, 0x0002


def open_memory(name: str) -> int:
    """Make anonymous shared memory of no size; returns its file descriptor."""
    number = os.memfd_create(name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(number, _ADD_SEALS, _SEAL_SHRINK)
    return number


class Arena:
    """The writer's side: ``size`` bytes at first, ``growth`` at a time; no ``limit`` is 0."""

    def __init__(self, number: int, *, size: int, growth: int, limit: int = 0) -> None:
        self._number = number
        self._first = self._size = _pages(max(size, _PAGE))
        self._growth = _pages(max(growth, _PAGE))
        self._limit = limit
        self._lock = threading.Lock()
        self._used: list[tuple[int, int]] = []
        self._until_look = _OFTEN
        self._peak = self._touched = 0
        os.ftruncate(number, self._size)
        self._map = mmap.mmap(number, self._size)

    @property
    def size(self) -> int:
        """How large it has grown, bytes."""
        return self._size

    @property
    def in_use(self) -> int:
        """How many blocks somebody may still read."""
        with self._lock:
            self._sweep()
            return len(self._used)

    def put(self, array: Array) -> int:
        """Copy an array of plain elements into a block; returns where it lies.

        Raises:
            Unavailable: the arena may not grow as much, or there is no memory.
        """
        at, here = self._take(array.nbytes)
        np.ndarray(array.shape, array.dtype, buffer=here, offset=at + _HEAD)[...] = array
        return at

    def free(self, at: int) -> None:
        """Take a block back that nobody was told of."""
        self._map[at] = 0

    def close(self) -> None:
        """Give the descriptor back; what lies in the memory stays as long as somebody sees it."""
        with self._lock:
            number, self._number = self._number, -1
            if number >= 0:
                os.close(number)

    def _take(self, size: int) -> tuple[int, mmap.mmap]:
        need = _HEAD + -(-size // _HEAD) * _HEAD
        with self._lock:
            self._sweep()
            at, place = 0, len(self._used)
            for number, (start, end) in enumerate(self._used):
                if start - at >= need:
                    place = number
                    break
                at = end
            if at + need > self._size:
                self._grow(at + need)
            self._used.insert(place, (at, at + need))
            self._map[at] = 1
            self._peak = max(self._peak, at + need)
            self._touched = max(self._touched, at + need)
            return at, self._map

    def _sweep(self) -> None:
        here = self._map
        self._used = [one for one in self._used if here[one[0]]]
        self._until_look -= 1
        if not self._until_look:
            self._give_back()

    def _give_back(self) -> None:
        """Free pages that lie behind all that was needed of late (rule 3)."""
        kept = _pages(max(self._first, self._peak, *(end for _, end in self._used), 0))
        if self._touched > kept:
            self._map.madvise(mmap.MADV_REMOVE, kept, self._size - kept)
            self._touched = kept
        self._peak, self._until_look = 0, _OFTEN

    def _grow(self, needed: int) -> None:
        size = self._size + -(-(needed - self._size) // self._growth) * self._growth
        if self._number < 0:
            raise Unavailable("the process that this memory is shared with is gone")
        if self._limit and size > self._limit:
            raise Unavailable(
                f"Failed to increase the shared memory pool size to {size} bytes: its limit is"
                f" {self._limit}; set a larger one, or send smaller batches"
            )
        try:
            os.ftruncate(self._number, size)
            self._map = mmap.mmap(self._number, size)
        except OSError as fault:
            raise Unavailable(
                f"Failed to increase the shared memory pool size to {size} bytes: {fault.strerror}"
            ) from fault
        self._size = size


class Window:
    """The reader's side."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._size = self._address = 0

    def view(self, at: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Show the array in a block, to be read; the block is kept while the array is held."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        lent = _Lent(*self._mapped(at + _HEAD + size), at, size)
        return np.asarray(lent).view(dtype).reshape(shape)

    def close(self) -> None:
        """Give the descriptor back; what is seen of the memory stays."""
        with self._lock:
            number, self._number = self._number, -1
            if number >= 0:
                os.close(number)

    def _mapped(self, needed: int) -> tuple[mmap.mmap, int]:
        with self._lock:
            if self._map is None or needed > self._size:
                if self._number < 0:
                    raise Unavailable("the process that this memory is shared with is gone")
                self._size = os.fstat(self._number).st_size
                self._map = mmap.mmap(self._number, self._size)
                self._address = np.frombuffer(self._map, np.uint8).ctypes.data
            return self._map, self._address


class _Lent:
    """What an array of the reader stands on; gives the block back when the last one goes."""

    __slots__ = ("__array_interface__", "_at", "_map")

    def __init__(self, here: mmap.mmap, address: int, at: int, size: int) -> None:
        self._map = here
        self._at = at
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (size,),
            "data": (address + at + _HEAD, True),
        }

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter ends
            self._map[self._at] = 0


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
