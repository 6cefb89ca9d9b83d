"""Watches a server from outside while it is under load.

Owns the sampling: a thread that takes a glimpse several times a second. Does not own what
the glimpses mean (``aggregate``), nor a server that runs elsewhere (``scrape``).

Looking takes CPU time from what is looked at, so it has a budget (``BUDGET`` of a core) that it
keeps by itself: what has just been measured to cost much is done less often. What is dear anyway
(the kernel's account of memory, the threads' switches, the tree of processes, a GPU's counter of
energy) has shares of its own; between two accounts of memory the pages in memory, which cost
nothing to read, tell the change.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Self

from analyzer import metrics
from analyzer.measure import gpus
from analyzer.measure.glimpse import Glimpse, Seen
from analyzer.measure.gpu_use import TAGS, gpu_use
from analyzer.measure.processors import Processors
from analyzer.measure.rapl import Rapl
from analyzer.measure.tree import Memory, Tree
from engine.nvml import GpuLook

PERIOD_SECONDS = 0.2
#: what looking may take of a core: the glimpses, and each of the dear things
BUDGET = 0.005
_GLIMPSES, _ENERGY = 0.0028, 0.001
_MEMORY, _SWITCHES, _TREE, _CLOCKS = 0.0005, 0.0003, 0.0003, 0.0001
#: however dear they are, glimpses are not further apart; however cheap, those others not closer
LONGEST_SECONDS = 1.0
SELDOM_SECONDS = 1.0
#: a driver that does not answer any more must not hold up the end
JOIN_SECONDS = 5.0
#: the id of the machine's own space of process ids, the same on every Linux
_FIRST_PID_SPACE = 0xEFFFFFFC
_NOT_OURS = "the server is not ours: its machine cannot be looked into"


class Watch:
    """Watches the process ``pid`` and all its descendants, and the machine, while it is entered.

    With a ``pid`` of None, a server on another machine, nothing can be seen. ``nvml`` is found
    on this machine if not given.
    """

    def __init__(
        self, pid: int | None, *, nvml: gpus.Gpus | None = None, period_s: float = PERIOD_SECONDS
    ) -> None:
        if pid is None:
            nvml = gpus.NoGpus(_NOT_OURS)
        self._gpus = nvml or gpus.find()
        self._eye = None if pid is None else _Eye(pid, self._gpus)
        self._period_s = period_s
        self._glimpses: list[Glimpse] = []
        self._cost_cores: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        if self._eye is not None:
            self._glimpses.append(self._eye.glimpse())
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def seen(self) -> Seen:
        """Return all that was seen so far, this moment included."""
        glimpses = tuple(self._glimpses)
        if self._eye is None:
            return Seen(glimpses, self._gpus.known, self._gpus.reason)
        if not self._over.is_set():
            glimpses += (self._eye.glimpse(),)
        return Seen(
            tuple(sorted(glimpses, key=lambda glimpse: glimpse.at_ns)),
            self._gpus.known,
            self._gpus.reason,
            absent=self._eye.absent(),
            pids_are_ours=_pids_are_ours(),
            cost_cores=self._cost_cores,
            cores=os.cpu_count() or 0,
        )

    def _run(self) -> None:
        assert self._eye is not None
        begun = time.monotonic()
        while not self._over.wait(min(self._eye.rest_seconds(self._period_s), LONGEST_SECONDS)):
            self._glimpses.append(self._eye.glimpse())
            self._cost_cores = time.thread_time() / (time.monotonic() - begun)
        # The load is over, and what is seldom read has to reach to its end.
        self._glimpses.append(self._eye.glimpse(wholly=True))


class _Eye:
    """Takes the glimpses, from whichever thread asks; keeps to the budget."""

    def __init__(self, pid: int, devices: gpus.Gpus) -> None:
        self._server = Tree(pid)
        self._own = Tree(os.getpid(), without=pid)
        self._gpus = devices
        self._processors = Processors()
        self._rapl = Rapl()
        self._lock = threading.Lock()
        self._tree_turn = _Turn(_TREE)
        self._memory_turn = _Turn(_MEMORY)
        self._switches_turn = _Turn(_SWITCHES)
        self._clocks_turn = _Turn(_CLOCKS)
        self._energy_turn = _Turn(_ENERGY)
        self._account: Memory | None = None
        self._cost_s = 0.0

    def rest_seconds(self, period_s: float) -> float:
        """How long to rest after the last glimpse, so that they keep to their share."""
        return max(period_s, self._cost_s / _GLIMPSES)

    def glimpse(self, *, wholly: bool = False) -> Glimpse:
        """Take one, with the dear things whose turn it is; ``wholly``: with all of them."""
        with self._lock:
            if wholly or self._tree_turn.due():
                with self._tree_turn:
                    self._server.refresh()
                    self._own.refresh()
            switches = mhz = None
            if wholly or self._memory_turn.due():
                with self._memory_turn:
                    self._account = self._server.memory()
            if wholly or self._switches_turn.due():
                with self._switches_turn:
                    switches = self._server.switches()
            if wholly or self._clocks_turn.due():
                with self._clocks_turn:
                    mhz = self._processors.mhz()
            begun = time.thread_time()
            energy = wholly or self._energy_turn.due()
            with self._energy_turn if energy else nullcontext():
                looks = self._gpus.look(closely=True, energy=energy)
            seen = self._cheap(switches, mhz, looks)
            if not energy:
                self._cost_s = time.thread_time() - begun
        return seen

    def absent(self) -> dict[str, str]:
        """Say what is not measured here and why, by the metric's tag."""
        absent = {
            TAGS[name]: f"{uuid}: {why}"
            for uuid, reasons in self._gpus.unanswered.items()
            for name, why in reasons.items()
            if name in TAGS
        }
        if self._rapl.reason:
            absent |= dict.fromkeys(
                ("cpu_power_usage", "cpu_energy_per_inference"), self._rapl.reason
            )
        if self._processors.frequency_reason:
            absent["cpu_frequency"] = self._processors.frequency_reason
        return absent

    def _cheap(
        self, switches: int | None, mhz: float | None, looks: tuple[GpuLook, ...]
    ) -> Glimpse:
        # The load client's processes are children of this one, and start after the first glimpse.
        self._own.refresh_children()
        use, own = self._server.use(), self._own.use()
        rss = None if use is None else use.rss_bytes
        account = self._account
        pss = _now(rss, account, None if account is None else account.pss)
        times, quota = self._processors.times(), self._processors.quota()
        return Glimpse(
            at_ns=time.monotonic_ns(),
            cpu_seconds=None if use is None else use.cpu_seconds,
            ram_bytes=rss if pss is None else pss,
            pss_bytes=pss,
            rss_bytes=rss,
            uss_bytes=_now(rss, account, None if account is None else account.uss),
            available_ram_bytes=self._processors.available_bytes(),
            switches=switches,
            busy_seconds=None if times is None else times.busy,
            steal_seconds=None if times is None else times.steal,
            quota_periods=None if quota is None else quota.periods,
            quota_stops=None if quota is None else quota.stops,
            own_seconds=None if own is None else own.cpu_seconds,
            energy_joules=self._rapl.joules(),
            mhz=mhz,
            gpus=looks,
            pids=self._server.pids,
        )


class _Turn:
    """When something dear is next done: so seldom that it keeps to its share of a core."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._next = 0.0
        self._begun = 0.0

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._begun = time.thread_time()

    def __exit__(self, *_: object) -> None:
        cost = time.thread_time() - self._begun
        self._next = time.monotonic() + max(SELDOM_SECONDS, cost / self._share)


def idle_gpus(
    devices: gpus.Gpus | None = None, *, seconds: float = 1.0
) -> dict[str, dict[str, float]]:
    """Look at the GPUs before any model is on them: their own metrics by UUID, by tag."""
    with Watch(os.getpid(), nvml=devices) as watch:
        threading.Event().wait(seconds)
    return {gpu.uuid: metrics.of_gpu(gpu) for gpu in gpu_use(watch.seen())}


def _now(rss: int | None, account: Memory | None, then: int | None) -> int | None:
    """Carry an account of memory on to now: what came or went since is nobody else's."""
    if rss is None or account is None or then is None:
        return None
    return max(0, then + rss - account.rss)


def _pids_are_ours() -> bool:
    """Whether the ids that we know processes by are the machine's, and so the driver's."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_SPACE
    except OSError:
        return False
