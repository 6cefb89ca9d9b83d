"""The memory behind a region: what can be done with it, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.v2.binary import Content


class Block(Protocol):
    """Bytes that a client shares. Offsets count from the region's beginning, and are checked."""

    def read(self, offset: int, into: memoryview) -> None:
        """Copy ``len(into)`` bytes from ``offset`` on.

        Raises:
            EngineError: they are not there any more.
        """
        ...

    def write(self, offset: int, content: Content) -> None:
        """Copy ``content`` to ``offset``.

        Raises:
            EngineError: its place is not there any more.
        """
        ...

    def close(self) -> None:
        """Let go of the memory; nothing is asked of it afterwards."""
        ...
