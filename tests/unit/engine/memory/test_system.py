"""Files of shared memory: what is opened, what is not, and what is there when it is used."""

import os
import threading
from pathlib import Path

import pytest

from engine.errors import Internal, InvalidArgument
from engine.memory.system import open_system
from engine.v2.call import SystemRegion


def region(key: str, *, offset: int = 0, size: int = 8) -> SystemRegion:
    return SystemRegion("r", key, offset, size)


@pytest.mark.parametrize("key", ["object", "/object", "//object"])
def test_an_object_is_read_and_written_in_place(tmp_path: Path, key: str) -> None:
    file = tmp_path / "object"
    file.write_bytes(bytes(range(16)))
    block = open_system(region(key, offset=4), tmp_path)
    got = bytearray(4)
    block.read(2, memoryview(got))
    assert got == bytes((6, 7, 8, 9))
    block.write(6, b"ab")
    block.close()
    assert file.read_bytes() == bytes(range(10)) + b"ab" + bytes(range(12, 16))


@pytest.mark.parametrize("key", ["link", "folder", "pipe", "none", "sub/object", "..", "\ud800"])
def test_nothing_but_a_plain_file_of_the_folder_is_opened(tmp_path: Path, key: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(64))
    shm = tmp_path / "shm"
    (shm / "folder").mkdir(parents=True)
    (shm / "sub").mkdir()
    (shm / "sub" / "object").write_bytes(bytes(64))
    (shm / "link").symlink_to(outside)
    os.mkfifo(shm / "pipe")
    with pytest.raises(Internal, match=r"^Unable to open shared memory region: '"):
        open_system(region(key), shm)


def test_an_object_of_somebody_else_is_not_opened_and_no_file_stays_open(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(bytes(4))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(InvalidArgument, match="invalid args"):
            open_system(region("small"), tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_object_that_was_cut_is_told(tmp_path: Path) -> None:
    file = tmp_path / "object"
    file.write_bytes(bytes(16))
    block = open_system(region("object", size=16), tmp_path)
    os.truncate(file, 12)
    block.read(0, memoryview(bytearray(12)))
    for fails in (
        lambda: block.read(0, memoryview(bytearray(16))),
        lambda: block.write(8, bytes(8)),
    ):
        with pytest.raises(InvalidArgument, match="region 'r' is smaller than the 16 bytes"):
            fails()
    assert file.stat().st_size == 12
    block.close()


def test_an_object_that_is_cut_all_the_time_ends_no_process(tmp_path: Path) -> None:
    size = 1 << 16
    file = tmp_path / "object"
    file.write_bytes(bytes(size))
    block = open_system(region("object", size=size), tmp_path)
    done = threading.Event()

    def cut() -> None:
        while not done.is_set():
            os.truncate(file, 0)
            os.truncate(file, size)

    cutter = threading.Thread(target=cut)
    cutter.start()
    content, outcomes = bytearray(size), set()
    try:
        for _ in range(500):
            try:
                block.read(0, memoryview(content))
                block.write(0, content)
                outcomes.add("copied")
            except InvalidArgument:
                outcomes.add("refused")
    finally:
        done.set()
        cutter.join()
        block.close()
    assert outcomes <= {"copied", "refused"}
    assert outcomes
