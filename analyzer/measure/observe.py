"""Watches a server from outside while it is under load.

Owns the sampling: a thread that takes a glimpse several times a second. Does not own what
the glimpses mean (``aggregate``). Looking costs the machine a little, so what costs more (the
tree of processes, the kernel's account of their memory) is read less often.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from analyzer import metrics
from analyzer.measure import gpus
from analyzer.measure.aggregate import Glimpse, GpuGlimpse, Seen, gpu_use

PERIOD_SECONDS = 0.2
#: every so many glimpses the tree of processes and its memory are read
SELDOM = 5
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class Watch:
    """Watches the process ``pid`` and all its descendants, and the GPUs, while it is entered.

    With a ``pid`` of None, a server on another machine, nothing can be seen. ``nvml`` is found
    on this machine if not given.
    """

    def __init__(
        self, pid: int | None, *, nvml: gpus.Gpus | None = None, period_s: float = PERIOD_SECONDS
    ) -> None:
        self._tree = None if pid is None else _Tree(pid)
        if pid is None:
            nvml = gpus.NoGpus("the server is not ours: its machine cannot be looked into")
        self._gpus = nvml or gpus.find()
        self._period_s = period_s
        self._glimpses: list[Glimpse] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        if self._tree is not None:
            self._glimpses.append(self._glimpse(memory=True))
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def seen(self) -> Seen:
        """Return all that was seen so far, this moment included."""
        glimpses = tuple(self._glimpses)
        if self._tree is not None and not self._over.is_set():
            glimpses += (self._glimpse(memory=False),)
        return Seen(glimpses, self._gpus.known, self._gpus.reason)

    def _run(self) -> None:
        for count in itertools.count(1):
            if self._over.wait(self._period_s):
                break
            self._glimpses.append(self._glimpse(memory=count % SELDOM == 0))
        self._glimpses.append(self._glimpse(memory=False))

    def _glimpse(self, *, memory: bool) -> Glimpse:
        assert self._tree is not None
        if memory:
            self._tree.refresh()
        looked: tuple[GpuGlimpse, ...] = self._gpus.look()
        return Glimpse(
            at_ns=time.monotonic_ns(),
            cpu_seconds=self._tree.cpu_seconds(),
            ram_bytes=self._tree.ram_bytes() if memory else None,
            available_ram_bytes=psutil.virtual_memory().available if memory else None,
            gpus=looked,
        )


def idle_gpus(
    devices: gpus.Gpus | None = None, *, seconds: float = 1.0
) -> dict[str, dict[str, float]]:
    """Look at the GPUs before any model is on them: their own metrics by UUID, by tag."""
    with Watch(os.getpid(), nvml=devices) as watch:
        threading.Event().wait(seconds)
    return {gpu.uuid: metrics.of_gpu(gpu) for gpu in gpu_use(watch.seen())}


class _Tree:
    """A process and its descendants, as far as they live."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._processes: list[psutil.Process] = []

    def refresh(self) -> None:
        """Look for descendants anew."""
        try:
            root = psutil.Process(self._pid)
            self._processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            self._processes = []

    def cpu_seconds(self) -> float | None:
        """CPU time so far of all of them, and of descendants that ended and were waited for."""
        total = [_cpu_seconds(process) for process in self._processes]
        known = [seconds for seconds in total if seconds is not None]
        return sum(known) if known else None

    def ram_bytes(self) -> int | None:
        """Memory that they hold: shared pages are split among those who share them (PSS)."""
        total = [_ram_bytes(process) for process in self._processes]
        known = [size for size in total if size is not None]
        return sum(known) if known else None


def _cpu_seconds(process: psutil.Process) -> float | None:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system + times.children_user + times.children_system)


def _ram_bytes(process: psutil.Process) -> int | None:
    """Return the proportional set size, or the resident one where the kernel keeps no PSS."""
    try:
        found = _PSS.search(Path(f"/proc/{process.pid}/smaps_rollup").read_bytes())
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return None
