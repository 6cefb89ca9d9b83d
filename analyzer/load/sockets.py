"""Where a server is, as the kernel wants to know it."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from dataclasses import dataclass
from typing import Any

from analyzer.errors import LoadError


@dataclass(frozen=True, slots=True)
class Place:
    """A server's address: its name for people, and the kernel's family and address."""

    name: str
    family: socket.AddressFamily
    address: Any
    host: str = ""


def resolve(host: str, port: int) -> Place:
    """Find out where a server is: the first of its addresses at which something listens.

    Raises:
        LoadError: there is no such host, or nothing listens there.
    """
    name = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LoadError(f"cannot connect to {name}: {error}") from error
    last: OSError | None = None
    for family, kind, protocol, _, where in found:
        if len(found) == 1:
            return Place(name, family, where, host)
        try:
            with socket.socket(family, kind, protocol) as attempt:
                attempt.settimeout(5.0)
                attempt.connect(where)
        except OSError as error:
            last = error
            continue
        return Place(name, family, where, host)
    raise LoadError(f"cannot connect to {name}: {last}")


def begin_connecting(place: Place) -> socket.socket:
    """Make a socket that does not wait, and begin to connect it.

    Raises:
        OSError: it cannot be, and that is known at once.
    """
    sock = socket.socket(place.family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(place.address)
    if code not in {0, errno.EINPROGRESS}:
        sock.close()
        raise OSError(code, errno.errorcode.get(code, ""))
    return sock


def open_files() -> int:
    """Allow this process as many open files as it may have, and return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
