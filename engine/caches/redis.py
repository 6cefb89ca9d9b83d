"""Responses in a Redis server, shared by several servers: ``--cache-config redis,host=...``.

Owns the connection and the form in which a response lies there. Which responses stay is the
Redis server's business (its ``maxmemory-policy``). Rules:

1. the event loop never waits: each question is a task, and who asked is called back;
2. a Redis server that is away, slow or refuses fails no request: the question counts as a miss,
   the log says so once in a while, and for some seconds nobody asks it again;
3. what lies there is read strictly, as bytes that anybody may have written; what is not a
   response is a miss.

The settings are those of Triton's cache of that name: times are in ms, and a user and a password
may come in the environment instead, where no list of processes shows them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from engine.cache import Found, Kept
from engine.errors import EngineError, InvalidArgument, Unavailable
from engine.telemetry.log import Seldom
from engine.types import DType
from engine.v2.binary import decode, encode, slot

if TYPE_CHECKING:
    from engine.clock import Clock

logger = logging.getLogger(__name__)

PREFIX = b"servetune:"
AWAY_NS = 5_000_000_000
#: responses on their way to the server; more than these are not kept
MOST_INSERTS = 64

_LENGTH = struct.Struct("<I")
_ENVIRONMENT = {"user": "TRITONCACHE_REDIS_USERNAME", "password": "TRITONCACHE_REDIS_PASSWORD"}


def pack(kept: Kept) -> bytes:
    """Write a response: the length of a head, the head as JSON, the tensors' bytes."""
    contents = [bytes(encode(tensor)) for tensor in kept.outputs]
    outputs = [
        [one.name, one.dtype.value, one.array.shape, len(content)]
        for one, content in zip(kept.outputs, contents, strict=True)
    ]
    head = orjson.dumps({"outputs": outputs, "parameters": dict(kept.parameters)})
    return b"".join((_LENGTH.pack(len(head)), head, *contents))


def unpack(raw: bytes) -> Kept | None:
    """Read a response; None if this is none."""
    try:
        (length,) = _LENGTH.unpack_from(raw)
        at = _LENGTH.size + length
        head = orjson.loads(raw[_LENGTH.size : at])
        outputs = []
        for name, word, shape, size in head["outputs"]:
            place = slot(name, DType(word), tuple(map(int, shape)))
            outputs.append(decode(raw[at : at + size], place, "", ""))
            at += size
        if at != len(raw):
            return None
        return Kept(tuple(outputs), dict(head["parameters"]))
    except (EngineError, LookupError, TypeError, ValueError, OverflowError, struct.error):
        return None


