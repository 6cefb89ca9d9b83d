"""The machine's processors: how busy they are, who keeps them, how fast they run.

Owns /proc/stat, /proc/meminfo, the cores' frequencies and what the control group says of its quota.
Numbers count up from some start; what they mean over a time is ``aggregate``'s.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from analyzer.measure.kernel import line, read

_ROOT = Path("/")
_TICK = os.sysconf("SC_CLK_TCK")
#: how many cores' frequencies are read: asking an idle core may wake it
_CORES_ASKED = 8
#: where /proc/stat has idle, waiting for a disk, and stolen time
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
#: user to steal; a guest's time is in its host process's already
_COUNTED = 8


@dataclass(frozen=True, slots=True)
class Times:
    """CPU time of all cores together so far, s; ``steal`` is what the hypervisor gave others."""

    busy: float
    steal: float


@dataclass(frozen=True, slots=True)
class Quota:
    """How many periods a control group's quota has had, and in how many it was used up."""

    periods: int
    stops: int


class Processors:
    """The processors under a root folder, which tests choose."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._stat = root / "proc/stat"
        self._meminfo = root / "proc/meminfo"
        cpu = root / "sys/devices/system/cpu"
        cores = sorted(os.sched_getaffinity(0))[:_CORES_ASKED]
        files = (cpu / f"cpu{core}/cpufreq/scaling_cur_freq" for core in cores)
        self._frequencies = tuple(file for file in files if file.exists())
        group = root / "sys/fs/cgroup"
        groups = (group / "cpu.stat", group / "cpu/cpu.stat")
        self._group = next((file for file in groups if file.exists()), None)
        self.frequency_reason = (
            "" if self._frequencies else "the kernel shows no frequency of the cores (no cpufreq)"
        )

    def times(self) -> Times | None:
        """Read how busy the cores have been; time stolen is not busy."""
        fields = (read(self._stat) or b"").split(b"\n", 1)[0].split()
        if len(fields) <= _COUNTED or fields[0] != b"cpu":
            return None
        ticks = [int(field) for field in fields[1 : _COUNTED + 1]]
        steal = ticks[_STEAL]
        busy = sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT] - steal
        return Times(busy / _TICK, steal / _TICK)

    def available_bytes(self) -> int | None:
        """Read how much memory programs could still have."""
        for text in (read(self._meminfo) or b"").splitlines():
            if text.startswith(b"MemAvailable:"):
                return int(text.split()[1]) * 1024
        return None

    def quota(self) -> Quota | None:
        """Read how often the quota has stopped this control group; None where there is none."""
        if self._group is None:
            return None
        said = dict(text.partition(" ")[::2] for text in line(self._group).splitlines())
        periods, stops = said.get("nr_periods", ""), said.get("nr_throttled", "")
        if not periods.isdecimal() or not stops.isdecimal():
            return None
        return Quota(int(periods), int(stops))

    def mhz(self) -> float | None:
        """Read the mean frequency of the first cores that may be used."""
        texts = [line(file) for file in self._frequencies]
        known = [int(text) for text in texts if text.isdecimal()]
        return sum(known) / len(known) / 1000 if known else None
