"""A tree of processes, read from /proc at little cost.

Owns what the kernel says of them: CPU time, memory, context switches. The cheap things (one file a
process) are read at every glimpse; how often the dear ones are is the watch's to decide: the
kernel walks all of a process's pages to tell its proportional memory, and holds up those who want
more meanwhile.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import psutil

from analyzer.measure.kernel import read

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_FIELDS = re.compile(
    rb"^(Pss|Private_Clean|Private_Dirty|Private_Hugetlb):\s+(\d+) kB", re.MULTILINE
)
_SWITCHES = re.compile(rb"ctxt_switches:\s+(\d+)")
_READ = re.compile(rb"^rchar:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """What processes used: CPU time so far, s, and the pages they have in memory now, bytes."""

    cpu_seconds: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in full account, bytes; ``pss`` and ``uss`` are None where the kernel keeps none."""

    rss: int
    pss: int | None
    uss: int | None


class Tree:
    """A process and its descendants, as far as they live; ``without`` one of them and its own."""

    def __init__(self, pid: int, *, without: int | None = None) -> None:
        self._root = pid
        self._without = without
        self.pids: frozenset[int] = frozenset({pid})

    def refresh(self) -> None:
        """Look for descendants anew."""
        found: set[int] = set()
        unseen = [self._root]
        while unseen:
            pid = unseen.pop()
            if pid not in found and pid != self._without:
                found.add(pid)
                unseen += children(pid)
        self.pids = frozenset(found)

    def refresh_children(self) -> None:
        """Look for new children of the root only, which costs next to nothing."""
        new = {pid for pid in children(self._root) if pid != self._without}
        if not new <= self.pids:
            self.pids |= new

    def use(self) -> Use | None:
        """Read CPU time, of descendants too that ended and were waited for; None if all ended."""
        every = [one for pid in self.pids if (one := _use(pid)) is not None]
        if not every:
            return None
        return Use(sum(one.cpu_seconds for one in every), sum(one.rss_bytes for one in every))

    def memory(self) -> Memory | None:
        """Read the full account of their memory; dear."""
        every = [one for pid in self.pids if (one := _memory(pid)) is not None]
        if not every:
            return None
        return Memory(
            sum(one.rss for one in every),
            _total([one.pss for one in every]),
            _total([one.uss for one in every]),
        )

    def switches(self) -> int | None:
        """Count context switches so far, of every thread that lives; somewhat dear."""
        every = [
            int(count)
            for pid in self.pids
            for thread in _listed(f"/proc/{pid}/task")
            for count in _SWITCHES.findall(_text(f"/proc/{pid}/task/{thread}/status"))
        ]
        return sum(every) if every else None

    def bytes_read(self) -> int | None:
        """Count the bytes they asked the kernel to read so far; None where it does not say."""
        every = [
            int(found[1])
            for pid in self.pids
            if (found := _READ.search(_text(f"/proc/{pid}/io"))) is not None
        ]
        return sum(every) if every else None


def children(pid: int) -> list[int]:
    """List the children of a process."""
    threads = _listed(f"/proc/{pid}/task")
    found = [read(f"/proc/{pid}/task/{thread}/children") for thread in threads]
    if threads and all(one is None for one in found):
        return _children_by_parent(pid)
    return [int(child) for one in found if one for child in one.split()]


def _children_by_parent(pid: int) -> list[int]:
    """List them where the kernel keeps no lists of children: by everybody's parent, dearly."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _use(pid: int) -> Use | None:
    # The name stands in parentheses and may hold anything, parentheses and spaces included.
    fields = _text(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22:  # noqa: PLR2004 - up to the resident pages
        return None
    user, system, waited_user, waited_system = map(int, fields[11:15])
    ticks = user + system + waited_user + waited_system
    return Use(ticks / _TICK, int(fields[21]) * _PAGE)


def _memory(pid: int) -> Memory | None:
    use = _use(pid)
    if use is None:
        return None
    found = {name: int(size) * 1024 for name, size in _FIELDS.findall(
        _text(f"/proc/{pid}/smaps_rollup"))}  # fmt: skip
    if b"Pss" not in found:
        return Memory(use.rss_bytes, None, None)
    pss = found.pop(b"Pss")
    return Memory(use.rss_bytes, pss, sum(found.values()))


def _total(sizes: list[int | None]) -> int | None:
    """Add them up; None if one is not known, for a part is not the whole."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _listed(path: str) -> list[str]:
    try:
        # pathlib makes an object of each name, at many times the cost.
        return os.listdir(path)  # noqa: PTH208 - as said above
    except OSError:
        return []


def _text(path: str) -> bytes:
    return read(path) or b""
