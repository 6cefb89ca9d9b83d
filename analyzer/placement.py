"""Which GPUs measurements may run on side by side, and with which cores. Pure.

Rules:

1. Only whole GPUs of one name and memory, on which nobody computes: what is measured on one has to
   say what it would be on another. The first that nobody computes on says of which kind.
2. Each has cores of its own, and both threads of a core are one's: measurements that share a core
   measure each other. Fewer than ``LEAST_CORES`` are not enough for a server and its load client.
3. Whatever keeps a GPU out is said. That GPUs share power, memory's lanes or links is not known
   beforehand: the check (``stages.abreast``) measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: a server's loop, what runs the model, and a sender, with one to spare
LEAST_CORES = 4
#: the share of its time above which a GPU is somebody's
_BUSY = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A GPU as it was found: ``whole`` False is an instance of a divided one (MIG).

    ``utilization`` is from 0 to 1, and ``processes`` are how many compute there; None: not told.
    """

    uuid: str
    name: str
    total_bytes: int | None = None
    whole: bool = True
    utilization: float | None = None
    processes: int | None = None
    lost: str = ""

    @property
    def kind(self) -> str:
        """What GPUs have in common that measure alike."""
        memory = "" if self.total_bytes is None else f", {self.total_bytes / 2**30:.0f} GiB"
        return f"{self.name}{memory}"

    @property
    def busy(self) -> str:
        """Say why it is not free; "" where it is."""
        if self.lost:
            return f"lost ({self.lost})"
        if not self.whole:
            return "divided into MIG instances"
        if self.processes:
            plural = "" if self.processes == 1 else "es"
            return f"in use by {self.processes} process{plural}"
        if self.utilization is not None and self.utilization > _BUSY:
            return f"busy for {self.utilization:.0%} of its time"
        return ""


@dataclass(frozen=True, slots=True)
class Place:
    """A GPU by its UUID, and the cores of whatever runs beside others on it."""

    gpu: str
    cores: frozenset[int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where measurements run: one place at least, if there is a GPU.

    ``said`` says what was asked for and what is done; ``kind`` the kind of GPU.
    """

    places: tuple[Place, ...]
    said: str
    kind: str = ""


def place(
    wanted: int | None, found: Sequence[Found], cores: Sequence[frozenset[int]], usable: int
) -> Placement:
    """Place up to ``wanted`` measurements (None: as many as there are GPUs).

    ``cores`` are the logical ones by the physical core that each is of, in an order in which
    neighbours are near; ``usable`` is how many may be busy at a time.
    """
    free = [gpu for gpu in found if not gpu.busy]
    if not found:
        return Placement((), "GPUs side by side: this machine shows none, so nothing changes")
    out = [f"{gpu.uuid} is {gpu.busy}" for gpu in found if gpu.busy]
    if not free:
        first = next((gpu for gpu in found if gpu.whole and not gpu.lost), None)
        said = f"GPUs side by side: one at a time, for none is free: {'; '.join(out)}"
        if first is None:
            return Placement((), said)
        return Placement((Place(first.uuid, _all(cores)),), said, first.kind)
    kind = free[0].kind
    alike = [gpu for gpu in free if gpu.kind == kind]
    out += [f"{gpu.uuid} is another kind ({gpu.kind})" for gpu in free if gpu.kind != kind]
    enough = min(usable, len(_all(cores))) // LEAST_CORES
    count = max(1, min(len(alike), enough, len(cores), wanted or len(alike)))
    if count < min(len(alike), wanted or len(alike)):
        out.append(
            f"{usable} cores are enough for {count}, each of which needs {LEAST_CORES} of its own"
        )
    places = tuple(
        Place(gpu.uuid, share) for gpu, share in zip(alike, _shares(cores, count), strict=False)
    )
    if count == 1:
        why = "; ".join(out) or ("one was asked for" if wanted == 1 else "there is one GPU")
        return Placement(places, f"GPUs side by side: one at a time: {why}", kind)
    said = f"GPUs side by side: up to {count} measurements of the search at a time ({kind})"
    if wanted is not None and count < wanted and len(alike) < wanted:
        out.append(f"{len(alike)} of the {wanted} asked for can be used")
    return Placement(places, "; ".join([said, *out]), kind)


def _shares(cores: Sequence[frozenset[int]], count: int) -> list[frozenset[int]]:
    """Deal whole cores out, each share of neighbours and as many as any other."""
    each = len(cores) // count
    return [_all(cores[at * each : (at + 1) * each]) for at in range(count)]


def _all(cores: Sequence[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*cores)
