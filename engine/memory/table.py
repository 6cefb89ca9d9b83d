"""The regions that clients have registered, by name, and who uses them.

Owns names (one name space for both kinds), and how long a region lives: it is unregistered while
requests use it as soon as it is asked for, and let go of when the last of them has been answered.
Until then it is listed, as Triton lists it, and no new request may use it. Does not own the memory
(``Block``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import AlreadyExists, NotFound
from engine.memory.block import Block
from engine.memory.bounds import check_span
from engine.types import Span
from engine.v2.call import CudaRegion, Memory, Region, SystemRegion

_IN_WORDS = {Memory.SYSTEM: "system", Memory.CUDA: "CUDA"}


@dataclass(slots=True)
class Held:
    """A registered region: ``users`` is the number of requests that use it."""

    region: Region
    block: Block
    users: int = 0
    leaving: bool = False


class RegionTable:
    """The regions. Each kind is opened by its own function."""

    def __init__(
        self,
        open_system: Callable[[SystemRegion], Block],
        open_cuda: Callable[[CudaRegion], Block],
    ) -> None:
        self._open_system = open_system
        self._open_cuda = open_cuda
        self._held: dict[str, Held] = {}

    def register(self, region: Region) -> None:
        """Open a region, and know it by its name.

        Raises:
            AlreadyExists: the name is taken.
            EngineError: it cannot be opened.
        """
        if region.name in self._held:
            raise AlreadyExists(f"shared memory region '{region.name}' already in manager")
        if isinstance(region, SystemRegion):
            block = self._open_system(region)
        else:
            block = self._open_cuda(region)
        self._held[region.name] = Held(region, block)

    def unregister(self, kind: Memory, name: str = "") -> None:
        """Let go of a region of a kind, or of all; one that is not there is let go of already."""
        chosen = self._of(kind) if not name else [self._held[name]] if name in self._held else []
        for held in chosen:
            if kind_of(held.region) is kind:
                held.leaving = True
                self._drop_if_unused(held)

    def status(self, kind: Memory, name: str = "") -> tuple[Region, ...]:
        """List the regions of a kind, or the one of that name.

        Raises:
            NotFound: there is none of that name and kind.
        """
        if not name:
            return tuple(held.region for held in self._of(kind))
        held = self._held.get(name)
        if held is None:
            raise NotFound(f"Unable to find {kind.value} shared memory region: '{name}'")
        if kind_of(held.region) is not kind:
            its_kind = _IN_WORDS[kind_of(held.region)]
            raise NotFound(
                f"The region named '{name}' is registered as {its_kind} shared memory, not "
                f"{_IN_WORDS[kind]} shared memory"
            )
        return (held.region,)

    def take(self, span: Span) -> Held:
        """Begin to use a region, until ``give_back``.

        Raises:
            NotFound: there is none of that name.
            InvalidArgument: the span is not within it.
        """
        held = self._held.get(span.region)
        if held is None or held.leaving:
            raise NotFound(f"Unable to find shared memory region: '{span.region}'")
        check_span(span, held.region.size)
        held.users += 1
        return held

    def give_back(self, held: Held) -> None:
        """Be done with a region."""
        held.users -= 1
        if held.leaving:
            self._drop_if_unused(held)

    def close(self) -> None:
        """Let go of everything: the server ends."""
        for kind in Memory:
            self.unregister(kind)

    def _of(self, kind: Memory) -> list[Held]:
        return [held for _, held in sorted(self._held.items()) if kind_of(held.region) is kind]

    def _drop_if_unused(self, held: Held) -> None:
        if not held.users:
            del self._held[held.region.name]
            held.block.close()


def kind_of(region: Region) -> Memory:
    """Say whose memory a region is."""
    return Memory.SYSTEM if isinstance(region, SystemRegion) else Memory.CUDA
