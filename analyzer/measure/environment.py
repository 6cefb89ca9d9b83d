"""What about this machine makes measurements wander: checked before any is taken.

Owns the checks, their thresholds and texts. A warning is worth acting on; a note explains how
numbers may differ from those of another machine or day. What happens while a measurement is taken
is ``remarks``'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer.measure.kernel import line

OK, NOTE, WARNING = "ok", "note", "warning"
SLOW_GOVERNORS = {"powersave", "ondemand", "conservative", "schedutil"}
_ROOT = Path("/")
_CPU = "sys/devices/system/cpu"
#: how many programs may have been running on average, over all cores, before the start
_LOAD_SHARE, _LOAD_LEAST = 0.25, 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, what was found, how that is judged, and in words."""

    check: str
    found: str
    level: str
    text: str


def checks(root: Path, cores: int) -> tuple[Check, ...]:
    """Check the machine under ``root``, of whose cores so many are ours; what is not there is not.

    Names: governor, turbo, smt, load, quota.
    """
    return tuple(_checks(root, cores))


def governor(root: Path = _ROOT) -> str:
    """Return what governs the cores' frequency, all of them if they differ; "" if unknown."""
    found = {line(file) for file in (root / _CPU).glob("cpu[0-9]*/cpufreq/scaling_governor")}
    return ", ".join(sorted(found - {""}))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return the cgroup's CPU quota in cores (version 2, then 1), None if it has none."""
    unified = line(root / "sys/fs/cgroup/cpu.max").split()
    if len(unified) == 2:  # noqa: PLR2004 - quota and period
        return None if unified[0] == "max" else int(unified[0]) / int(unified[1])
    quota = line(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = line(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return int(quota) / int(period)
    return None


def _checks(root: Path, cores: int) -> Iterator[Check]:
    for one in (_governor(root), _turbo(root), _smt(root), _load(root, cores), _quota(root)):
        if one is not None:
            yield one


def _governor(root: Path) -> Check | None:
    found = governor(root)
    slow = SLOW_GOVERNORS & set(found.split(", "))
    if not found:
        return None
    if not slow:
        return Check("governor", found, OK, f"the CPU frequency governor is {found!r}")
    text = f"the CPU frequency governor is {found!r}: at low load latencies are longer than "
    text += "they need be; 'performance' makes measurements repeatable"
    return Check("governor", found, WARNING, text)


def _turbo(root: Path) -> Check | None:
    off = line(root / _CPU / "intel_pstate/no_turbo")
    on = line(root / _CPU / "cpufreq/boost")
    if off not in {"0", "1"} and on not in {"0", "1"}:
        return None
    if off == "1" or on == "0":
        return Check("turbo", "off", OK, "turbo is off: cores keep to their nominal frequency")
    text = "turbo is on: how fast a core runs depends on its heat and on how many others are busy"
    return Check("turbo", "on", NOTE, text)


def _smt(root: Path) -> Check | None:
    match line(root / _CPU / "smt/active"):
        case "1":
            text = "two hardware threads share a core (SMT): the second adds less than the first"
            return Check("smt", "on", NOTE, text)
        case "0":
            return Check("smt", "off", OK, "each core runs one hardware thread (no SMT)")
        case _:
            return None


def _load(root: Path, cores: int) -> Check | None:
    first, *_ = line(root / "proc/loadavg").split() or [""]
    try:
        load = float(first)
    except ValueError:
        return None
    found = f"{load:.2f}"
    if load <= max(_LOAD_LEAST, _LOAD_SHARE * cores):
        return Check("load", found, OK, f"{found} programs were running before the start")
    text = f"{found} programs were running, on average of the minute before the start, on {cores} "
    text += "cores: what goes on running takes time from the server"
    return Check("load", found, WARNING, text)


def _quota(root: Path) -> Check | None:
    quota = cpu_quota(root)
    if quota is None:
        return None
    text = f"a container's quota allows {quota:g} cores: whoever uses them up stands still until "
    text += "the next period, which shows in the latencies' tail"
    return Check("quota", f"{quota:g} cores", NOTE, text)
