"""Regions: names, spans, and how long they live."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_block import FakeBlock
from support.tensors import tensor_of

from engine.errors import AlreadyExists, EngineError, InvalidArgument, NotFound
from engine.memory.bounds import check_span
from engine.memory.table import RegionTable
from engine.memory.use import Use
from engine.types import DType, InferRequest, RequestedOutput, Span
from engine.v2 import binary
from engine.v2.call import CudaRegion, Infer, Memory, SharedInput, SystemRegion


class World:
    """A table, and every block it opened."""

    def __init__(self) -> None:
        self.blocks: list[FakeBlock] = []
        self.table = RegionTable(self._open, self._open)

    def _open(self, region: SystemRegion | CudaRegion) -> FakeBlock:
        if region.name == "broken":
            message = "no such memory"
            raise InvalidArgument(message)
        self.blocks.append(FakeBlock(region))
        return self.blocks[-1]


def system(name: str, size: int = 64) -> SystemRegion:
    return SystemRegion(name, "key", 0, size)


def test_both_kinds_share_their_names() -> None:
    table = World().table
    table.register(system("r"))
    with pytest.raises(AlreadyExists):
        table.register(CudaRegion("r", 0, 64))
    with pytest.raises(NotFound, match="registered as system shared memory, not CUDA"):
        table.status(Memory.CUDA, "r")
    table.unregister(Memory.CUDA, "r")
    assert table.status(Memory.SYSTEM) == (system("r"),)


def test_a_region_that_cannot_be_opened_is_not_there() -> None:
    table = World().table
    with pytest.raises(InvalidArgument):
        table.register(system("broken"))
    assert table.status(Memory.SYSTEM) == ()


def test_regions_live_as_long_as_somebody_uses_them() -> None:
    world = World()
    world.table.register(system("r"))
    first, second = (world.table.take(Span("r", 0, 8)) for _ in range(2))
    world.table.unregister(Memory.SYSTEM)
    with pytest.raises(NotFound):
        world.table.take(Span("r", 0, 8))
    world.table.give_back(first)
    assert not world.blocks[0].closed
    assert world.table.status(Memory.SYSTEM) == (system("r"),)
    world.table.give_back(second)
    assert world.blocks[0].closed
    assert world.table.status(Memory.SYSTEM) == ()
    world.table.register(system("r"))
    world.table.close()
    assert all(block.closed for block in world.blocks)


def call(world: World, *, fit: int = 8, out: int = 8) -> Infer:
    world.table.register(system("in"))
    world.table.register(CudaRegion("out", 0, 64))
    slot = binary.slot("x", DType.FP32, (2,))
    wanted = RequestedOutput("y", span=Span("out", 56, out))
    request = InferRequest(inputs=(tensor_of("z", DType.FP32, (1,), 0),), outputs=(wanted,))
    return Infer("m", "", request, (SharedInput(0, slot, Span("in", 4, fit)),))


def test_inputs_take_their_places_and_outputs_go_where_they_are_wanted() -> None:
    world = World()
    asked = call(world)
    sent = tensor_of("y", DType.FP32, (2,), 1)
    world.blocks[0].memory[4:12] = sent.array.tobytes()
    use = Use(world.table)
    request = use.begin(asked)
    assert [tensor.name for tensor in request.inputs] == ["x", "z"]
    assert request.inputs[0].array.tobytes() == sent.array.tobytes()
    assert request.inputs[0].array.flags.aligned
    assert use.store(sent)
    assert not use.store(tensor_of("other", DType.FP32, (2,), 1))
    assert world.blocks[1].memory[56:] == sent.array.tobytes()
    world.table.close()
    assert not any(block.closed for block in world.blocks)
    use.end()
    assert all(block.closed for block in world.blocks)


@pytest.mark.parametrize("wrong", [{"fit": 4}, {"fit": 61}, {"out": 9}])
def test_a_request_that_cannot_begin_holds_nothing(wrong: dict[str, int]) -> None:
    world = World()
    asked = call(world, **wrong)
    with pytest.raises(EngineError):
        Use(world.table).begin(asked)
    world.table.close()
    assert all(block.closed for block in world.blocks)


BIG = st.integers(0, 2**64 - 1)


@given(st.integers(1, 64) | BIG, st.integers(0, 64) | BIG, st.integers(0, 64) | BIG)
def test_a_span_that_passes_lies_within_its_region(size: int, offset: int, length: int) -> None:
    inside = offset < size and offset + length <= size
    try:
        check_span(Span("r", offset, length), size)
    except InvalidArgument:
        assert not inside
    else:
        assert inside