class Redis:
    """The cache in a Redis server; ``client`` is redis-py's, of asyncio."""

    def __init__(self, client: Any, clock: Clock, where: str) -> None:  # noqa: ANN401 - an optional package's
        self._client = client
        self._now_ns = clock.now_ns
        self._where = where
        self._seldom = Seldom(clock)
        self._back_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._inserts = 0

    def lookup(self, key: bytes, found: Found) -> None:
        """Ask the server, and answer later; at once while it is away."""
        if self._now_ns() < self._back_ns:
            found(None)
        else:
            self._begin(self._lookup(key, found))

    def insert(self, key: bytes, kept: Kept) -> None:
        """Send a response to the server, unless it is away or does not keep up."""
        if self._now_ns() >= self._back_ns and self._inserts < MOST_INSERTS:
            self._inserts += 1
            self._begin(self._insert(key, kept))

    async def close(self) -> None:
        """End what is under way, and the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lookup(self, key: bytes, found: Found) -> None:
        kept = None
        try:
            raw = await self._client.get(PREFIX + key)
            kept = None if raw is None else unpack(raw)
        except Exception as fault:  # noqa: BLE001 - rule 2: whatever the client raises
            self._stay_away(fault)
        finally:
            found(kept)

    async def _insert(self, key: bytes, kept: Kept) -> None:
        try:
            await self._client.set(PREFIX + key, pack(kept))
        except Exception as fault:  # noqa: BLE001 - rule 2
            self._stay_away(fault)
        finally:
            self._inserts -= 1

    def _stay_away(self, fault: Exception) -> None:
        self._back_ns = self._now_ns() + AWAY_NS
        if self._seldom.due():
            logger.warning(
                "The response cache at %s does not answer (%s: %s); models compute meanwhile, and "
                "it is asked again every %d s",
                self._where,
                type(fault).__name__,
                fault,
                AWAY_NS // 1_000_000_000,
            )


def _text(value: str) -> str:
    return value


def _number(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise ValueError("expected a whole number")
    return int(value)


def _seconds(value: str) -> float | None:
    """Read a time in ms; 0 is no limit."""
    return _number(value) / 1000 or None


def _flag(value: str) -> bool:
    if value.lower() not in {"true", "false", "1", "0", "on", "off"}:
        raise ValueError("expected true or false")
    return value.lower() in {"true", "1", "on"}


#: Triton's setting: what redis-py calls it, how it is read, and its default
_SETTINGS: Mapping[str, tuple[str, Callable[[str], Any], str | None]] = {
    "host": ("host", _text, None),
    "port": ("port", _number, "6379"),
    "user": ("username", _text, None),
    "password": ("password", _text, None),
    "db": ("db", _number, "0"),
    "connect_timeout": ("socket_connect_timeout", _seconds, "500"),
    "socket_timeout": ("socket_timeout", _seconds, "500"),
    "pool_size": ("max_connections", _number, "8"),
    "wait_timeout": ("timeout", _seconds, "500"),
    "tls_enabled": ("ssl", _flag, "false"),
    "cert": ("ssl_certfile", _text, None),
    "key": ("ssl_keyfile", _text, None),
    "cacert": ("ssl_ca_certs", _text, None),
    "cert_dir": ("ssl_ca_path", _text, None),
}


def read(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings, and what the environment adds, as arguments of redis-py.

    Raises:
        InvalidArgument: one is wrong, missing or unknown.
    """
    if stray := sorted(settings.keys() - _SETTINGS.keys()):
        raise InvalidArgument(
            f"--cache-config redis: unknown setting '{stray[0]}'; there are {', '.join(_SETTINGS)}"
        )
    if not settings.get("host"):
        raise InvalidArgument("--cache-config redis: host is missing; pass redis,host=NAME")
    named = {one: environment[name] for one, name in _ENVIRONMENT.items() if name in environment}
    arguments: dict[str, Any] = {}
    for setting, (argument, reader, default) in _SETTINGS.items():
        value = settings.get(setting, named.get(setting, default))
        if value is None:
            continue
        try:
            arguments[argument] = reader(value)
        except ValueError as error:
            message = f"--cache-config redis,{setting}={value}: {error}"
            raise InvalidArgument(message) from error
    return arguments


def open_cache(settings: Mapping[str, str], clock: Clock) -> Redis:
    """Open the cache; the server is asked when the first request needs it.

    Raises:
        InvalidArgument: a setting is wrong, missing or unknown.
        Unavailable: redis-py is not installed.
    """
    arguments = read(settings, os.environ)
    try:
        from redis import asyncio as aio  # noqa: PLC0415 - an extra: needed by this cache alone
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError as error:
        message = "--cache-config redis needs redis-py: pip install 'servetune[redis]'"
        raise Unavailable(message) from error
    kind = aio.SSLConnection if arguments.pop("ssl") else aio.Connection
    pool = aio.BlockingConnectionPool(
        connection_class=kind,
        protocol=2,  # what every version of the server speaks
        retry=Retry(NoBackoff(), 0),  # rule 2 retries
        **arguments,
    )
    client = aio.Redis.from_pool(pool)
    return Redis(client, clock, f"{arguments['host']}:{arguments['port']}")
