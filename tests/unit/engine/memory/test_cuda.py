"""Regions of GPU memory, with a driver that stands for CUDA's."""

from pathlib import Path

import pytest
from support import libcuda

from engine.errors import Internal, InvalidArgument, Unavailable
from engine.memory.cuda import LibCuda, OpenCuda
from engine.v2.call import CudaRegion

HANDLE = b"h" * 64


class FakeDriver:
    """Two processes' memory of one GPU, by handles."""

    def __init__(self) -> None:
        self.memory = bytearray(range(32))
        self.mapped: set[int] = set()

    def open(self, handle: bytes, device: int) -> int:
        if handle != HANDLE or device != 1:
            message = "cuIpcOpenMemHandle_v2: CUDA_ERROR_INVALID_VALUE"
            raise Internal(message)
        self.mapped.add(1000)
        return 1000

    def size(self, address: int) -> int:
        assert address in self.mapped
        return len(self.memory)

    def to_host(self, address: int, device: int, into: memoryview) -> None:
        assert device == 1
        into[:] = self.memory[address - 1000 : address - 1000 + len(into)]

    def to_device(self, address: int, device: int, content: bytes) -> None:
        assert device == 1
        self.memory[address - 1000 : address - 1000 + len(content)] = content

    def within(self, to: int, source: int, device: int, size: int) -> None:
        assert device == 1
        content = self.memory[source - 1000 : source - 1000 + size]
        self.to_device(to, device, bytes(content))

    def close(self, address: int, device: int) -> None:
        assert device == 1
        self.mapped.remove(address)


@pytest.mark.triton("6.8")
def test_memory_is_mapped_copied_and_unmapped() -> None:
    driver = FakeDriver()
    block = OpenCuda(lambda: driver)(CudaRegion("r", 1, 32, HANDLE))
    got = bytearray(3)
    block.read(4, memoryview(got))
    assert got == bytes((4, 5, 6))
    block.write(30, memoryview(b"ab"))
    assert driver.memory[28:] == bytes((28, 29)) + b"ab"
    block.close()
    assert not driver.mapped


@pytest.mark.triton("6.8")
@pytest.mark.parametrize(
    "region",
    [
        CudaRegion("r", 1, 33, HANDLE),
        CudaRegion("r", 1, 0, HANDLE),
        CudaRegion("r", 0, 8, HANDLE),
        CudaRegion("r", 1, 8, b"x" * 64),
    ],
)
def test_what_is_no_such_memory_is_refused_and_unmapped(region: CudaRegion) -> None:
    driver = FakeDriver()
    with pytest.raises(InvalidArgument, match="failed to register shared memory region 'r'"):
        OpenCuda(lambda: driver)(region)
    assert not driver.mapped


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
def test_a_machine_without_a_gpu_says_what_is_missing() -> None:
    with pytest.raises(Unavailable, match="needs an NVIDIA GPU"):
        OpenCuda(LibCuda)(CudaRegion("r", 0, 8, HANDLE))


@pytest.mark.triton("6.8")
def test_the_drivers_own_functions_are_called_as_they_are(tmp_path: Path) -> None:
    library = str(libcuda.build(tmp_path))
    opens = OpenCuda(lambda: LibCuda(library))
    handle = bytes(range(64))
    block = opens(CudaRegion("r", 1, 32, handle))
    got = bytearray(3)
    block.read(4, memoryview(got))
    assert got == bytes((4, 5, 6))
    block.write(29, memoryview(b"\0ab"))
    block.read(29, memoryview(got))
    assert got == b"\0ab"
    block.write_from(4, block.place(29, 3), 3)
    block.write_from(4, block.place(4, 3), 3)
    block.read(4, memoryview(got))
    assert got == b"\0ab"
    place = block.place(5, 2)
    place.read(memoryview(got)[:2])
    assert (got[:2], place.size, place.device) == (b"ab", 2, 1)
    with pytest.raises(Internal, match="cuMemcpyDtoD_v2: CUDA_ERROR_INVALID_VALUE"):
        block.write_from(30, place, 3)
    with pytest.raises(Internal, match="cuMemcpyDtoH_v2: CUDA_ERROR_INVALID_VALUE"):
        block.read(30, memoryview(got))
    block.close()
    for region in (CudaRegion("r", 1, 33, handle), CudaRegion("r", 0, 8, handle)):
        with pytest.raises(InvalidArgument, match="failed to register shared memory region 'r'"):
            opens(region)
    with pytest.raises(Unavailable, match=r"GPU 7 cannot be used: .*CUDA_ERROR_INVALID_DEVICE"):
        opens(CudaRegion("r", 7, 8, handle))
    opens(CudaRegion("r", 1, 32, handle)).close()
