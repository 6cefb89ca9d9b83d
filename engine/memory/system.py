"""POSIX shared memory, by its key. Linux keeps the objects as files in one folder.

Rules:

1. memory is copied by system calls, never mapped: a client may cut its object at any time, and a
   page that is gone would end this process (SIGBUS). The copy also means that a client cannot
   change a tensor while it is checked or computed;
2. a key is one file's name. It never leaves the folder, follows no link, and opens nothing but a
   plain file (a FIFO would block).
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import Internal, InvalidArgument
from engine.memory.bounds import check_key, check_object

if TYPE_CHECKING:
    from engine.v2.binary import Content
    from engine.v2.call import SystemRegion

FOLDER = Path("/dev/shm")  # noqa: S108 - where shm_open of Linux keeps objects
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class SystemBlock:
    """A part of an open object."""

    def __init__(self, name: str, file: int, start: int, size: int) -> None:
        self._name = name
        self._file = file
        self._start = start
        self._size = size

    def read(self, offset: int, into: memoryview) -> None:
        """Copy ``len(into)`` bytes from ``offset`` on.

        Raises:
            InvalidArgument: the client has made the object smaller.
        """
        at = self._start + offset
        while into:
            count = os.preadv(self._file, [into], at)
            if not count:
                raise self._shrunk()
            into = into[count:]
            at += count

    def write(self, offset: int, content: Content) -> None:
        """Copy ``content`` to ``offset``.

        Raises:
            InvalidArgument: the client has made the object smaller.
            Internal: the system has no memory for it.
        """
        at = self._start + offset
        left = memoryview(content)
        if os.fstat(self._file).st_size < at + len(left):
            raise self._shrunk()
        while left:
            try:
                count = os.pwrite(self._file, left, at)
            except OSError as error:
                message = f"cannot write to shared memory region '{self._name}': {error.strerror}"
                raise Internal(message) from error
            left = left[count:]
            at += count

    def close(self) -> None:
        """Close the object."""
        os.close(self._file)

    def _shrunk(self) -> InvalidArgument:
        return InvalidArgument(
            f"shared memory region '{self._name}' is smaller than the {self._size} bytes that were "
            "registered: unregister it and register what there is"
        )


def open_system(region: SystemRegion, folder: Path = FOLDER) -> SystemBlock:
    """Open the object of a region.

    Raises:
        Internal: there is no object of that key for us.
        InvalidArgument: the key is the server's, or the object is smaller than the region.
    """
    check_key(region)
    unable = f"Unable to open shared memory region: '{region.key}'"
    name = region.key.lstrip("/")
    if not name or "/" in name:
        raise Internal(unable)
    try:
        file = os.open(folder / name, _FLAGS)
    except (OSError, ValueError) as error:
        raise Internal(unable) from error
    with ExitStack() as undo:
        undo.callback(os.close, file)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Internal(unable)
        check_object(region, status.st_size)
        undo.pop_all()
    return SystemBlock(region.name, file, region.offset, region.size)
