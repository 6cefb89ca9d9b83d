"""TLS on a socket that does not block."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


class SecureSocket:
    """A socket's verbs over TLS; what has to wait raises BlockingIOError, as a plain one's do.

    A read of 16 KB or more leaves nothing in the library, so that the kernel's word that there
    is nothing to read holds.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self.socket = context.wrap_socket(
            plain, server_hostname=host, do_handshake_on_connect=False
        )

    def shake_hands(self) -> bool | None:
        """Go on with the handshake: None when it is done, else whether it waits to write.

        Raises:
            OSError: the server is not to be trusted, or speaks no TLS.
        """
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            return True
        return None

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Write some of it."""
        with _patience():
            return self.socket.send(data)

    def recv(self, size: int) -> bytes:
        """Read; b"" at the end."""
        with _patience():
            return self.socket.recv(size)

    def recv_into(self, buffer: bytearray) -> int:
        """Read into a buffer; 0 at the end."""
        with _patience():
            return self.socket.recv_into(buffer)


@contextmanager
def _patience() -> Iterator[None]:
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
        raise BlockingIOError from error
