"""The memory behind a region: what can be done with it, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from engine.types import Place
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


@runtime_checkable
class DeviceBlock(Block, Protocol):
    """Bytes on a GPU, which a model on that GPU may use where they are."""

    def place(self, offset: int, size: int) -> Place:
        """Say where a span is."""
        ...

    def write_from(self, offset: int, place: Place, size: int) -> None:
        """Copy ``size`` bytes of the same GPU to ``offset``, unless they lie there already.

        Raises:
            EngineError: the driver's error.
        """
        ...
