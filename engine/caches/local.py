"""Responses in this process's memory: ``--cache-config local,size=BYTES``.

Owns which responses stay: those used last, as many as ``size`` bytes hold. Keys, and what Python
needs to hold an entry, count. One that alone is larger is not kept, and said so in the log.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

from engine.cache import KEY_SIZE, Found, Kept, size_of
from engine.clock import Clock
from engine.errors import InvalidArgument
from engine.telemetry.log import Seldom

logger = logging.getLogger(__name__)

#: what an entry takes besides its tensors: the key, the record and its place in the order
ENTRY_SIZE = KEY_SIZE + 33 + 64 + 200

T = TypeVar("T")


class Lru(Generic[T]):
    """Values of given sizes, at most ``limit`` in sum; the one used longest ago leaves first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._held: OrderedDict[bytes, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> T | None:
        """Use what is under a key; None if there is nothing."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def put(self, key: bytes, value: T, size: int) -> bool:
        """Hold a value, in the place of the key's former one; False if it is too large."""
        former = self._held.pop(key, None)
        if former is not None:
            self.size -= former[1]
        if size > self.limit:
            return False
        while self.size + size > self.limit:
            _, (_, freed) = self._held.popitem(last=False)
            self.size -= freed
        self._held[key] = (value, size)
        self.size += size
        return True


class Local:
    """The cache in memory."""

    def __init__(self, size: int, clock: Clock) -> None:
        self._lru: Lru[Kept] = Lru(size)
        self._seldom = Seldom(clock)

    def lookup(self, key: bytes, found: Found) -> None:
        """Answer at once."""
        found(self._lru.get(key))

    def insert(self, key: bytes, kept: Kept) -> None:
        """Keep a response, unless it is larger than the whole cache."""
        size = ENTRY_SIZE + size_of(kept)
        if not self._lru.put(key, kept, size) and self._seldom.due():
            logger.warning(
                "Failed to insert a response into the cache: it takes %d bytes, the cache has %d; "
                "raise --cache-config local,size=... or disable response_cache for this model",
                size,
                self._lru.limit,
            )

    async def close(self) -> None:
        """Nothing is held but memory."""


def open_cache(settings: Mapping[str, str], clock: Clock) -> Local:
    """Open the cache: ``size`` says how many bytes it may take.

    Raises:
        InvalidArgument: ``size`` is missing or no number; or another setting is given.
    """
    size = settings.get("size")
    if stray := sorted(settings.keys() - {"size"}):
        raise InvalidArgument(f"--cache-config local: unknown setting '{stray[0]}'; there is size")
    if size is None:
        raise InvalidArgument("--cache-config local: size is missing; pass local,size=BYTES")
    if not (size.isascii() and size.isdecimal() and int(size)):
        raise InvalidArgument(
            f"--cache-config local,size={size}: expected a number of bytes above 0"
        )
    return Local(int(size), clock)
