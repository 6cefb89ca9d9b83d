"""Method and path of an HTTP request, to the verb they mean, and back.

The path alone decides, matched whole against patterns in Triton's order; a query is ignored.
Segments are split before they are decoded, so that an encoded slash never makes a new one.
Owns the table of paths and its 404 and 405. Does not own bodies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from engine.errors import InvalidArgument, NotFound, Unsupported


class MethodNotAllowed(Unsupported):
    """There is such a path, and it is not to be asked in this way."""

    def __init__(self) -> None:
        super().__init__("Method Not Allowed")


class Verb(Enum):
    """What a path asks for."""

    LIVE = "live"
    READY = "ready"
    SERVER = "server metadata"
    MODEL_READY = "model ready"
    MODEL = "model metadata"
    CONFIG = "config"
    STATS = "stats"
    RUNTIME = "stats, and what runs the model"
    INFER = "infer"
    INDEX = "index"
    LOAD = "load"
    UNLOAD = "unload"
    GENERATE = "The generate extension"
    TRACE = "The trace extension"
    LOGGING = "The logging extension"
    MEMORY_STATUS = "shared memory status"
    MEMORY_REGISTER = "register shared memory"
    MEMORY_UNREGISTER = "unregister shared memory"


@dataclass(frozen=True, slots=True)
class Route:
    """A verb and what its path names; ``memory`` is the kind of the memory it is about."""

    verb: Verb
    model: str = ""
    version: str = ""
    region: str = ""
    memory: str = ""


_GET = frozenset({"GET"})
_POST = frozenset({"POST"})
_BOTH = _GET | _POST
_MODEL = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?"
_REPOSITORY = r"/v2/repository(?:/(?P<repository>[^/]+))?"
_MEMORY = r"/v2/(?P<memory>system|cuda)sharedmemory(?:/region/(?P<region>[^/]+))?"


_TABLE = tuple(
    (re.compile(pattern), methods, verb)
    for pattern, methods, verb in (
        (_MODEL + "/infer", _POST, Verb.INFER),
        (r"/v2/models/stats", _GET, Verb.STATS),
        (r"/v2/logging", _BOTH, Verb.LOGGING),
        (_MODEL + "/ready", _GET, Verb.MODEL_READY),
        (_MODEL + "/config", _GET, Verb.CONFIG),
        (_MODEL + "/stats", _GET, Verb.STATS),
        # This server's own: Triton has no such path, so no client of its gets another answer.
        (_MODEL + "/stats/runtime", _GET, Verb.RUNTIME),
        (_MODEL + "/generate(?:_stream)?", _POST, Verb.GENERATE),
        (_MODEL + "/trace/setting", _BOTH, Verb.TRACE),
        (_MODEL, _GET, Verb.MODEL),
        (r"/v2/health/live", _GET, Verb.LIVE),
        (r"/v2/health/ready", _GET, Verb.READY),
        (r"/v2", _GET, Verb.SERVER),
        (_REPOSITORY + "/index", _POST, Verb.INDEX),
        (_REPOSITORY + "/models/(?P<model>[^/]+)/load", _POST, Verb.LOAD),
        (_REPOSITORY + "/models/(?P<model>[^/]+)/unload", _POST, Verb.UNLOAD),
        (_MEMORY + "/status", _GET, Verb.MEMORY_STATUS),
        (_MEMORY + "/register", _POST, Verb.MEMORY_REGISTER),
        (_MEMORY + "/unregister", _POST, Verb.MEMORY_UNREGISTER),
        (r"/v2/trace/setting", _BOTH, Verb.TRACE),
    )
)


@lru_cache(maxsize=1024)
def find(method: str, target: str) -> Route:
    """Find what a request line asks for.

    Raises:
        NotFound: no such path.
        MethodNotAllowed: not by this method.
        Unsupported: load and unload of a named repository.
        InvalidArgument: a name that is not text.
    """
    path = _path(target)
    for pattern, methods, verb in _TABLE:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            raise MethodNotAllowed
        names = match.groupdict("")
        if names.get("repository") and verb is not Verb.INDEX:
            raise Unsupported("'repository_name' specification is not supported")
        return Route(
            verb,
            decode(names.get("model", "")),
            names.get("version", ""),
            decode(names.get("region", "")),
            names.get("memory", ""),
        )
    raise NotFound("Not Found")


def _path(target: str) -> str:
    """Cut what is not the path: a query, and the server's name that a proxy leaves in."""
    if not target.startswith("/"):
        _, _, rest = target.partition("://")
        target = rest[rest.find("/") :] if "/" in rest else "/"
    return target.partition("?")[0]


_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def decode(segment: str) -> str:
    """Undo the percent-encoding of one segment of a path.

    Raises:
        InvalidArgument: it does not spell text in UTF-8.
    """
    raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), segment.encode("latin-1"))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"'{segment}' in the path is not UTF-8 text") from error


def encode(name: str) -> str:
    """Spell a name as one segment of a path."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in name.encode())


def repository_path(model: str, verb: str) -> str:
    """Spell the path that loads or unloads a model."""
    return f"/v2/repository/models/{encode(model)}/{verb}"


def memory_path(kind: str, region: str, verb: str) -> str:
    """Spell the path of a verb of shared memory; an empty ``region`` means all of them."""
    place = f"/region/{encode(region)}" if region else ""
    return f"/v2/{kind}sharedmemory{place}/{verb}"


def model_path(model: str, version: str, verb: str = "") -> str:
    """Spell the path of a model's verb; an empty one asks for its metadata."""
    path = f"/v2/models/{encode(model)}"
    if version:
        path += f"/versions/{version}"
    return f"{path}/{verb}" if verb else path
