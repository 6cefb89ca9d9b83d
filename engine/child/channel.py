"""Control messages between a server and a child: JSON, each behind its length.

Owns the form on the wire. Does not own what messages say. ``send`` may be called by any thread,
``feed`` by the one that reads. A message carries no tensor: those lie in an ``arena``.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]
_LENGTH = struct.Struct("<I")
CHUNK = 1 << 16
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Channel:
    """One end of a connected stream socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lock = threading.Lock()
        self._rest = bytearray()

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            OSError: the other side is gone.
        """
        text = _encode(message).encode("utf-8", "surrogatepass")
        with self._lock:
            self._socket.sendall(_LENGTH.pack(len(text)) + text)

    def receive(self) -> list[Message] | None:
        """Wait for messages; None when the other side is gone."""
        try:
            chunk = self._socket.recv(CHUNK)
        except OSError:
            return None
        return list(self.feed(chunk)) if chunk else None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Take bytes, give the messages that are whole."""
        rest = self._rest
        rest += chunk
        while len(rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest)
            end = _LENGTH.size + length
            if len(rest) < end:
                return
            text = bytes(rest[_LENGTH.size : end]).decode("utf-8", "surrogatepass")
            del rest[:end]
            yield json.loads(text)

    def close(self) -> None:
        """End it."""
        self._socket.close()
