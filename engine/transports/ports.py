"""Holding the ports while models load, so that a port in use is known before, not after.

A socket that is bound and does not listen refuses connections, as Triton does until its
models are loaded, and keeps others from taking the port. Owns: the bind and its errors. Does
not own: who listens there later.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from engine.errors import EngineError, InvalidArgument, Unavailable
from engine.options import ServeOptions, endpoints


@contextmanager
def reserved(options: ServeOptions) -> Iterator[None]:
    """Hold every port that the options name.

    The transports may bind and listen while this holds: both sides allow the reuse of the
    address, and only one of them listens.

    Raises:
        Unavailable: something listens there already.
        InvalidArgument: the address is not this machine's, or the port is not for everybody.
    """
    reuse = {"http": options.reuse_http_port, "grpc": options.reuse_grpc_port}
    with ExitStack() as held:
        for name, address, port in endpoints(options):
            # Also for port 0, which holds nothing: it tells an address that is not ours.
            held.enter_context(_bind(name, address, port, shared=reuse.get(name, False)))
        yield


def _bind(name: str, address: str, port: int, *, shared: bool) -> socket.socket:
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        message = f"--{name}-address {address}: no such address: {error.strerror}"
        raise InvalidArgument(message) from error
    holder = socket.socket(family, kind)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(place)
    except OSError as error:
        holder.close()
        raise refused(name, address, port, error) from error
    return holder


def refused(name: str, address: str, port: int, error: OSError) -> EngineError:
    """Say why a port could not be had, and what to do; ``name`` is http, grpc or metrics."""
    match error.errno:
        case errno.EADDRINUSE:
            return Unavailable(
                f"port {port} is in use; stop what listens there or pass --{name}-port"
            )
        case errno.EACCES:
            return InvalidArgument(
                f"port {port} is reserved to the system; pass a --{name}-port above 1023"
            )
        case errno.EADDRNOTAVAIL:
            return InvalidArgument(
                f"--{name}-address {address}: not an address of this machine; "
                "0.0.0.0 stands for all of its addresses"
            )
        case _:
            return Unavailable(f"port {port} of {address}: {error.strerror or error}")
