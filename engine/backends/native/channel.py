"""Messages between the server and a child process: values in, values out.

Owns the way a message takes: pickled over a socket; arrays of a message that has much to carry
travel in a piece of anonymous shared memory, whose descriptor goes along. It has no name, so nobody
has to remove it: it is gone with the last process that has it, however that one ends. What is
received may be used for as long as one likes, without a copy. Does not own what is said.

Only a process that was started by the other end may be spoken to: what is unpickled is trusted.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from threading import Lock

#: from here on arrays travel in shared memory
WORTH_SHARING = 32 << 10
_HEAD = Struct("<QQI")  # bytes of the message, of its arrays, and how many of these
_SIZE = Struct("<Q")
_ALIGNED = 64


class Channel:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lock = Lock()

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            OSError: the other end is gone.
        """
        arrays: list[pickle.PickleBuffer] = []
        content = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        raw = [array.raw() for array in arrays]
        sizes = b"".join(_SIZE.pack(one.nbytes) for one in raw)
        total = sum(map(_room, (one.nbytes for one in raw)))
        head = _HEAD.pack(len(content), total, len(raw))
        if total < WORTH_SHARING:
            padded = (bytes(one).ljust(_room(one.nbytes), b"\0") for one in raw)
            with self._lock:
                self._socket.sendall(b"".join((head, sizes, content, *padded)))
            return
        shared = _shared(raw, total)
        try:
            with self._lock:
                socket.send_fds(self._socket, [head], [shared])
                self._socket.sendall(sizes + content)
        finally:
            os.close(shared)

    def receive(self) -> object:
        """Wait for a message.

        Raises:
            EOFError: the other end is gone.
        """
        try:
            return self._receive()
        except OSError as fault:
            raise EOFError(str(fault)) from fault

    def close(self) -> None:
        """End it for both; whoever waits for a message gets EOFError."""
        with suppress(OSError):  # it is ended already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _receive(self) -> object:
        head, shared, _, _ = socket.recv_fds(self._socket, _HEAD.size, 1, socket.MSG_WAITALL)
        try:
            head += self._exactly(_HEAD.size - len(head))
            length, total, many = _HEAD.unpack(head)
            sizes = [one for (one,) in _SIZE.iter_unpack(self._exactly(many * _SIZE.size))]
            content = self._exactly(length)
            memory: bytearray | mmap.mmap
            memory = mmap.mmap(shared[0], total) if shared else self._exactly(total)
        finally:
            for descriptor in shared:
                os.close(descriptor)
        whole, at, arrays = memoryview(memory), 0, []
        for size in sizes:
            arrays.append(whole[at : at + size])
            at += _room(size)
        return pickle.loads(content, buffers=arrays)  # noqa: S301 - see the module's docstring

    def _exactly(self, size: int) -> bytearray:
        content = bytearray(size)
        left = memoryview(content)
        while left:
            got = self._socket.recv_into(left)
            if not got:
                raise EOFError("the other end is gone")
            left = left[got:]
        return content


def _room(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _shared(raw: Sequence[memoryview], total: int) -> int:
    """Put arrays into shared memory without a name; give its descriptor."""
    shared = os.memfd_create("servetune", os.MFD_CLOEXEC)
    try:
        os.ftruncate(shared, total)
        at = 0
        for one in raw:
            done = 0
            while done < one.nbytes:
                done += os.pwrite(shared, one[done:], at + done)
            at += _room(one.nbytes)
    except BaseException:
        os.close(shared)
        raise
    return shared
