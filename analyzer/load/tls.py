"""TLS: what a user says of it, and how a socket that does not block speaks it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from analyzer.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a server is spoken to in secret. Paths are of PEM files, or of DER ones if it says so.

    ``ca_file`` "" trusts what the system trusts. ``cert_file`` and ``key_file`` are the
    client's own, "" for none. Without ``verify_peer`` any certificate will do, without
    ``verify_host`` one of another host.
    """

    verify_peer: bool = True
    verify_host: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def context(self, protocols: Sequence[str] = ()) -> ssl.SSLContext:
        """Make a context; ``protocols`` are offered by ALPN.

        Raises:
            LoadError: a file cannot be read, or is none.
        """
        context = ssl.create_default_context()
        context.check_hostname = self.verify_peer and self.verify_host
        if not self.verify_peer:
            context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        try:
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            names = [name for name in (self.ca_file, self.cert_file, self.key_file) if name]
            raise LoadError(f"TLS: cannot use {' and '.join(names)}: {error}") from error
        return context


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
