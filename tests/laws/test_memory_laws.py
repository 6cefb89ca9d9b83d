"""Regions under any traffic: each is open exactly as long as it is registered or in use."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.fake_block import FakeBlock

from engine.errors import AlreadyExists, InvalidArgument, NotFound
from engine.memory.table import Held, RegionTable
from engine.types import Span
from engine.v2.call import CudaRegion, Memory, Region, SystemRegion

NAMES = st.sampled_from("abc")
SIZE = 8


class Regions(RuleBasedStateMachine):
    """Clients that register, unregister and infer, beside what should be true."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[FakeBlock] = []
        self.table = RegionTable(self._open, self._open)
        self.registered: dict[str, FakeBlock] = {}
        self.in_use: list[tuple[Held, FakeBlock]] = []

    def _open(self, region: Region) -> FakeBlock:
        self.blocks.append(FakeBlock(region))
        return self.blocks[-1]

    def _used(self, block: FakeBlock) -> bool:
        return any(block is other for _, other in self.in_use)

    @rule(name=NAMES, kind=st.sampled_from(Memory))
    def register(self, name: str, kind: Memory) -> None:
        region: Region = CudaRegion(name, 0, SIZE)
        if kind is Memory.SYSTEM:
            region = SystemRegion(name, "k", 0, SIZE)
        taken = any(not one.closed and one.region.name == name for one in self.blocks)
        try:
            self.table.register(region)
        except AlreadyExists:
            assert taken
        else:
            assert not taken
            self.registered[name] = self.blocks[-1]

    @rule(name=NAMES | st.just(""), kind=st.sampled_from(Memory))
    def unregister(self, name: str, kind: Memory) -> None:
        self.table.unregister(kind, name)
        for other, block in list(self.registered.items()):
            is_system = isinstance(block.region, SystemRegion)
            if name in ("", other) and is_system is (kind is Memory.SYSTEM):
                del self.registered[other]

    @rule(name=NAMES, offset=st.integers(0, 12), size=st.integers(0, 12))
    def begin(self, name: str, offset: int, size: int) -> None:
        inside = offset < SIZE and offset + size <= SIZE
        try:
            held = self.table.take(Span(name, offset, size))
        except NotFound:
            assert name not in self.registered
        except InvalidArgument:
            assert not inside
        else:
            assert inside
            self.in_use.append((held, self.registered[name]))

    @precondition(lambda self: bool(self.in_use))
    @rule(at=st.integers(0, 99))
    def end(self, at: int) -> None:
        held, _ = self.in_use.pop(at % len(self.in_use))
        self.table.give_back(held)

    @invariant()
    def open_as_long_as_it_is_wanted(self) -> None:
        wanted = [*self.registered.values()]
        for block in self.blocks:
            assert block.closed != (block in wanted or self._used(block))
        listed = {region.name for kind in Memory for region in self.table.status(kind)}
        assert listed == {block.region.name for block in self.blocks if not block.closed}


TestRegions = Regions.TestCase
TestRegions.settings = settings(max_examples=60, stateful_step_count=30)
