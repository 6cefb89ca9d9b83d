"""The energy that the processors used, as they count it themselves (RAPL).

Owns where Linux keeps these counters (powercap's zones for Intel's and AMD's processors, else the
driver amd_energy) and that they begin again from 0 when they are full. Energy is the packages',
whoever used it; what lies inside a package (cores, graphics) is in it already, memory is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.measure.kernel import line, read_or_raise

_ROOT = Path("/")
_MICRO = 1e-6
#: the counter of one socket under the driver amd_energy, after its label
_SOCKET = "Esocket"


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter: its file, in uJ, and where it begins again from 0, uJ (0: it does not)."""

    file: Path
    span_uj: int = 0


class Rapl:
    """The counters of all packages; ``reason`` says why there are none to read, if so."""

    def __init__(self, root: Path = _ROOT) -> None:
        zones = _packages(root) or _sockets(root)
        self.reason = "this machine shows no energy counters of its processors (RAPL)"
        self._meters: tuple[Meter, ...] = ()
        if zones:
            self.reason = _unreadable(zones)
        if zones and not self.reason:
            self._meters = tuple(Meter(zone) for zone in zones)

    def joules(self) -> float | None:
        """Return the energy used since this object was made; None where it cannot be read."""
        if not self._meters:
            return None
        try:
            return sum(meter.read() for meter in self._meters) * _MICRO
        except (OSError, ValueError) as error:
            self.reason = f"the energy counters cannot be read any more: {error}"
            self._meters = ()
            return None


class Meter:
    """Adds up what one counter counts, over its ends. Must be read before it goes round twice."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._last: int | None = None
        self._total = 0

    def read(self) -> int:
        """Return the uJ since the first reading.

        Raises:
            OSError: the counter cannot be read.
            ValueError: it holds no number.
        """
        now = int(read_or_raise(self._zone.file))
        if self._last is not None:
            self._total += counted(self._last, now, self._zone.span_uj)
        self._last = now
        return self._total


def counted(before: int, now: int, span: int) -> int:
    """Return how far a counter went that begins again from 0 after ``span``.

    One that falls and has no such end was set back: what it counted before is not known.
    """
    if now >= before:
        return now - before
    return now + span - before if span else now


def _packages(root: Path) -> list[Zone]:
    """Find powercap's zones of whole packages (AMD's bear Intel's name as well)."""
    found = []
    for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        # intel-rapl:0:1 is a part of intel-rapl:0; psys counts the packages once more.
        if folder.name.count(":") == 1 and line(folder / "name").startswith("package"):
            span = line(folder / "max_energy_range_uj")
            found.append(Zone(folder / "energy_uj", int(span) if span.isdecimal() else 0))
    return found


def _sockets(root: Path) -> list[Zone]:
    """Find the sockets' counters of the driver amd_energy."""
    return [
        Zone(label.with_name(label.name.replace("_label", "_input")))
        for folder in sorted((root / "sys/class/hwmon").glob("hwmon*"))
        if line(folder / "name") == "amd_energy"
        for label in sorted(folder.glob("energy*_label"))
        if line(label).startswith(_SOCKET)
    ]


def _unreadable(zones: Sequence[Zone]) -> str:
    """Say why one of them cannot be read; "" if all can."""
    for zone in zones:
        try:
            int(read_or_raise(zone.file))
        except PermissionError:
            return (
                f"{zone.file} may be read by root only; 'chmod a+r' on it lets the energy of the"
                " processors be measured"
            )
        except (OSError, ValueError) as error:
            return f"{zone.file}: {error}"
    return ""
