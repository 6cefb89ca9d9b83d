"""Memory that is shared with a server: what is in it, and that nothing of it is left."""

import ctypes
import secrets
from pathlib import Path

import pytest
from support import libcuda

from analyzer.errors import LoadError
from analyzer.load.memory import FOLDER, GpuMemory, SystemMemory, memory_of
from engine.v2.call import CudaRegion, SystemRegion


@pytest.fixture
def name() -> str:
    return f"servetune_test_{secrets.token_hex(4)}"


def test_system_memory_is_a_file_of_the_kernels_until_the_server_has_it_open(name: str) -> None:
    memory = SystemMemory(name, 100)
    try:
        assert memory.region == SystemRegion(name, f"/{name}", 0, 100)
        memory.write(10, b"hello")
        content = (FOLDER / name).read_bytes()
        assert content == bytes(10) + b"hello" + bytes(85)
        memory.opened()
        assert not (FOLDER / name).exists()
    finally:
        memory.close()


def test_system_memory_that_nobody_opened_is_gone_as_well(name: str) -> None:
    SystemMemory(name, 100).close()
    assert not (FOLDER / name).exists()


def test_more_system_memory_than_there_is_is_said_and_nothing_is_left(name: str) -> None:
    with pytest.raises(LoadError, match=r"--shared-memory system: .* bytes in /dev/shm"):
        SystemMemory(name, 1 << 50)
    assert not (FOLDER / name).exists()


def test_gpu_memory_is_written_told_and_freed(tmp_path: Path) -> None:
    library = str(libcuda.build(tmp_path))
    memory = GpuMemory("region", 64, library)
    assert memory.region == CudaRegion("region", 0, 64, bytes(range(64, 0, -1)))
    memory.write(8, memoryview(b"hello"))
    last = ctypes.c_uint64.in_dll(ctypes.CDLL(library), "last")
    assert ctypes.string_at(last.value + 8, 5) == b"hello"
    with pytest.raises(LoadError, match="--shared-memory cuda: cuMemcpyHtoD_v2"):
        memory.write(60, b"hello")
    memory.close()
    assert last.value == 0


def test_other_memory_is_unknown() -> None:
    with pytest.raises(LoadError, match="no shared memory 'disk'; there are: none, system, cuda"):
        memory_of("disk", "region", 1)
