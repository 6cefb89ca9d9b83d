"""TLS: what a user says of it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a server is spoken to in secret. Files are PEM.

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
