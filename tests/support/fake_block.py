"""A region's memory that is this process's own, and knows whether it is open."""

from engine.v2.binary import Content
from engine.v2.call import Region


class FakeBlock:
    def __init__(self, region: Region) -> None:
        self.region = region
        self.memory = bytearray(region.size)
        self.closed = False

    def read(self, offset: int, into: memoryview) -> None:
        assert not self.closed
        into[:] = self.memory[offset : offset + len(into)]

    def write(self, offset: int, content: Content) -> None:
        assert not self.closed
        self.memory[offset : offset + len(content)] = content

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
